"""Find the status rows that somebody else's open transaction holds, without waiting for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import Connection, Engine, Table, delete, exc, false, insert, select

from airflow_kombo.database.dialects import dialect_of
from airflow_kombo.database.sql import utc_now
from airflow_kombo.database.transactions import is_held, transaction
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.ledger.runs import assert_alive
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.statuses import Status

_INSERT_MILLISECONDS: Final = 5
"""How long each key that has no row is waited for."""


def find_held(
    engine: Engine, tables: Tables, keys: Iterable[LinkKey], run_id: str | None = None
) -> set[str]:
    """Return those results of which somebody else's transaction holds a status row.

    A row that exists is seen to be locked. An INSERT that is not committed shows only when somebody
    else inserts the same key: that is tried on PostgreSQL, where a wait can be short, and undone.

    :param run_id: The run that writes, where it has to be alive.
    :raises RowsHeldError: if a lock on a table, or on the run's row, is what has to be waited for.
    """
    with transaction(engine, "look for rows that others hold") as connection:
        if run_id is not None:
            assert_alive(connection, tables, run_id)
        for table in (tables.links, tables.attempts):  # waits for whoever has locked all of it
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
    """Return the keys of the results' rows.

    :param are_free: Only those that nobody holds, and lock them.
    """
    names = list(links.primary_key)
    query = select(*names).where(links.c.result_id.in_([key.result_id for key in asked]))
    query = query.order_by(*names)
    if are_free:
        # As an UPDATE locks them: who only keeps a row's key from changing is not in its way.
        query = query.with_for_update(skip_locked=True, key_share=True)
    return {LinkKey(*row) for row in connection.execute(query)}


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
        return is_held(error)
    return False
