"""PostgreSQL through psycopg or psycopg2."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from zlib import crc32

from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Engine,
    Executable,
    FromClause,
    Table,
    bindparam,
    cast,
    column,
    event,
    func,
    select,
    text,
)

from airflow_kombo.database.cursor_readers import CursorReader, Psycopg2Reader, PsycopgReader
from airflow_kombo.database.dialects.base import Dialect
from airflow_kombo.database.dialects.columns import STORAGE, storage_of
from airflow_kombo.database.dialects.postgresql_settings import (
    BRIEFLY,
    BY_KEY,
    READING,
    READING_BY_KEY,
    WRITING,
)
from airflow_kombo.database.dialects.scripts import Script

_LIBPQ: Final = frozenset({"", "psycopg", "psycopg2"})
"""SQLAlchemy's names of the drivers that take libpq's parameters; without a name it is psycopg2."""
_REACHING_THE_SERVER: Final = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""libpq's parameters: a lost server is noticed within a minute, not in hours."""

_LEAST_VERSION: Final = 12
"""The oldest version on which the ledger was tried."""

# An index counts if it covers all rows, is built, and is checked at each statement.
_UNIQUE_KEYS: Final = text("""
    SELECT array_agg(a.attname::text)
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1])
    WHERE c.relname = :name
      AND CASE WHEN cast(:schema AS text) IS NULL THEN pg_table_is_visible(c.oid)
               ELSE n.nspname = :schema END
      AND i.indisunique AND i.indisvalid AND i.indisready AND i.indimmediate
      AND i.indpred IS NULL AND i.indexprs IS NULL
    GROUP BY i.indexrelid
""")

_OPTIONS_OF_TABLE: Final = text("SELECT reloptions FROM pg_class WHERE oid = to_regclass(:name)")


