"""What an answer still changes when somebody else has settled its row before it came."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Update, and_, bindparam, select, update

from airflow_kombo.database.sql import utc_now
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.ledger.known_rows import history
from airflow_kombo.ledger.outcomes import RowOutcome, may_have_been_created, outcome_of_history
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.statuses import FINAL, Status

_OUTCOME: Final = tuple(RowOutcome(Status.SENDING).values)


def record_late_responses(
    connection: Connection, tables: Tables, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Let answers have the last word about rows that were settled without them.

    A link that exists is not sent again: its row becomes `success` whatever it was meanwhile, but
    for a row that is on the wire, which looks at its history when it is answered. A person's
    decision about an attempt gives way to the attempt's own answer, unless the row was sent again
    since, or its other attempts leave room for both to be right.

    The rows are locked, and the attempts have their answers already.

    :param rows: Answers: each its claim's key and attempt, and the outcome.
    """
    late = [row for row in rows if row["status"] != Status.UNKNOWN.value]
    results = {row["result_id"] for row in late}
    if not results:
        return
    attempts = history(connection, tables, results)
    links = _links(connection, tables, results)
    changed = []
    for row in late:
        link = _link_of(row, links)
        outcome = link and _outcome_after(row, link, attempts[row["result_id"]])
        if link and outcome:
            changed.append((LinkKey(*(getattr(link, name) for name in KEY)), outcome))
    write_outcomes(connection, tables, changed)


def write_outcomes(
    connection: Connection, tables: Tables, outcomes: Sequence[tuple[LinkKey, Mapping[str, Any]]]
) -> None:
    """Write outcomes to status rows by their keys, whatever the rows are.

    :param outcomes: Each row's key, and its outcome's columns.
    """
    rows = [
        {f"of_{name}": value for name, value in key.columns.items()} | dict(outcome)
        for key, outcome in outcomes
    ]
    if rows:
        connection.execute(_write(tables), rows)


def _links(connection: Connection, tables: Tables, results: Iterable[str]) -> Sequence[Any]:
    links = tables.links.c
    names = (*KEY, "status", "attempts")
    query = select(*(links[name] for name in names)).where(links.result_id.in_(sorted(results)))
    return connection.execute(query).all()


def _link_of(row: Mapping[str, Any], links: Iterable[Any]) -> Any | None:
    """Find the status row of an attempt's result; it may be on another target by now."""
    of_result = [link for link in links if link.result_id == row["result_id"]]
    own = [link for link in of_result if all(getattr(link, name) == row[name] for name in KEY)]
    return next(iter(own or of_result), None)


def _outcome_after(
    row: Mapping[str, Any], link: Any, attempts: Sequence[Any]
) -> dict[str, Any] | None:
    """Return what an answer makes of a row, or None if it leaves it as it is."""
    if link.status == Status.SENDING.value:
        return None
    said = {name: row[name] for name in _OUTCOME}
    own = [one for one in attempts if one.attempt == row["attempt"]]
    others = [one for one in attempts if one.attempt != row["attempt"]]
    is_newest = link.attempts == row["attempt"]
    is_decided = is_newest and any(one.resolution is not None for one in own)
    if link.status == Status.UNKNOWN.value:
        return _outcome_of_doubt(said, attempts)
    if row["status"] == Status.SUCCESS.value:
        return said if is_decided or link.status != Status.SUCCESS.value else None
    another_may_exist = any(one.status in FINAL for one in others)
    return said if is_decided and not another_may_exist else None


def _outcome_of_doubt(said: dict[str, Any], attempts: Sequence[Any]) -> dict[str, Any] | None:
    """Return what an answer makes of a row that is `unknown` because of one of its attempts."""
    if attempts and may_have_been_created(attempts[-1]):
        return None
    if said["status"] == Status.SUCCESS.value:
        return said
    return outcome_of_history(attempts).values if attempts else None


def _write(tables: Tables) -> Update:
    links = tables.links
    is_row = and_(*(links.c[name] == bindparam(f"of_{name}") for name in KEY))
    outcome: dict[str, Any] = {name: bindparam(name) for name in _OUTCOME}
    return update(links).where(is_row).values(**outcome, updated_at=utc_now())
