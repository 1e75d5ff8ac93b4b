"""The warehouse as the page may use it: through Airflow's connection, read-only, never for long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Engine, inspect

from airflow_kombo.database.dialects import dialect_of
from airflow_kombo.database.transactions import transaction
from airflow_kombo.exceptions import ConfigurationError, KomboError, LedgerError
from airflow_kombo.ledger.tables import STATUS_TABLE, Tables

if TYPE_CHECKING:
    from collections.abc import Callable

SECTION: Final = "kombo"
"""Of Airflow's configuration."""
STATEMENT_SECONDS: Final = 5
"""After which the warehouse gives a statement of the page up."""


class NoTablesError(KomboError):
    """Nothing was ever delivered here: our tables are not there."""


@dataclass(frozen=True)
class Settings:
    """What the page reads; it has to be what the dag writes.

    :param warehouse_conn_id: The connection to the warehouse.
    :param status_table: The status table, with its schema before a dot where it has one.
    """

    warehouse_conn_id: str = "warehouse_default"
    status_table: str = STATUS_TABLE

    @classmethod
    def of_airflow(cls) -> Settings:
        """Read the section `kombo` of Airflow's configuration."""
        from airflow.configuration import conf  # noqa: PLC0415 - the bench has no Airflow

        return cls(
            conf.get(SECTION, "warehouse_conn_id", fallback=cls.warehouse_conn_id),
            conf.get(SECTION, "status_table", fallback=cls.status_table),
        )


class Warehouse:
    """Our tables in the warehouse, to be read.

    :param engine: Gives the engine, of which each transaction asks anew.
    """

    def __init__(self, engine: Callable[[], Engine], tables: Tables) -> None:
        self._engine = engine
        self.tables = tables

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Run a block in one transaction that cannot write, and whose statements end in time.

        :raises NoTablesError: if our tables are not there yet.
        :raises LedgerError: if the warehouse cannot be read, or takes too long.
        :raises ConfigurationError: if there is no such connection.
        """
        engine = self._engine()
        try:
            with (
                transaction(engine, "read the ledger", reads_only=True) as connection,
                dialect_of(connection).reading_in_time(connection, STATEMENT_SECONDS),
            ):
                yield connection
        except LedgerError:
            if self._has_no_tables(engine):
                raise NoTablesError(
                    f"There is no table {self.tables.links.fullname} in the warehouse."
                ) from None
            raise

    def _has_no_tables(self, engine: Engine) -> bool:
        with transaction(engine, "look for the ledger", reads_only=True) as connection:
            inspector, links = inspect(connection), self.tables.links
            return not inspector.has_table(links.name, links.schema)


class EngineOfConnection:
    """The engine behind an Airflow connection; a new one when somebody changes the connection."""

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self._lock = Lock()
        self._made: tuple[str, Engine] | None = None

    def __call__(self) -> Engine:
        """Give the engine.

        :raises ConfigurationError: if there is no such connection, or it is no SQL database.
        """
        from airflow.sdk import BaseHook  # noqa: PLC0415 - the bench has no Airflow
        from airflow.sdk.exceptions import AirflowNotFoundException  # noqa: PLC0415

        from airflow_kombo.database.connections import engine_of  # noqa: PLC0415

        try:
            uri = BaseHook.get_connection(self._conn_id).get_uri()
        except AirflowNotFoundException:
            raise ConfigurationError(
                f"The API server knows no connection {self._conn_id}: make it where the server can"
                " read it too (not only the workers), or name another one as warehouse_conn_id in"
                f" the section [{SECTION}] of Airflow's configuration."
            ) from None
        with self._lock:
            if self._made is None or self._made[0] != uri:
                if self._made:
                    self._made[1].dispose()
                self._made = uri, read_only(engine_of(self._conn_id))
            return self._made[1]


def read_only(engine: Engine) -> Engine:
    """Refuse writes where only a connection can do so; elsewhere each transaction refuses them."""
    dialect_of(engine).make_read_only(engine, STATEMENT_SECONDS)
    return engine
