"""Write evidence to rows in doubt: what was looked for, and what it decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from sqlalchemy import Connection, Engine, bindparam, or_, select, tuple_, update

from airflow_kombo.database.sql import utc_now
from airflow_kombo.database.transactions import in_race
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.ledger.decisions import BY_EVIDENCE, DecisionBy, decide
from airflow_kombo.ledger.doubtful_rows import DoubtfulRow
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.statuses import Decision, Status

_ORDER: Final = {None: 0, Decision.CREATED: 1, Decision.NOT_CREATED: 2}


@dataclass(frozen=True)
class Evidence:
    """Result of a look for a row's link.

    :param text: What was looked for, where and when, and what was found.
    :param decision: The decision that follows; None if nothing is proved.
    """

    row: DoubtfulRow
    text: str
    decision: Decision | None = None


def record_evidence(
    engine: Engine, tables: Tables, found: Sequence[Evidence], by: str
) -> list[Evidence]:
    """Write evidence in one transaction, and return what was written.

    A row with a new status or a new attempt meanwhile is left as it is.

    :param by: The name of the dag that looked.
    :raises LedgerError: if nothing was written.
    """
    return in_race(
        engine,
        "write evidence",
        lambda connection: _record(connection, tables, found, by),
    )


def _record(
    connection: Connection, tables: Tables, found: Sequence[Evidence], by: str
) -> list[Evidence]:
    locked = {LinkKey.of(row): row for row in _locked(connection, tables, found)}
    written = [one for one in found if one.row.key in locked]
    if not written:
        return []
    written.sort(key=lambda one: (_ORDER[one.decision], one.text, one.row.key))
    # The evidence goes first: a decided attempt is in doubt no longer.
    _keep(connection, tables, written)
    for (decision, text), group in groupby(written, lambda one: (one.decision, one.text)):
        if decision:
            rows = [locked[one.row.key] for one in group]
            decide(connection, tables, rows, DecisionBy(decision, text, by), BY_EVIDENCE)
    return written


def _locked(connection: Connection, tables: Tables, found: Sequence[Evidence]) -> Sequence[Any]:
    """Lock the rows that are as they were, in the order of their keys."""
    links = tables.links.c
    key = [links[name] for name in KEY]
    named = [(*one.row.key, one.row.attempts) for one in found]
    query = select(*links).where(
        links.status == Status.UNKNOWN.value, tuple_(*key, links.attempts).in_(named)
    )
    return connection.execute(query.order_by(*key).with_for_update()).all()


def _keep(connection: Connection, tables: Tables, found: Sequence[Evidence]) -> None:
    attempts = tables.attempts
    in_doubt = or_(attempts.c.status.is_(None), attempts.c.status == Status.UNKNOWN.value)
    statement = update(attempts).where(
        attempts.c.result_id == bindparam("of_result"), in_doubt, attempts.c.resolution.is_(None)
    )
    connection.execute(
        statement.values(evidence=bindparam("text"), evidence_at=utc_now()),
        [{"of_result": one.row.key.result_id, "text": one.text} for one in found],
    )
