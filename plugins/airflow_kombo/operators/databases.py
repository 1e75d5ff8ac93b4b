"""The databases of a task: the warehouse with the rows, and the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from airflow_kombo.database.connections import database_of, engine_of, warehouse_of
from airflow_kombo.ledger.tables import Tables

if TYPE_CHECKING:
    from airflow_kombo.database.hook_database import HookDatabase


@dataclass(frozen=True)
class Databases:
    """The databases of a task.

    :param ledger: The database of the ledger.
    :param tables: The tables of the ledger.
    :param warehouse: The database of the rows; the same as `ledger` where one database holds both.
    """

    ledger: Engine
    tables: Tables
    warehouse: Engine | HookDatabase

    @property
    def are_one(self) -> bool:
        """Return True if the ledger is in the warehouse."""
        return self.warehouse is self.ledger


@contextmanager
def opened(
    warehouse_conn_id: str, ledger_conn_id: str | None, status_table: str
) -> Iterator[Databases]:
    """Open the databases of a task, and create the ledger's tables where they are missing.

    :param ledger_conn_id: The ledger's connection; None where the warehouse holds it.
    :raises ConfigurationError: if a connection or a table cannot be used.
    :raises LedgerError: if the ledger's database cannot be reached, or refuses.
    """
    ledger = engine_of(ledger_conn_id or warehouse_conn_id)
    is_elsewhere = ledger_conn_id not in {None, warehouse_conn_id}
    warehouse = warehouse_of(warehouse_conn_id) if is_elsewhere else ledger
    try:
        tables = Tables.named(status_table)
        tables.create(ledger)
        yield Databases(ledger, tables, warehouse)
    finally:
        ledger.dispose()
        if isinstance(warehouse, Engine):
            warehouse.dispose()


def written_back(warehouse_conn_id: str, databases: Databases) -> HookDatabase | None:
    """Return the warehouse for the write-back; None where it holds the ledger itself."""
    return None if databases.are_one else database_of(warehouse_conn_id)
