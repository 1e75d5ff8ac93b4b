"""The databases of a task: the warehouse with the rows, and the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from airflow_kombo.database.connections import database_of, engine_of, warehouse_of
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.ledger.write_back import WriteBack

if TYPE_CHECKING:
    from airflow_kombo.database.hook_database import HookDatabase


@dataclass(frozen=True)
class Databases:
    """The databases of a task.

    :param ledger: The database of the ledger.
    :param tables: The tables of the ledger.
    :param warehouse: The database of the rows; the same as `ledger` where one database holds both.
    :param copy: The copy of the status table in the warehouse; None where it has the ledger.
    """

    ledger: Engine
    tables: Tables
    warehouse: Engine | HookDatabase
    copy: WriteBack | None = None

    @property
    def are_one(self) -> bool:
        """Return True if the ledger is in the warehouse."""
        return self.warehouse is self.ledger

    def check(self) -> None:
        """Refuse a ledger that lost rows, before anything is sent.

        :raises ConfigurationError: if it lost rows, or if the warehouse's copy cannot be used.
        :raises WarehouseError: if the warehouse fails.
        """
        if self.copy:
            self.copy.check()

    def write_back(self) -> None:
        """Write statuses and warnings back to the warehouse, where the ledger is elsewhere.

        :raises WarehouseError: if the warehouse fails. The next call goes on.
        """
        if self.copy:
            self.copy.run()


@contextmanager
def opened(
    warehouse_conn_id: str, ledger_conn_id: str | None, status_table: str
) -> Iterator[Databases]:
    """Open the databases of a task, and create the ledger's tables where they are missing.

    :param ledger_conn_id: The ledger's connection; None where the warehouse holds it.
    :raises ConfigurationError: if a connection or a table cannot be used.
    :raises LedgerError: if the ledger's database cannot be reached, or refuses.
    """
    ledger, tables = engine_of(ledger_conn_id or warehouse_conn_id), Tables.named(status_table)
    warehouse: Engine | HookDatabase = ledger
    copy = None
    try:
        if ledger_conn_id not in {None, warehouse_conn_id}:
            warehouse = warehouse_of(warehouse_conn_id)
            copy = WriteBack(ledger, tables, database_of(warehouse_conn_id))
        tables.create(ledger)
        yield Databases(ledger, tables, warehouse, copy)
    finally:
        ledger.dispose()
        if isinstance(warehouse, Engine):
            warehouse.dispose()
