"""Recognize one table behind two connections."""

from __future__ import annotations

from contextlib import suppress
from os.path import realpath
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from airflow_kombo.database.dialects import dialect_of
from airflow_kombo.database.transactions import transaction
from airflow_kombo.exceptions import ConfigurationError, WarehouseError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from airflow_kombo.database.hook_database import HookDatabase


def is_same_table(engine: Engine, warehouse: HookDatabase, table: str) -> bool:
    """Return True if an engine and a warehouse have the table of a name in common.

    The names of two connections prove nothing: a host, a file or a pooler has several.

    :param table: A table that exists, at least behind the engine.
    """
    identity = dialect_of(engine).identity(table)
    if identity is None:
        return False
    query = text(identity)
    with transaction(engine, "be identified", reads_only=True) as ledger:
        ours = _names(ledger.execute(query).one())
    with suppress(ConfigurationError, WarehouseError):  # another kind of database
        with warehouse.connected("be identified") as connection:
            connection.execute(query)
            theirs = connection.rows(1)
        return [_names(row) for row in theirs] == [ours]
    return False


def _names(row: Any) -> list[str]:
    return [realpath(str(value)) for value in row]  # a file may have two names
