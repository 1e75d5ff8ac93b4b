"""Find status rows held by other open transactions, without a wait."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Engine, Table, delete, exc, false, insert, select

from airflow_kombo.database.dialects import dialect_of
from airflow_kombo.database.sql import utc_now
from airflow_kombo.database.transactions import is_held, transaction
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.ledger.runs import assert_alive
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.statuses import Status

_INSERT_MILLISECONDS: Final = 5
"""Time to wait for each key without a row."""


def find_held(
    engine: Engine, tables: Tables, keys: Iterable[LinkKey], run_id: str | None = None
) -> set[str]:
    """Return the result ids of the status rows held by other transactions.

    A row that exists is found by its lock. A row of another transaction's INSERT is invisible until
    its commit. On PostgreSQL, where a wait can be short, an INSERT of the same key finds it, and is
    undone.

    :param run_id: The run that writes, if it has to be alive.
    :raises RowsHeldError: if another transaction holds a table, or the run's row.
    """
    with transaction(engine, "look for rows that others hold") as connection:
        if run_id is not None:
            assert_alive(connection, tables, run_id)
        for table in (tables.links, tables.attempts):  # waits for a lock on the whole table
            connection.execute(delete(table).where(false()))
        asked = sorted(set(keys))
        rows = _rows(connection, tables.links, asked)
        free = _rows(connection, tables.links, asked, are_free=True)
        held = {key.result_id for key in rows - free}
        if dialect_of(engine).can_limit_lock_waits:
            absent = [key for key in asked if key not in rows]
            held |= _being_inserted(connection, tables.links, absent)
        return held


def _rows(
    connection: Connection, links: Table, asked: Sequence[LinkKey], *, are_free: bool = False
) -> set[LinkKey]:
    """Return the keys of the results' status rows.

    :param are_free: True to return only the rows that nobody holds, and to lock them.
    """
    names = list(links.primary_key)
    query = select(*names).where(links.c.result_id.in_([key.result_id for key in asked]))
    query = query.order_by(*names)
    if are_free:
        # The lock of an UPDATE. A lock that only keeps the key from changing does not block it.
        query = query.with_for_update(skip_locked=True, key_share=True)
    rows: Sequence[Any] = connection.execute(query).all()
    return {LinkKey.of(row) for row in rows}


def _being_inserted(connection: Connection, links: Table, keys: Sequence[LinkKey]) -> set[str]:
    if keys:
        dialect_of(connection).limit_lock_waits(connection, _INSERT_MILLISECONDS)
    return {key.result_id for key in keys if _is_being_inserted(connection, links, key)}


def _is_being_inserted(connection: Connection, links: Table, key: LinkKey) -> bool:
    row = {**key.columns, "status": Status.SENDING.value, "attempts": 0, "run_id": ""}
    try:
        with connection.begin_nested() as savepoint:
            connection.execute(insert(links).values(**row, updated_at=utc_now()))
            savepoint.rollback()
    except exc.DBAPIError as error:
        if error.connection_invalidated:
            raise
        return is_held(error)  # any other refusal is the write's own to meet
    return False
