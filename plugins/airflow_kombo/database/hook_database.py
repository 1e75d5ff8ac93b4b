"""Databases through the DB-API connections of their Airflow hooks.

No dialect of SQLAlchemy is needed. This is the way to a warehouse such as Snowflake, BigQuery or
DuckDB, whose ledger is elsewhere.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from copy import copy
from datetime import date
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, cast

from sqlalchemy.engine.default import DefaultDialect

from airflow_kombo.database.advice import with_advice
from airflow_kombo.exceptions import ConfigurationError, WarehouseError

if TYPE_CHECKING:
    from sqlalchemy import ClauseElement

_PLACEHOLDERS: Final = {"%s": "format", "?": "qmark"}
"""DB-API's style of parameters for the placeholder of Airflow's hook."""
_AIRFLOWS_OWN: Final = {"gcpbigquery": "pyformat"}
"""The style of connections that Airflow's provider makes itself, by the connection's type."""
_DATES_AS_TEXT: Final = frozenset({"gcpbigquery", "sqlite"})
"""Types of connections that cannot bind a date: BigQuery's writes 2026-11-03 without quotes."""
_WRONG: Final = ("ProgrammingError", "NotSupportedError", "BadRequest", "Forbidden", "NotFound")
"""Errors of a statement that would fail again: DB-API's, and those of Google's clients."""

_QUOTING: Final = ("IntegrityError", "DataError", "InvalidInputException")
"""Errors whose text may quote a row: DB-API's, and DuckDB's of a function such as `strptime`."""
_QUOTING_STATES: Final = ("22", "23")
"""Classes of SQL's states whose text may: a value is wrong. Not all drivers raise `DataError`."""
_STATE_IN_TEXT: Final = re.compile(r"SQLSTATE: (\w{5})")
"""SQL's state as Databricks writes it."""
_OF_QUERY: Final = re.compile(r" at \[\d+:\d+\]|must be qualified with a dataset")
"""BigQuery's words for a wrong query. It has the same reason for a wrong value of a row."""
_STATE_LENGTH: Final = 5
_QUOTING_NUMBERS: Final = frozenset({220, 241, 244, 245, 248, 2628})
"""SQL Server's numbers for values that do not fit a type."""
_GOOGLES: Final = ("google.", "googleapiclient.")
"""Modules of the errors of BigQuery's hook, whose connection has no errors of DB-API's."""

_MARKS: Final = {
    "qmark": "?",
    "format": "%%s",
    "pyformat": "%%(%(name)s)s",
    "named": ":%(name)s",
}
"""A parameter in a statement, by DB-API's style."""

_FOLDING_UP: Final = frozenset({"snowflake", "oracle"})
"""Types of connections to databases that return an unquoted name in upper case."""
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Parameters = Mapping[str, Any] | Sequence[Any]


class HookConnection:
    """One open connection, for one thread.

    :param raw: The DB-API connection.
    """

    def __init__(self, raw: Any, conn_type: str, placeholder: str) -> None:
        self.raw = raw
        self._cursor = raw.cursor()
        self._conn_type = conn_type
        style = _AIRFLOWS_OWN.get(conn_type) or getattr(driver_of(raw), "paramstyle", None)
        style = style if style in _MARKS else _PLACEHOLDERS.get(placeholder, "format")
        self._dialect = DefaultDialect(paramstyle=cast("Any", style))
        self._mark = _MARKS[style]

    def execute(self, statement: ClauseElement) -> list[str]:
        """Run a statement with its parameters bound.

        :returns: The names of the result's columns.
        """
        sql, parameters = self.rendered(statement)
        if parameters:
            self._cursor.execute(sql, parameters)
        else:
            self._cursor.execute(sql)
        return [self._plain_name(column[0]) for column in self._cursor.description or ()]

    def rows(self, most: int) -> list[tuple[Any, ...]]:
        """Return the next rows of the statement.

        :param most: Most rows to return; fewer are the last ones.
        """
        return [tuple(row) for row in self._cursor.fetchmany(most)]

    def cancel(self) -> None:
        """End the statement of another thread, if the driver can do so.

        A driver ignores this before the statement has begun, and may raise an error after its end.
        """
        ways = (
            (self._cursor, "cancel"),  # Databricks
            (self._cursor, "interrupt"),  # DuckDB
            (self.raw, "cancel"),  # psycopg
        )
        for owner, name in ways:
            if cancel := getattr(owner, name, None):
                try:
                    cancel()
                except Exception as error:
                    if not _is_of_driver(error):
                        raise
                return

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows with one statement.

        :param table: The table's name, as the database reads it.
        :param rows: Values that the driver binds as they are; dates and times are given as text.
        """
        count = len(columns)
        names = [f"p{number}" for number in range(count * len(rows))]
        marks = [self._mark % {"name": name} for name in names]
        values = ", ".join(
            f"({', '.join(marks[start : start + count])})" for start in range(0, len(marks), count)
        )
        flat = [value for row in rows for value in row]
        given = dict(zip(names, flat, strict=True)) if "name" in self._mark else flat
        into = f"INSERT INTO {table} ({', '.join(columns)})"
        self._cursor.execute(f"{into} VALUES {values}", given)

    def commit(self) -> None:
        """Commit what was written so far, where the connection has transactions."""
        self.raw.commit()

    def rendered(self, statement: ClauseElement) -> tuple[str, Parameters]:
        """Return a statement's text and parameters, in the style of the driver."""
        expanded = {"render_postcompile": True}
        compiled: Any = statement.compile(dialect=self._dialect, compile_kwargs=expanded)
        if not compiled.params:
            # Without parameters a driver leaves the text alone, so percent signs stay single.
            return str(statement.compile(dialect=DefaultDialect(paramstyle="named"))), ()
        values = {name: self._plain(value) for name, value in compiled.params.items()}
        if compiled.positiontup is None:
            return str(compiled), values
        return str(compiled), [values[name] for name in compiled.positiontup]

    def _plain_name(self, name: str) -> str:
        is_folded = self._conn_type in _FOLDING_UP and name.isupper()
        return name.lower() if is_folded else name

    def _plain(self, value: Any) -> Any:
        if isinstance(value, date) and self._conn_type in _DATES_AS_TEXT:
            return str(value)
        return value


