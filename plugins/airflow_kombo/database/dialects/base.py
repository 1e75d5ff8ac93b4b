"""The base of all dialects: a database of an unknown kind, asked for standard SQL only."""

# ruff: noqa: ARG002 - the subclasses' methods use the arguments
from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Executable,
    FromClause,
    String,
    Table,
    cast,
    func,
    inspect,
)

from airflow_kombo.database.cursor_readers import CursorReader
from airflow_kombo.database.dialects.scripts import Script

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import ReflectedIndex

LOCK_NOT_AVAILABLE: Final = "55P03"
"""SQL's state (PostgreSQL's) for a lock that was not granted within the time set for it."""
DEADLOCK: Final = "40P01"
"""SQL's state (PostgreSQL's) for transactions that waited for each other."""


class Dialect:
    """Peculiarities of a database, with standard SQL as the default.

    It has no state, so that one instance serves all engines.
    """

    names: ClassVar[frozenset[str]] = frozenset()
    """SQLAlchemy's names of the database."""
    drivers: ClassVar[frozenset[str]] = frozenset()
    """Top-level modules of the drivers whose errors need `state_of` or `has_server`."""
    now: ClassVar[str] = "CURRENT_TIMESTAMP"
    """SQL for the database's clock, in UTC."""
    has_server: ClassVar[bool] = True
    """True if an operational error without a state comes from a server out of reach."""
    can_limit_lock_waits: ClassVar[bool] = False
    """True if `limit_lock_waits` has an effect."""
    mend_transactions: ClassVar[str] = ""
    """Advice to get transactions for `{table}`."""
    has_partial_indexes: ClassVar[bool] = True
    """False if an index always has all rows of a table."""

    reads_at_once: ClassVar[bool] = False
    """True if a query's rows have to be read without a pause, however many they are."""

    # Engines and transactions ---------------------------------------------------------------

    def connect_args(self, scheme: str, extra: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments for the driver; Airflow's hook leaves them out of an engine.

        :param scheme: The engine's scheme, with the driver where there is one.
        :param extra: The extra of Airflow's connection.
        """
        return {}

    def prepare(self, engine: Engine) -> None:
        """Make an engine's transactions real and durable, and waits finite."""

    def begin(self, connection: Connection, *, reads_only: bool, finds_by_key: bool) -> None:
        """Set up a new transaction; see `transactions.begin`."""

    def limit_lock_waits(self, connection: Connection, milliseconds: int) -> None:
        """Limit each wait for a lock, until the transaction ends."""

    def script(self, engine: Engine, statement: Executable) -> Script | None:
        """Build the script of a write that is a whole transaction, or None without a way.

        :param statement: The one statement of the transaction; it finds rows by key.
        """
        return None

    def cancel(self, connection: Connection) -> None:
        """End the statement that another thread waits for, if the driver can do so."""
        if cancel := getattr(connection.connection.driver_connection, "cancel", None):
            cancel()

    def state_of(self, error: BaseException | None) -> str | None:
        """Return SQL's state of a driver's error, or None if the error has none."""
        state: str | None = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
        return state

    def locked(self, engine: Engine, name: str, seconds: int) -> AbstractContextManager[bool]:
        """Hold a lock that one process at a time may have, until the block or the process ends.

        :param name: The lock's name.
        :param seconds: Seconds to wait at most for another process.
        :returns: A context with False if another process holds the lock for longer.
        """
        return nullcontext(True)  # noqa: FBT003 - the context's value

    def identity(self, table: str) -> str | None:
        """Return a query for the identity of one table on one server, or None without a way.

        Two connections with different hosts or files may lead to the same table.
        """
        return None

    # Reading and writing many rows ----------------------------------------------------------

    def recordset(self, columns: Mapping[str, Any], parameter: str) -> FromClause | None:
        """Build a table of the rows in one parameter of JSON, or None.

        :param columns: The rows' columns, each with its type.
        :param parameter: The parameter's name.
        """
        return None

    def reader(self, connection: Connection, types: Mapping[str, object]) -> CursorReader:
        """Build the reader of one query's rows.

        :param types: The query's columns, each with the driver's word for its type.
        """
        return CursorReader(connection, types)

    # Ids in a query -------------------------------------------------------------------------

    def decimals(self, engine: Engine, types: Mapping[str, object]) -> Collection[str]:
        """Return the columns with decimal numbers, where SQL can format them."""
        return ()

    def formatted(
        self, value: ColumnElement[Any], number: ColumnElement[str], text: ColumnElement[str]
    ) -> ColumnElement[str]:
        """Return a value as a formatted number, or as a text.

        :param value: A column of `decimals`.
        :param number: The formatted number.
        :param text: The value as a text.
        """
        return number

    def as_text(self, value: ColumnElement[Any]) -> ColumnElement[str]:
        """Return a value as a text to be compared with an id in our tables."""
        return cast(value, String)

    def trimmed(self, text: ColumnElement[str], blanks: str) -> ColumnElement[str]:
        """Return a text without blanks at the ends; standard SQL removes spaces only.

        :param blanks: The characters to remove, where the database can be given them.
        """
        return func.trim(text)

    def without_end(self, text: ColumnElement[str], character: str) -> ColumnElement[str]:
        """Return a text without a character at the end, however often the text has it."""
        return func.rtrim(text, character)

    # Tables ---------------------------------------------------------------------------------

    def lack(self, connection: Connection) -> str | None:
        """Return what the server lacks to hold the ledger, or None."""
        return f"{connection.dialect.name} is none that was tried"

    def mend_ids(self, table: str, columns: Iterable[str]) -> str:
        """Return advice to compare the ids in some columns of a table exactly."""
        return ""

    def unique_keys(self, connection: Connection, table: Table) -> set[frozenset[str | None]]:
        """Return the sets of columns with unique values in a table."""
        inspector = inspect(connection)
        primary = inspector.get_pk_constraint(table.name, table.schema)["constrained_columns"]
        constraints = inspector.get_unique_constraints(table.name, table.schema)
        indexes = inspector.get_indexes(table.name, table.schema)
        return {
            frozenset(primary),
            *(
                frozenset(constraint["column_names"])
                for constraint in constraints
                if "duplicates_index" not in constraint  # the index says more
            ),
            *(frozenset(index["column_names"]) for index in indexes if _is_unique(index)),
        }

    def seeing_commits(self, engine: Engine) -> Engine:
        """Return the engine for a transaction whose later statements see commits of meanwhile.

        Those of SQLite need not, as nobody else writes, and those of MySQL see them when they lock.
        """
        return engine

    def leave_space(self, connection: Connection, table: Table) -> None:
        """Leave space beside the new rows of an older version's table, where that is an option."""

    # The page -------------------------------------------------------------------------------

    def make_read_only(self, engine: Engine, busy_seconds: float) -> None:
        """Refuse writes on each connection of an engine, where only the connection can do so.

        :param busy_seconds: Seconds to wait at most for another process's transaction.
        """

    @contextmanager
    def reading_in_time(self, connection: Connection, seconds: float) -> Iterator[None]:
        """Make a transaction read-only, and end statements after some time.

        :param seconds: Seconds that a statement may take.
        """
        yield


def _is_unique(index: ReflectedIndex) -> bool:
    """Return True if an index keeps all rows of a table unique."""
    # On some rows only, or on the beginnings of texts.
    narrower = ("_where", "_length")
    is_partial = any(name.endswith(narrower) for name in index.get("dialect_options", {}))
    return bool(index["unique"]) and not is_partial
