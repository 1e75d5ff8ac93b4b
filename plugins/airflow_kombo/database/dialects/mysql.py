"""MySQL and MariaDB through mysqlclient, PyMySQL or MySQL's connector."""

# ruff: noqa: ARG002 - the base's arguments
from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Engine, cast, event, exc, func, select
from sqlalchemy.dialects.mysql import CHAR

from airflow_kombo.database.dialects.base import DEADLOCK, LOCK_NOT_AVAILABLE, Dialect
from airflow_kombo.database.dialects.mysql_settings import BRIEFLY, ON_CONNECT, READING, WRITING

_STATES: Final[Mapping[int, str]] = {
    1205: LOCK_NOT_AVAILABLE,  # also for a lock on a whole table
    3572: LOCK_NOT_AVAILABLE,  # NOWAIT
    1213: DEADLOCK,  # also Galera's conflict of two nodes
    1020: "40001",  # the row has changed since the last read
    1366: "22021",  # a character that the column does not have; its own state is a general one
    **dict.fromkeys((1021, 1040, 1041, 1114, 1203, 1226), "53000"),  # disk, connections, memory
    **dict.fromkeys((1053, 1317, 1927, 1969, 3024), "57014"),  # shut down, killed, out of time
    **dict.fromkeys((1290, 1792, 1836), "57P03"),  # read-only, as a server after a failover
    **dict.fromkeys((1047, 1158, 1159, 1160, 1161, 4031), "08006"),  # the network
}
"""SQL's states for errors that do not blame the statement, by MySQL's numbers."""
_OF_CLIENT: Final = range(2000, 3000)
"""Numbers of errors that the driver finds: there is no server, or no longer."""
_UNREACHABLE: Final = "08001"
_OTHER_ERROR: Final = "HY000"
_NUMBERS: Final = frozenset({0, 1, 2, 3, 4, 5, 8, 9, 13, 246})
"""The protocol's types of numbers. The drivers' sets `NUMBER` lack 246, which is a decimal."""
_LEAST_MYSQL: Final = (8, 0)
_LEAST_MARIADB: Final = (10, 6)
"""The oldest versions with SKIP LOCKED."""
_SERVER: Final = (
    "SELECT VERSION(), @@GLOBAL.innodb_flush_log_at_trx_commit, @@GLOBAL.log_bin,"
    " @@GLOBAL.sync_binlog"
)
_FLUSHED: Final = frozenset({1, 3})
"""Values of `innodb_flush_log_at_trx_commit` with a commit on the disk; only MariaDB has 3."""
_TEXT: Final = CHAR(charset="utf8mb4")
_COLLATION: Final = "utf8mb4_bin"
"""Collation of our tables: ids of a query are compared by it, whatever their own is."""


