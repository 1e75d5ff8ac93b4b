"""Settle the rows of a dead run: by the outcomes of their attempts, or as unknown."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, Engine, Select, and_, select, update

from airflow_kombo.database.bulk_writes import Bulk
from airflow_kombo.database.sql import without_index
from airflow_kombo.database.transactions import RaceLostError
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.ledger.history import history, outcome_of_history
from airflow_kombo.ledger.late_responses import write_outcomes
from airflow_kombo.ledger.run_scope import day_of_link
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.ledger.time_limits import KOMBO_LOG_DAYS
from airflow_kombo.statuses import ErrorCode, Status

_ROWS_AT_ONCE: Final = 500

_RUN_DIED: Final = {
    "status": Status.UNKNOWN.value,
    "error_code": ErrorCode.RUN_DIED.value,
    "error_message": "The run that sent it ended before its response was recorded. The dag"
    " kombo_reconcile looks for its link. Or look it up in Kombo's logs, which are kept for"
    f" {KOMBO_LOG_DAYS} days, and decide with the dag kombo_resolve_unknown.",
}


def days_of_sending(connection: Connection, tables: Tables, run_id: str) -> dict[LinkKey, Any]:
    """Return the days of a run's `sending` rows by key; None for a row without one."""
    links, runs = tables.links, tables.runs
    query = (
        select(*(links.c[name] for name in KEY), day_of_link(tables).label("day"))
        .join_from(links, runs, runs.c.run_id == links.c.run_id)
        .where(links.c.run_id == run_id, links.c.status == Status.SENDING.value)
    )
    rows: Sequence[Any] = connection.execute(query).all()
    return {LinkKey.of(row): row.day for row in rows}


def settle_by_attempts(
    connection: Connection, tables: Tables, run_id: str, locked: Collection[LinkKey]
) -> dict[LinkKey, Status]:
    """Write outcomes by attempts, and return the new statuses by the rows' keys.

    The run recorded these attempts and died before it wrote the status rows.

    :param locked: Keys of the run's rows that are `sending`. Their locks are held.
    """
    proven = [key for key in _with_outcome(connection, tables, run_id) if key in locked]
    rest, settled = iter(proven), dict[LinkKey, Status]()
    while keys := list(islice(rest, _ROWS_AT_ONCE)):
        attempts = history(connection, tables, [key.result_id for key in keys])
        outcomes = [(key, outcome_of_history(attempts[key.result_id])) for key in keys]
        write_outcomes(connection, tables, [(key, one.values) for key, one in outcomes])
        settled |= {key: one.status for key, one in outcomes}
    return settled


def _with_outcome(connection: Connection, tables: Tables, run_id: str) -> list[LinkKey]:
    """Return the keys of a run's `sending` rows with an outcome of their attempt."""
    links, attempts = tables.links.c, tables.attempts.c
    is_own = and_(
        *(links[name] == attempts[name] for name in KEY),
        links.run_id == without_index(attempts.run_id),
        links.attempts == attempts.attempt,
    )
    query = (
        select(*(links[name] for name in KEY))
        .join_from(tables.links, tables.attempts, is_own)
        .where(links.run_id == run_id, links.status == Status.SENDING.value)
        .where(attempts.status.is_not(None))
    )
    rows: Sequence[Any] = connection.execute(query).all()
    return [LinkKey.of(row) for row in rows]


class AttemptKey(NamedTuple):
    """The key of a row, and the number of the attempt."""

    key: LinkKey
    attempt: int


class RowsInDoubt:
    """Rows of a table without an outcome from their run.

    :param attempt: The column with the number of the attempt.
    :param condition: The condition on the run's rows.
    """

    def __init__(
        self, engine: Engine, attempt: Column[Any], run_id: str, condition: ColumnElement[bool]
    ) -> None:
        self._table: Any = attempt.table
        self._attempt = attempt.name
        self._names = (*KEY, attempt.name)
        columns = [self._table.c[name] for name in self._names]
        self._given = Bulk(engine, columns)
        of_run = self._table.c.run_id
        self._query = select(*columns).where(of_run == run_id, condition).order_by(*columns)
        self._is_in_doubt = and_(without_index(of_run) == run_id, condition)

    def read(self, connection: Connection) -> set[AttemptKey]:
        """Return all rows, also held ones."""
        return set(self._keys(connection, self._query))

    def lock(self, connection: Connection) -> list[AttemptKey]:
        """Lock and return the rows not held by others."""
        return self._keys(connection, self._query.with_for_update(skip_locked=True))

    def _keys(self, connection: Connection, query: Select[Any]) -> list[AttemptKey]:
        rows: Sequence[Any] = connection.execute(query).all()
        return [AttemptKey(LinkKey.of(row), getattr(row, self._attempt)) for row in rows]

    def make_unknown(
        self, connection: Connection, rows: Sequence[AttemptKey], **values: Any
    ) -> None:
        """Write `unknown` to rows.

        :param values: Further values of these rows by column.
        :raises RaceLostError: if a row was changed meanwhile, on a database without FOR UPDATE.
        """
        is_one = (self._table.c[name] == self._given.c[name] for name in self._names)
        one_row = update(self._table).where(*is_one, self._is_in_doubt)
        statement = one_row.values(_RUN_DIED | values)
        asked = [{**row.key.columns, self._attempt: row.attempt} for row in rows]
        (changed,) = self._given.execute(connection, asked, statement)
        if changed != len(rows):
            raise RaceLostError
