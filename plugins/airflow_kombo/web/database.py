"""Read-only access to the warehouse, with a time limit for each statement."""

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
"""Section of Airflow's configuration with the page's settings."""
STATEMENT_SECONDS: Final = 5
"""After which the warehouse gives a statement of the page up."""


class NoTablesError(KomboError):
    """Error for missing tables: no run has delivered to this warehouse yet."""


@dataclass(frozen=True)
class Settings:
    """Settings of the page: the connection and the status table of the dag.

    :param ledger_conn_id: The connection to the database of the ledger; by default the warehouse.
    :param status_table: The status table, with its schema before a dot where it has one.
    """

    ledger_conn_id: str = "warehouse_default"
    status_table: str = STATUS_TABLE

    @classmethod
    def of_airflow(cls) -> Settings:
        """Read the section `kombo` of Airflow's configuration."""
        from airflow.configuration import conf  # noqa: PLC0415 - the bench has no Airflow

        warehouse = conf.get(SECTION, "warehouse_conn_id", fallback=cls.ledger_conn_id)
        return cls(
            conf.get(SECTION, "ledger_conn_id", fallback=None) or warehouse,
            conf.get(SECTION, "status_table", fallback=cls.status_table),
        )


class Warehouse:
    """Tables in the warehouse, for reading.

    :param engine: A function that returns the engine; each transaction calls it.
    :param tables: The tables of the write that is shown.
    """

    def __init__(self, engine: Callable[[], Engine], tables: Tables) -> None:
        self._engine = engine
        self.tables = tables

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Run a block in one read-only transaction with a time limit for its statements.

        :raises NoTablesError: if the tables do not exist yet.
        :raises LedgerError: if the warehouse cannot be read, or reaches the time limit.
        :raises ConfigurationError: if the connection does not exist.
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
    """Engine of an Airflow connection; a changed connection gets a new engine.

    :param conn_id: The id of the connection.
    """

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self._lock = Lock()
        self._cached: tuple[str, Engine] | None = None

    def __call__(self) -> Engine:
        """Return the engine.

        :raises ConfigurationError: if the connection does not exist, or is no SQL database.
        """
        from airflow.sdk import BaseHook  # noqa: PLC0415 - the bench has no Airflow

        from airflow_kombo.airflow_compat import AirflowNotFoundException  # noqa: PLC0415
        from airflow_kombo.database.connections import engine_of  # noqa: PLC0415

        try:
            uri = BaseHook.get_connection(self._conn_id).get_uri()
        except AirflowNotFoundException:
            raise ConfigurationError(
                f"The API server has no connection {self._conn_id}. Create it where the API server"
                " can read it too, not only the workers. Or name another connection as"
                f" ledger_conn_id in the section [{SECTION}] of Airflow's configuration."
            ) from None
        with self._lock:
            if self._cached is None or self._cached[0] != uri:
                if self._cached:
                    self._cached[1].dispose()
                self._cached = uri, read_only(engine_of(self._conn_id))
            return self._cached[1]


def read_only(engine: Engine) -> Engine:
    """Refuse writes where only a connection can; elsewhere each transaction refuses writes."""
    dialect_of(engine).make_read_only(engine, STATEMENT_SECONDS)
    return engine