class MySQL(Dialect):
    """MySQL and MariaDB: their drivers number errors instead of naming a state."""

    names = frozenset({"mysql", "mariadb"})
    drivers = frozenset({"pymysql", "MySQLdb", "mysql", "mariadb"})
    now = "UTC_TIMESTAMP(6)"
    can_limit_lock_waits = True
    reads_at_once = True  # a server ends a query whose rows wait for a minute
    has_partial_indexes = False
    mend_transactions = ". Its owner can do so: ALTER TABLE {table} ENGINE=InnoDB"

    def prepare(self, engine: Engine) -> None:
        """Read what others have committed, refuse what does not fit, and send all characters."""
        event.listen(engine, "do_connect", _set_parameters)
        event.listen(engine, "connect", _set_session)

    def begin(self, connection: Connection, *, reads_only: bool, finds_by_key: bool) -> None:
        """Set a transaction's waits; the next transaction of the session sets its own."""
        briefly = connection.get_execution_options().get("waits_briefly", False)
        writes = BRIEFLY if briefly else WRITING
        connection.exec_driver_sql(READING if reads_only else writes)

    def limit_lock_waits(self, connection: Connection, milliseconds: int) -> None:
        """Limit each wait for a row's lock, in whole seconds; only MariaDB's may be none."""
        least = 0 if _is_mariadb(connection) else 1
        seconds = max(least, round(milliseconds / 1000))
        connection.exec_driver_sql(f"SET SESSION innodb_lock_wait_timeout = {seconds}")

    def cancel(self, connection: Connection) -> None:
        """End the statement of another thread, through a connection of its own.

        Without one the statement ends by itself.
        """
        raw: Any = connection.connection.driver_connection
        number = raw.thread_id() if hasattr(raw, "thread_id") else raw.connection_id
        with suppress(exc.SQLAlchemyError), connection.engine.connect() as other:
            other.exec_driver_sql(f"KILL QUERY {int(number)}")

    @contextmanager
    def locked(self, engine: Engine, name: str, seconds: int) -> Iterator[bool]:
        """Hold a lock of a session."""
        with engine.connect() as connection:
            connection.exec_driver_sql("SET SESSION wait_timeout = 86400")
            is_ours = connection.execute(select(func.get_lock(name[:64], seconds))).scalar() == 1
            connection.commit()
            try:
                yield is_ours
            finally:
                connection.execute(select(func.release_lock(name[:64])))

    def identity(self, table: str) -> str:
        """Return the query for the server and the table's database."""
        database = f"'{schema}'" if (schema := table.rpartition(".")[0]) else "DATABASE()"
        return f"SELECT @@hostname, @@port, @@datadir, {database}"

    def state_of(self, error: BaseException | None) -> str | None:
        """Return SQL's state for the error's number, else the state of the driver."""
        number = next(iter(getattr(error, "args", ())), None)
        if not isinstance(number, int):
            return super().state_of(error)
        if number in _OF_CLIENT:
            return _UNREACHABLE
        return _STATES.get(number) or super().state_of(error) or (_OTHER_ERROR if number else None)

    def decimals(self, engine: Engine, types: Mapping[str, object]) -> Collection[str]:
        """Return the columns of numbers."""
        return {name for name, kind in types.items() if kind in _NUMBERS}

    def as_text(self, value: ColumnElement[Any]) -> ColumnElement[str]:
        """Return a value as a text in the collation of our tables."""
        return cast(value, _TEXT).collate(_COLLATION)

    def trimmed(self, text: ColumnElement[str], blanks: str) -> ColumnElement[str]:
        """Return a text without blanks at the ends; TRIM removes one text, not some characters."""
        return func.regexp_replace(text, f"^[{blanks}]+|[{blanks}]+$", "")

    def lack(self, connection: Connection) -> str | None:
        """Return what the server lacks to hold the ledger, by its own words and settings."""
        version, *durability = connection.exec_driver_sql(_SERVER).one()
        return lack_of_version(version) or lack_of_durability(*durability)

    def mend_ids(self, table: str, columns: Iterable[str]) -> str:
        """Return the statement to compare the ids in all columns of a table exactly."""
        exact = f"CHARACTER SET utf8mb4 COLLATE {_COLLATION}"
        return f"Its owner can do so: ALTER TABLE {table} CONVERT TO {exact}"

    def without_end(self, text: ColumnElement[str], character: str) -> ColumnElement[str]:
        """Return a text without a character at the end, however often the text has it."""
        return func.regexp_replace(text, f"[{character}]+$", "")

    def make_read_only(self, engine: Engine, busy_seconds: float) -> None:
        """Refuse writes on each connection of an engine."""
        event.listen(engine, "connect", _refuse_writes)

    @contextmanager
    def reading_in_time(self, connection: Connection, seconds: float) -> Iterator[None]:
        """End each statement of a transaction after some time."""
        limit = {"max_statement_time": seconds}
        if not _is_mariadb(connection):
            limit = {"max_execution_time": round(seconds * 1000)}
        ((name, value),) = limit.items()
        connection.exec_driver_sql(f"SET SESSION {name} = {value}")
        try:
            yield
        finally:
            if not connection.invalidated:
                connection.exec_driver_sql(f"SET SESSION {name} = DEFAULT")


def lack_of_version(version: str) -> str | None:
    """Return what a server lacks to hold the ledger, by the result of `VERSION()`, or None."""
    number = tuple(map(int, re.findall(r"\d+", version)[:2]))
    is_mariadb = "MariaDB" in version
    if number < (_LEAST_MARIADB if is_mariadb else _LEAST_MYSQL) or "TiDB" in version:
        return f"it is the version {version}, and MySQL 8.0 or MariaDB 10.6 is needed"
    return None


def lack_of_durability(flush: int, has_log: int, sync: int) -> str | None:  # the server's own words
    """Return what a server does not write to the disk at a commit, or None.

    :param flush: The setting `innodb_flush_log_at_trx_commit`.
    :param has_log: The setting `log_bin`.
    :param sync: The setting `sync_binlog`.
    """
    loses = "a claim that it has committed may be lost in a crash, and the row sent twice"
    if flush not in _FLUSHED:
        return f"{loses}: SET GLOBAL innodb_flush_log_at_trx_commit = 1"
    # After a crash InnoDB takes back what is not in the log for replicas.
    return f"{loses}: SET GLOBAL sync_binlog = 1" if has_log and sync != 1 else None


def _is_mariadb(connection: Connection) -> bool:
    return bool(getattr(connection.dialect, "is_mariadb", False))


def _set_parameters(
    _dialect: object, _record: object, _arguments: object, parameters: dict[str, Any]
) -> None:
    parameters.setdefault("charset", "utf8mb4")  # mysqlclient's own default may be latin1
    parameters.setdefault("connect_timeout", 10)


def _set_session(connection: Any, _record: object) -> None:
    _execute(connection, *ON_CONNECT)


def _refuse_writes(connection: Any, _record: object) -> None:
    _execute(connection, "SET SESSION TRANSACTION READ ONLY")


def _execute(connection: Any, *statements: str) -> None:
    cursor = connection.cursor()
    for statement in statements:
        cursor.execute(statement)
    cursor.close()