class HookDatabase:
    """A database behind an Airflow hook.

    :param hook: A hook with `get_conn`.
    """

    def __init__(self, hook: Any) -> None:
        self.hook = hook
        self.conn_type: str = hook.conn_type

    @staticmethod
    def quote(name: str) -> str:
        """Return a table's or a schema's name as it is: databases quote in different ways.

        :raises ConfigurationError: if the name would have to be quoted.
        """
        if not _PLAIN_NAME.fullmatch(name):
            raise ConfigurationError(
                f"The name {name} cannot be used unquoted. Name the table in sql instead of table."
            )
        return name

    @contextmanager
    def connected(self, doing: str) -> Iterator[HookConnection]:
        """Open a connection for a block, and close the connection.

        A block that writes has to commit. Where the connection commits each statement by itself, it
        goes on to do so.

        :param doing: The work, for the error message: "The warehouse could not …".
        :raises ConfigurationError: if a statement is wrong, or may not be executed.
        :raises WarehouseError: if the database fails in another way, which may pass.
        """
        with _as_our_error(doing), closing(self._new_connection()) as raw:
            yield HookConnection(raw, self.conn_type, getattr(self.hook, "placeholder", ""))

    def _new_connection(self) -> Any:
        hook = copy(self.hook)  # Databricks' hook returns its connection again, also a closed one
        if hasattr(hook, "use_legacy_sql"):  # BigQuery's; its default has no INSERT
            hook.use_legacy_sql = False
        return hook.get_conn()


@contextmanager
def _as_our_error(doing: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not _is_of_driver(error):  # an error in this program
            raise
        names = {kind.__name__ for kind in type(error).__mro__}
        kind = ConfigurationError if names.intersection(_WRONG) else WarehouseError
        raise kind(
            f"The warehouse could not {doing}: {with_advice(_cause_of(error, names))}"
        ) from None


def _is_of_driver(error: Exception) -> bool:
    driver = driver_of(error)
    if driver is not None:
        return isinstance(error, driver.Error)
    return any(kind.__module__.startswith(_GOOGLES) for kind in type(error).__mro__)


def _cause_of(error: Exception, names: set[str]) -> str:
    """Return the kind of an error, with the first line if no row is quoted."""
    kind = type(error).__name__
    if names.intersection(_QUOTING) or _blames_a_value(error):
        return kind
    return f"{kind}: {(str(error).strip().splitlines() or [''])[0]}"


def _blames_a_value(error: Exception) -> bool:
    """Return True if an error may be about a value of a row, by its state, number or text."""
    first, text = next(iter(error.args), None), str(error)
    if type(error).__name__ == "BadRequest":  # BigQuery's, of the query and of values alike
        reasons = {one.get("reason") for one in getattr(error, "errors", ())}
        return reasons <= {"invalidQuery"} and not _OF_QUERY.search(text)
    if isinstance(first, dict):  # Redshift's driver
        first = first.get("C")
    found = _STATE_IN_TEXT.search(text)
    states = (getattr(error, "sqlstate", None), found and found[1], first)
    return first in _QUOTING_NUMBERS or any(
        isinstance(state, str) and len(state) == _STATE_LENGTH and state[:2] in _QUOTING_STATES
        for state in states
    )


def driver_of(made: object) -> ModuleType | None:
    """Return the DB-API module of a connection or an error, or None without one.

    A driver's classes are in its module or below: `snowflake.connector.connection`, `_duckdb`.
    """
    for kind in type(made).__mro__:
        name = kind.__module__.lstrip("_")
        while name:
            module = sys.modules.get(name)
            if hasattr(module, "paramstyle") and hasattr(module, "Error"):
                return module
            name = name.rpartition(".")[0]
    return None