class PostgreSQL(Dialect):
    """PostgreSQL, the reference."""

    names = frozenset({"postgresql"})
    can_limit_lock_waits = True

    def connect_args(self, scheme: str, extra: Mapping[str, Any]) -> dict[str, Any]:
        """Return the extra, such as `sslmode`.

        Airflow's hook uses it for connections of its own, and not for an engine.

        Drivers other than psycopg and psycopg2 do not take libpq's parameters.
        """
        return dict(extra) if scheme.partition("+")[2] in _LIBPQ else {}

    def prepare(self, engine: Engine) -> None:
        """Notice a lost server, and keep no prepared statements."""
        if engine.dialect.driver in _LIBPQ:
            event.listen(engine, "do_connect", _notice_a_lost_server)
        if engine.dialect.driver == "psycopg":
            event.listen(engine, "connect", _plan_anew)

    def begin(self, connection: Connection, *, reads_only: bool, finds_by_key: bool) -> None:
        """Set a transaction's durability and waits; the settings end with the transaction.

        An engine's event could do so too, but costs each statement 30 µs in SQLAlchemy 2.0.
        """
        briefly = connection.get_execution_options().get("waits_briefly", False)
        reads = READING_BY_KEY if finds_by_key else READING
        writes = BRIEFLY if briefly else BY_KEY if finds_by_key else WRITING
        connection.exec_driver_sql(reads if reads_only else writes)

    def script(self, engine: Engine, statement: Executable) -> Script | None:
        """Build the script of a transaction's settings and its one statement.

        PostgreSQL runs all statements of one message in one transaction. Drivers other than
        psycopg and psycopg2 send a statement with parameters only alone.
        """
        if engine.dialect.driver not in _LIBPQ:
            return None
        briefly = engine.get_execution_options().get("waits_briefly", False)
        return Script(engine, BRIEFLY if briefly else BY_KEY, statement)

    def limit_lock_waits(self, connection: Connection, milliseconds: int) -> None:
        """Limit each wait for a lock, until the transaction ends."""
        _set(connection, "lock_timeout", f"{milliseconds}ms")

    def recordset(self, columns: Mapping[str, Any], parameter: str) -> FromClause | None:
        """Build a table of the rows in one parameter of JSON."""
        rows = func.json_to_recordset(cast(bindparam(parameter), JSON))
        names = [column(name, kind) for name, kind in columns.items()]
        return rows.table_valued(*names).render_derived(name="given", with_types=True)

    def seeing_commits(self, engine: Engine) -> Engine:
        """Return the engine with PostgreSQL's usual isolation, whatever the user's default is."""
        return engine.execution_options(isolation_level="READ COMMITTED")

    def leave_space(self, connection: Connection, table: Table) -> None:
        """Set the table's fillfactor, unless its owner has set one."""
        wanted = table.info.get(STORAGE)
        if not wanted:
            return
        name = connection.dialect.identifier_preparer.format_table(table)
        options = connection.execute(_OPTIONS_OF_TABLE, {"name": name}).scalar() or ()
        if not any(one.partition("=")[0] in wanted for one in options):
            connection.exec_driver_sql(f"ALTER TABLE {name} SET ({storage_of(table)})")

    def reader(self, connection: Connection, types: Mapping[str, object]) -> CursorReader:
        """Build the reader of one query's rows, by the driver."""
        readers = {"psycopg": PsycopgReader, "psycopg2": Psycopg2Reader}
        return readers.get(connection.dialect.driver, CursorReader)(connection, types)

    def decimals(self, engine: Engine, types: Mapping[str, object]) -> Collection[str]:
        """Return the columns of numbers."""
        number = engine.dialect.loaded_dbapi.NUMBER  # DB-API's word for any type of number
        return {name for name, kind in types.items() if kind == number}

    def trimmed(self, text: ColumnElement[str], blanks: str) -> ColumnElement[str]:
        """Return a text without blanks at the ends."""
        return func.trim(text, blanks)

    def unique_keys(self, connection: Connection, table: Table) -> set[frozenset[str | None]]:
        """Return the sets of columns with unique values in a table."""
        names = {"name": table.name, "schema": table.schema}
        return {frozenset(one) for one in connection.execute(_UNIQUE_KEYS, names).scalars()}

    def lack(self, connection: Connection) -> str | None:
        """Return what the server lacks to hold the ledger, by its own words."""
        version: str = connection.exec_driver_sql("SELECT version()").scalar_one()
        return lack_of_version(version)

    def mend_ids(self, table: str, columns: Iterable[str]) -> str:
        """Return the statement to compare the ids in some columns of a table exactly."""
        exact = (f'ALTER COLUMN {one} TYPE VARCHAR(255) COLLATE "default"' for one in columns)
        return f"Its owner can do so: ALTER TABLE {table} {', '.join(exact)}"

    @contextmanager
    def locked(self, engine: Engine, name: str, seconds: int) -> Iterator[bool]:
        """Hold an advisory lock in a transaction: a pooler gives the session to others after it."""
        with engine.begin() as connection:
            limits = {
                "lock_timeout": f"{seconds}s",
                "statement_timeout": "0",
                "idle_in_transaction_session_timeout": "0",
                "transaction_timeout": "0",  # since PostgreSQL 17
            }
            for setting, value in limits.items():
                known = func.current_setting(setting, True)  # noqa: FBT003 - SQL's own
                change = func.set_config(setting, value, True)  # noqa: FBT003
                connection.execute(select(change).where(known.is_not(None)))
            connection.execute(select(func.pg_advisory_xact_lock(crc32(name.encode()))))
            yield True

    def identity(self, table: str) -> str:
        """Return the query for the server's start, the database and the table's number."""
        return (
            "SELECT CAST(pg_postmaster_start_time() AS text), current_database(),"
            f" CAST(CAST(to_regclass('{table}') AS oid) AS text)"
        )

    @contextmanager
    def reading_in_time(self, connection: Connection, seconds: float) -> Iterator[None]:
        """Make a transaction read-only, and end each statement after some time."""
        _set(connection, "statement_timeout", str(round(seconds * 1000)))
        _set(connection, "transaction_read_only", "on")
        yield


def lack_of_version(version: str) -> str | None:
    """Return what a server lacks to hold the ledger, by the result of `version()`, or None."""
    found = re.match(r"PostgreSQL (\d+)", version)
    if "Redshift" in version:
        return "it is Amazon Redshift, which does not enforce keys"
    if found is None or int(found[1]) < _LEAST_VERSION:
        return f"it is {version.partition(' on ')[0]}, and PostgreSQL {_LEAST_VERSION} is needed"
    return None


def _set(connection: Connection, name: str, value: str) -> None:
    """Set a parameter of the server's until the transaction ends."""
    connection.execute(select(func.set_config(name, value, True)))  # noqa: FBT003 - SQL's own


def _notice_a_lost_server(
    _dialect: object, _record: object, _arguments: object, parameters: dict[str, Any]
) -> None:
    for name, value in _REACHING_THE_SERVER.items():
        parameters.setdefault(name, value)


def _plan_anew(connection: Any, _record: object) -> None:
    """Keep no prepared statements.

    A plan that was kept while the table was empty is one for an empty table. A pooler between us
    and PostgreSQL (PgBouncer) loses prepared statements.
    """
    connection.prepare_threshold = None
