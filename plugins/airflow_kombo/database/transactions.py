"""How we speak to the warehouse: transactions that SQLite also keeps, errors that quote no data."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

from sqlalchemy import (
    Connection,
    Engine,
    event,
    exc,
)

from airflow_kombo.exceptions import LedgerError, RowsHeldError

_SQLITE_BUSY_MILLISECONDS: Final = 60_000
"""How long a writer waits for another process's transaction."""
_IN_EACH_OTHERS_WAY: Final = frozenset({"40001", "40P01"})
"""SQL's states for transactions that could not be put in an order, or waited for each other."""
_HELD: Final = "55P03"
"""PostgreSQL's state for a lock that was not had within `lock_timeout`."""
_PASSING: Final = frozenset({"08", "40", "53", "55", "57"})
"""Classes of SQL's states that say nothing against a statement: it may succeed the next time."""
_STATE_OF_MYSQL: Final = {1205: _HELD, 1213: "40P01"}
_RACES: Final = 8
"""How often a transaction that lost a race against another run's is tried again."""

_LOCK_TIMEOUT: Final = "5s"
"""How long a transaction that writes waits for a lock of somebody else's."""
_BRIEF_LOCK_TIMEOUT: Final = "250ms"
"""How long a transaction waits that is tried again without the rows which others hold."""
_LOCK_TIMEOUT_OF_READING: Final = "60s"
"""How long a query waits: its table may be loaded anew at that moment."""
_IDLE_TIMEOUT: Final = "60s"
"""After which the server ends a transaction of ours whose worker has stopped, or is cut off."""
_REACHING_POSTGRESQL: Final = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""libpq's parameters: a server that is gone is noticed within a minute, not in hours."""

Result = TypeVar("Result")


def _settings(lock_timeout: str, *switched_off: str) -> str:
    """Build the statement that says how a transaction on PostgreSQL goes.

    Its settings end with the transaction: a pooler (PgBouncer) gives the session to others then.
    What the user, the role or the database sets is kept, unless it would lose a claim in a crash.
    """
    durable = "current_setting('synchronous_commit')"
    settings = {
        "synchronous_commit": f"CASE {durable} WHEN 'remote_apply' THEN {durable} ELSE 'on' END",
        "lock_timeout": lock_timeout,
        "idle_in_transaction_session_timeout": _unless_set(
            "idle_in_transaction_session_timeout", _IDLE_TIMEOUT
        ),
        **dict.fromkeys(switched_off, "'off'"),
    }
    calls = (f"set_config('{name}', {value}, true)" for name, value in settings.items())
    return f"SELECT {', '.join(calls)}"


def _unless_set(name: str, value: str) -> str:
    current = f"current_setting('{name}')"
    return f"CASE {current} WHEN '0' THEN '{value}' ELSE {current} END"


def _at_most(name: str, value: str) -> str:
    current = f"current_setting('{name}')"
    is_longer = f"{current} = '0' OR CAST({current} AS interval) > '{value}'"
    return f"CASE WHEN {is_longer} THEN '{value}' ELSE {current} END"


_OF_A_WRITER: Final = _unless_set("lock_timeout", _LOCK_TIMEOUT)
_NO_SCANS: Final = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin")
_WRITING: Final = _settings(_OF_A_WRITER)
_READING: Final = _settings(_unless_set("lock_timeout", _LOCK_TIMEOUT_OF_READING))
_BRIEFLY: Final = _settings(_at_most("lock_timeout", _BRIEF_LOCK_TIMEOUT), *_NO_SCANS)
_BY_KEY: Final = _settings(_OF_A_WRITER, *_NO_SCANS)
"""For a transaction that finds rows by key, by an index from its beginning to its end.

Of a table that grows from nothing in one night PostgreSQL has no statistics, and would read all of
it for a few dozen rows: 8 ms of its time a batch at 20,000 rows, and twice that at 40,000.
"""


class RaceLostError(Exception):
    """Another run changed a row between our look at it and our write: look again."""


def prepare(engine: Engine) -> Engine:
    """Make an engine's transactions real and durable, its waits finite and its errors discreet.

    SQLite's driver opens a transaction only at the first write, and then two writers that have both
    read before deadlock. `BEGIN IMMEDIATE` makes the second wait instead: SQLAlchemy's own recipe.
    """
    engine.hide_parameters = True
    if engine.dialect.driver in {"psycopg", "psycopg2"}:
        event.listen(engine, "do_connect", _notice_a_lost_server)
    if engine.dialect.driver == "psycopg":
        event.listen(engine, "connect", _plan_anew)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _leave_transactions_to_us)
        event.listen(engine, "begin", _begin_immediate)
    return engine


def waiting_briefly(engine: Engine) -> Engine:
    """Return the engine with transactions that wait for a lock for a quarter of a second only.

    They find rows by key. On other databases than PostgreSQL they wait as all others do.
    """
    return engine.execution_options(waits_briefly=True)


def _notice_a_lost_server(
    _dialect: object, _record: object, _arguments: object, parameters: dict[str, Any]
) -> None:
    for name, value in _REACHING_POSTGRESQL.items():
        parameters.setdefault(name, value)


