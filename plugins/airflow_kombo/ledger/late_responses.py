"""Record late responses and late releases, to rows settled before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Update, and_, bindparam, exists, or_, select, update

from airflow_kombo.database.sql import utc_now
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.ledger.history import history, may_have_been_created, outcome_of_history
from airflow_kombo.ledger.known_rows import lock
from airflow_kombo.ledger.ledger_rows import AttemptRow, LedgerRow
from airflow_kombo.ledger.outcomes import OUTCOME, Claim, RowOutcome
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.statuses import FINAL, Status


def record_late_responses(
    connection: Connection, tables: Tables, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Write outcomes of attempts to status rows settled before.

    A link that exists is not sent again, so its row becomes `success`. Only a row that is being
    sent stays as it is, because it reads its history when its own response comes. A person's
    decision about an attempt gives way to the attempt's response, unless the row was sent again
    since, or another attempt may have made the link.

    The rows have to be locked, and their attempts recorded.

    :param rows: Outcomes by column, each with its claim's key and attempt.
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
            changed.append((LinkKey.of(link), outcome))
    write_outcomes(connection, tables, changed)


def record_unsent_attempts(
    connection: Connection, tables: Tables, claims: Sequence[Claim], outcome: RowOutcome
) -> None:
    """Write the outcome of unsent attempts, where the row was sent again since.

    A run that seemed dead gives back its claims late. Such an attempt is in doubt no longer, and
    neither is its row, unless another attempt is.

    :param claims: The claims of the attempts, in the order of their keys.
    :param outcome: The outcome of an unsent attempt.
    """
    results = [claim.key.result_id for claim in claims]
    lock(connection, tables, results)
    unsent = [
        {f"of_{name}": value for name, value in claim.key.columns.items()}
        | {"of_attempt": claim.attempt}
        for claim in claims
    ]
    values = {**outcome.values, "answered_at": utc_now()}
    connection.execute(_sent_again_since(tables).values(values), unsent)
    attempts = history(connection, tables, results)
    settled = []
    for link in _links(connection, tables, results):
        own = attempts[link.result_id]
        in_doubt = not own or any(map(may_have_been_created, own))
        if link.status == Status.UNKNOWN.value and not in_doubt:
            settled.append((LinkKey.of(link), outcome_of_history(own).values))
    write_outcomes(connection, tables, settled)


def write_outcomes(
    connection: Connection, tables: Tables, outcomes: Sequence[tuple[LinkKey, Mapping[str, Any]]]
) -> None:
    """Update status rows with outcomes, whatever their status is.

    :param outcomes: Keys of rows, each with an outcome by column.
    """
    rows = [
        {f"of_{name}": value for name, value in key.columns.items()} | dict(outcome)
        for key, outcome in outcomes
    ]
    if rows:
        connection.execute(_write(tables), rows)


def _links(connection: Connection, tables: Tables, results: Iterable[str]) -> Sequence[LedgerRow]:
    links = tables.links.c
    query = select(*links).where(links.result_id.in_(sorted(results)))
    rows: Sequence[Any] = connection.execute(query).all()
    return rows


def _link_of(row: Mapping[str, Any], links: Iterable[LedgerRow]) -> LedgerRow | None:
    """Return the status row of an attempt's result, possibly on another target by now."""
    of_result = [link for link in links if link.result_id == row["result_id"]]
    own = [link for link in of_result if all(getattr(link, name) == row[name] for name in KEY)]
    return next(iter(own or of_result), None)


def _outcome_after(
    row: Mapping[str, Any], link: LedgerRow, attempts: Sequence[AttemptRow]
) -> dict[str, Any] | None:
    """Return the new outcome of a status row, or None for no change."""
    if link.status == Status.SENDING.value:
        return None
    outcome = {name: row[name] for name in OUTCOME}
    own = [one for one in attempts if one.attempt == row["attempt"]]
    others = [one for one in attempts if one.attempt != row["attempt"]]
    is_newest = link.attempts == row["attempt"]
    is_decided = is_newest and any(one.resolution is not None for one in own)
    if link.status == Status.UNKNOWN.value:
        return _outcome_of_unknown(outcome, attempts)
    if row["status"] == Status.SUCCESS.value:
        return outcome if is_decided or link.status != Status.SUCCESS.value else None
    another_may_exist = any(one.status in FINAL for one in others)
    return outcome if is_decided and not another_may_exist else None


def _outcome_of_unknown(
    outcome: dict[str, Any], attempts: Sequence[AttemptRow]
) -> dict[str, Any] | None:
    """Return the new outcome of an unknown row, or None for no change.

    :param outcome: The outcome that came late, by column.
    """
    if attempts and may_have_been_created(attempts[-1]):
        return None
    if outcome["status"] == Status.SUCCESS.value:
        return outcome
    return outcome_of_history(attempts).values if attempts else None


def _sent_again_since(tables: Tables) -> Update:
    """Build the update of attempts in doubt whose rows have a later attempt."""
    links, attempts = tables.links.c, tables.attempts.c
    names = (*KEY, "attempt")
    is_attempt = and_(*(attempts[name] == bindparam(f"of_{name}") for name in names))
    is_undecided = and_(
        or_(attempts.status.is_(None), attempts.status == Status.UNKNOWN.value),
        attempts.resolution.is_(None),
    )
    of_result = and_(links.result_id == attempts.result_id, links.attempts > attempts.attempt)
    return update(tables.attempts).where(is_attempt, is_undecided, exists().where(of_result))


def _write(tables: Tables) -> Update:
    links = tables.links
    is_row = and_(*(links.c[name] == bindparam(f"of_{name}") for name in KEY))
    outcome: dict[str, Any] = {name: bindparam(name) for name in OUTCOME}
    return update(links).where(is_row).values(**outcome, updated_at=utc_now())
