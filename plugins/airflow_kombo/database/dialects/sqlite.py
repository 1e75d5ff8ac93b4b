"""SQLite: a file with one writing transaction at a time."""

# ruff: noqa: ARG002 - the base's arguments
from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from time import monotonic
from typing import Any, Final, cast

from sqlalchemy import ColumnElement, Connection, Engine, case, event, func

from airflow_kombo.database.cursor_readers import CursorReader, SQLiteReader
from airflow_kombo.database.dialects.base import Dialect

_BUSY_MILLISECONDS: Final = 60_000
"""Milliseconds that a writer waits for another process's transaction."""
_LEAST_VERSION: Final = (3, 31)
"""The oldest version with columns that the database derives."""
_STEPS: Final = 10_000
"""Steps of SQLite's virtual machine between two checks of the time limit."""


class SQLite(Dialect):
    """SQLite through Python's own driver."""

    names = frozenset({"sqlite"})
    drivers = frozenset({"sqlite3"})
    now = "strftime('%Y-%m-%d %H:%M:%f000', 'now')"
    has_server = False
    reads_at_once = True  # nobody can commit meanwhile

    def prepare(self, engine: Engine) -> None:
        """Begin each transaction ourselves.

        The driver begins a transaction at the first write only. Two writers that have both read
        before then deadlock. `BEGIN IMMEDIATE` makes the second one wait: SQLAlchemy's own recipe.
        """
        event.listen(engine, "connect", _leave_transactions_to_us)
        event.listen(engine, "begin", _begin)

    def cancel(self, connection: Connection) -> None:
        """End the statement of another thread."""
        cast("Any", connection.connection.driver_connection).interrupt()

    def reader(self, connection: Connection, types: Mapping[str, object]) -> CursorReader:
        """Build the reader of one query's rows, by the driver."""
        kind = SQLiteReader if connection.dialect.driver == "pysqlite" else CursorReader
        return kind(connection, types)

    def decimals(self, _engine: Engine, types: Mapping[str, object]) -> Collection[str]:
        """Return all columns: SQLite has a type for each value."""
        return types.keys()

    def formatted(
        self, value: ColumnElement[Any], number: ColumnElement[str], text: ColumnElement[str]
    ) -> ColumnElement[str]:
        """Return the formatted number where the value is a float, else the text."""
        return case((func.typeof(value) == "real", number), else_=text)

    def trimmed(self, text: ColumnElement[str], blanks: str) -> ColumnElement[str]:
        """Return a text without blanks at the ends."""
        return func.trim(text, blanks)

    def lack(self, connection: Connection) -> str | None:
        """Return what the library lacks, or None."""
        if sqlite3.sqlite_version_info < _LEAST_VERSION:
            least = ".".join(map(str, _LEAST_VERSION))
            return f"it is SQLite {sqlite3.sqlite_version}, and {least} is needed"
        return None

    def mend_ids(self, table: str, columns: Iterable[str]) -> str:
        """Return advice to compare the ids in some columns of a table exactly."""
        return (
            f"Make {table} anew without COLLATE, and copy its rows:"
            " python -m airflow_kombo.ledger.ddl --dialect sqlite prints the statements"
        )

    @contextmanager
    def locked(self, engine: Engine, name: str, seconds: int) -> Iterator[bool]:
        """Lock an empty file beside the database: a lock in it would stop all runs."""
        path = engine.url.database
        if not path or path == ":memory:":  # no other process sees such a database
            yield True
            return
        file = f"{path}-lock"
        with closing(sqlite3.connect(file, timeout=seconds, isolation_level=None)) as lock:
            try:
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError:
                yield False
            else:
                yield True

    def identity(self, table: str) -> str:
        """Return the query for the database's file."""
        return "SELECT file FROM pragma_database_list WHERE name = 'main'"

    def make_read_only(self, engine: Engine, busy_seconds: float) -> None:
        """Refuse writes on each connection of an engine."""

        def refuse_writes(connection: Any, _record: object) -> None:
            connection.execute("PRAGMA query_only = ON")
            connection.execute(f"PRAGMA busy_timeout = {round(busy_seconds * 1000)}")

        event.listen(engine, "connect", refuse_writes)

    @contextmanager
    def reading_in_time(self, connection: Connection, seconds: float) -> Iterator[None]:
        """End the statements of a transaction after some time for all of them together."""
        driver: Any = connection.connection.driver_connection
        latest = monotonic() + seconds
        driver.set_progress_handler(lambda: monotonic() > latest, _STEPS)
        try:
            yield
        finally:
            driver.set_progress_handler(None, 0)


def _leave_transactions_to_us(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
    # A commit survives a power failure, in every mode of the journal, however SQLite was built.
    connection.execute("PRAGMA synchronous = EXTRA")


def _begin(connection: Connection) -> None:
    reads = connection.get_execution_options().get("reads_only", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