def _plan_anew(connection: Any, _record: object) -> None:
    """Keep no prepared statements.

    A plan that was kept while the table was empty is one for an empty table, and a pooler between
    us and PostgreSQL (PgBouncer) loses them.
    """
    connection.prepare_threshold = None


def _leave_transactions_to_us(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {_SQLITE_BUSY_MILLISECONDS}")
    # A commit survives a power failure, in every mode of the journal, however SQLite was built.
    connection.execute("PRAGMA synchronous = EXTRA")


def _begin_immediate(connection: Connection) -> None:
    reads = connection.get_execution_options().get("reads_only", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


@contextmanager
def begin(
    engine: Engine, *, reads_only: bool = False, finds_by_key: bool = False
) -> Iterator[Connection]:
    """Begin a transaction of ours, and end it with the block.

    An engine's event could set it up as well, but costs each statement 30 µs in SQLAlchemy 2.0.

    :param reads_only: Whether SQLite may let others write meanwhile.
    :param finds_by_key: Whether it finds rows by an index, whatever PostgreSQL thinks of its cost.
    """
    with engine.execution_options(reads_only=reads_only).begin() as connection:
        if engine.dialect.name == "postgresql":
            briefly = connection.get_execution_options().get("waits_briefly", False)
            writes = _BRIEFLY if briefly else _BY_KEY if finds_by_key else _WRITING
            connection.exec_driver_sql(_READING if reads_only else writes)
        yield connection


@contextmanager
def transaction(engine: Engine, doing: str, *, reads_only: bool = False) -> Iterator[Connection]:
    """Run a block in one transaction.

    :param reads_only: Whether SQLite may let others write meanwhile.

    :raises RowsHeldError: if somebody else's transaction held a lock for longer than we wait.
    :raises LedgerError: that says what could not be done and why, without any parameter.
    """
    with _as_ledger_error(doing), begin(engine, reads_only=reads_only) as connection:
        yield connection


def in_race(engine: Engine, doing: str, work: Callable[[Connection], Result]) -> Result:
    """Run `work`, which finds rows by key, in one transaction; again when another run was faster.

    :raises LedgerError: as `transaction` does, and when the race is lost again and again.
    """
    for _ in range(_RACES):
        with (
            suppress(RaceLostError),
            _as_ledger_error(doing),
            _as_lost_race(),
            begin(engine, finds_by_key=True) as connection,
        ):
            return work(connection)
    raise LedgerError(f"The warehouse could not {doing}: {_RACES} times another run was faster.")


@contextmanager
def _as_lost_race() -> Iterator[None]:
    try:
        yield
    except exc.IntegrityError:
        raise RaceLostError from None
    except exc.OperationalError as error:
        if _state_of(error) not in _IN_EACH_OTHERS_WAY:
            raise
        raise RaceLostError from None


@contextmanager
def _as_ledger_error(doing: str) -> Iterator[None]:
    try:
        yield
    except (exc.DBAPIError, exc.TimeoutError) as error:  # all others are errors in this program
        kind = RowsHeldError if is_held(error) else LedgerError
        raise kind(f"The warehouse could not {doing}: {cause_of(error)}") from None


def _state_of(error: exc.SQLAlchemyError) -> str | None:
    """Return SQL's state of an error, by whatever name its driver has for it."""
    original = getattr(error, "orig", None)
    state = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
    number = next(iter(getattr(original, "args", ())), None)
    return state or (_STATE_OF_MYSQL.get(number) if isinstance(number, int) else None)


def is_passing(error: exc.SQLAlchemyError) -> bool:
    """Return whether the same statement may succeed later: a lock, a lost connection, no answer."""
    if not isinstance(error, exc.DBAPIError):
        return False
    state = _state_of(error)
    # Who cannot be reached has no state; SQLite's errors never have one, whatever they are about.
    is_unreachable = isinstance(error, exc.OperationalError) and state is None
    return (
        error.connection_invalidated
        or (state or "")[:2] in _PASSING
        or (is_unreachable and not isinstance(error.orig, sqlite3.Error))
    )


def is_held(error: exc.SQLAlchemyError) -> bool:
    """Return whether a lock was not had within the time set for it."""
    return _state_of(error) == _HELD


def cause_of(error: exc.SQLAlchemyError) -> str:
    """Name a database error by its kind and, where that holds no row, by its first line."""
    original = getattr(error, "orig", None) or error
    kind = type(original).__name__
    if isinstance(error, (exc.IntegrityError, exc.DataError)):  # their text may quote a row
        return kind
    return f"{kind}: {(str(original).splitlines() or [''])[0]}"


def cancel_statement(connection: Connection) -> None:
    """End the statement that another thread waits for; it raises there. Safe from any thread.

    A driver that has no way to do so lets the statement end by itself.
    """
    driver = connection.connection.driver_connection
    cancel = getattr(driver, "cancel", None) or getattr(driver, "interrupt", None)
    if cancel:
        cancel()
