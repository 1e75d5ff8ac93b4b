"""Transactions and their errors: durable commits, bounded waits, messages without data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import exc

from airflow_kombo.database.advice import is_refusal, with_advice
from airflow_kombo.database.dialects import dialect_of, raised_by
from airflow_kombo.database.dialects.base import DEADLOCK, LOCK_NOT_AVAILABLE
from airflow_kombo.database.idle_connections import replace_lost_connections
from airflow_kombo.exceptions import ConfigurationError, LedgerError, RowsHeldError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from airflow_kombo.database.dialects.scripts import Script

_CONFLICTS: Final = frozenset({"40001", DEADLOCK})
"""SQL's states for transactions that could not be put in an order, or waited for each other."""
_PASSING: Final = frozenset({"08", "40", "53", "55", "57"})
"""Classes of SQL's states that do not blame a statement: it may succeed the next time."""
_RACES: Final = 8
"""Tries of a transaction that loses its race against another run's."""

Result = TypeVar("Result")


class RaceLostError(Exception):
    """Another run changed a row between our read and our write, so read again."""


class ConnectionLostError(Exception):
    """The connection was lost before the commit was asked for, so nothing was written."""


def prepare(engine: Engine) -> Engine:
    """Make transactions real and durable, waits finite and errors discreet.

    A connection that was idle is tested before its next transaction.
    """
    engine.hide_parameters = True
    replace_lost_connections(engine)
    dialect_of(engine).prepare(engine)
    return engine


def waiting_briefly(engine: Engine) -> Engine:
    """Return the engine with a wait for locks of a quarter of a second, or of one on MySQL.

    Its transactions find rows by key. On SQLite they wait as all others.
    """
    return engine.execution_options(waits_briefly=True)


@contextmanager
def begin(
    engine: Engine, *, reads_only: bool = False, finds_by_key: bool = False
) -> Iterator[Connection]:
    """Begin a transaction, and end the transaction with the block.

    :param reads_only: Whether SQLite may let others write meanwhile.
    :param finds_by_key: Whether to find rows by an index, at any cost that PostgreSQL estimates.
    """
    bound = engine.execution_options(reads_only=True) if reads_only else engine
    with bound.begin() as connection:
        dialect_of(engine).begin(connection, reads_only=reads_only, finds_by_key=finds_by_key)
        yield connection


@contextmanager
def transaction(
    engine: Engine, doing: str, *, reads_only: bool = False, finds_by_key: bool = False
) -> Iterator[Connection]:
    """Run a block in one transaction.

    :param doing: The work, for the error message: "The database could not …".
    :param reads_only: Whether SQLite may let others write meanwhile.
    :param finds_by_key: Whether to find rows by an index, at any cost that PostgreSQL estimates.
    :raises RowsHeldError: if somebody else's transaction held a lock for longer than we wait.
    :raises LedgerError: if the database refused; it names the work and the cause, and no parameter.
    """
    with (
        _as_ledger_error(doing),
        begin(engine, reads_only=reads_only, finds_by_key=finds_by_key) as connection,
    ):
        yield connection


@contextmanager
def bare_connection(engine: Engine, doing: str) -> Iterator[Connection]:
    """Connect without the settings of our transactions, for a server that may not know them.

    It is a run's first connection. A login that is wrong then is wrong at the next try, too.

    :param doing: The work, for the error message: "The database could not …".
    :raises ConfigurationError: if the server refuses the login, or has no such database.
    :raises LedgerError: if the database cannot be reached.
    """
    bound = engine.execution_options(reads_only=True)
    try:
        with _as_ledger_error(doing), bound.connect() as connection:
            yield connection
    except LedgerError as error:
        if is_refusal(str(error)):
            raise ConfigurationError(str(error)) from None
        raise


@contextmanager
def locked(engine: Engine, name: str, seconds: int) -> Iterator[None]:
    """Hold a lock that one process at a time may have, until the block or the process ends.

    :param name: The work, for the error message: "Another process has … locked".
    :param seconds: Seconds to wait at most for another process.
    :raises RowsHeldError: if another process holds the lock for longer.
    :raises LedgerError: if the database fails.
    """
    with (
        _as_ledger_error(f"lock {name}"),
        dialect_of(engine).locked(engine, name, seconds) as is_ours,
    ):
        if not is_ours:
            raise RowsHeldError(f"Another process has {name} locked for more than {seconds} s.")
        yield


def in_race(engine: Engine, doing: str, work: Callable[[Connection], Result]) -> Result:
    """Run `work` in one transaction, and again when another run was faster.

    :param doing: The work, for the error message: "The database could not …".
    :param work: A function that finds rows by key.
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
    raise LedgerError(f"The database could not {doing}: another run was faster {_RACES} times.")


@contextmanager
def running(
    engine: Engine, doing: str, script: Script, parameters: Mapping[str, Any]
) -> Iterator[Sequence[Any]]:
    """Run a script, and commit its transaction after the block; the context has the rows.

    :param doing: The work, for the error message: "The database could not …".
    :raises RaceLostError: if another run was faster. Nothing was written.
    :raises ConnectionLostError: if the connection was lost before the commit.
    :raises RowsHeldError: if somebody else's transaction held a lock for longer than we wait.
    :raises LedgerError: if the database refused, or the commit's answer was lost.
    """
    with _as_ledger_error(doing), _as_lost_race(), ExitStack() as transaction:
        with _as_lost_connection():
            rows = transaction.enter_context(script.begin(engine, parameters))
        yield rows


@contextmanager
def _as_lost_race() -> Iterator[None]:
    try:
        yield
    except exc.IntegrityError:
        raise RaceLostError from None
    except exc.DBAPIError as error:
        if _state_of(error) not in _CONFLICTS:
            raise
        raise RaceLostError from None


@contextmanager
def _as_lost_connection() -> Iterator[None]:
    try:
        yield
    except exc.DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise ConnectionLostError from None


@contextmanager
def _as_ledger_error(doing: str) -> Iterator[None]:
    try:
        yield
    except (exc.DBAPIError, exc.TimeoutError) as error:  # all others are errors in this program
        kind = RowsHeldError if is_held(error) else LedgerError
        raise kind(f"The database could not {doing}: {with_advice(cause_of(error))}") from None


def _state_of(error: exc.SQLAlchemyError) -> str | None:
    return raised_by(error).state_of(getattr(error, "orig", None))


def is_passing(error: exc.SQLAlchemyError) -> bool:
    """Return True if the same statement may succeed later, as after a lost connection."""
    if not isinstance(error, exc.DBAPIError):
        return False
    state = _state_of(error)
    # An error about a server that was not reached has no state. No error of SQLite's has one.
    is_unreachable = isinstance(error, exc.OperationalError) and state is None
    return (
        error.connection_invalidated
        or (state or "")[:2] in _PASSING
        or (is_unreachable and raised_by(error).has_server)
    )


def is_held(error: exc.SQLAlchemyError) -> bool:
    """Return True if a lock was not granted in time."""
    return _state_of(error) == LOCK_NOT_AVAILABLE


def is_unstorable(error: exc.SQLAlchemyError) -> bool:
    """Return True if a column cannot hold a value."""
    return isinstance(error, exc.DataError) or (_state_of(error) or "").startswith("22")


def cause_of(error: exc.SQLAlchemyError) -> str:
    """Return the kind of a database error, with the first line if no row is quoted."""
    original = getattr(error, "orig", None) or error
    kind = type(original).__name__
    if isinstance(error, (exc.IntegrityError, exc.DataError)):  # their text may quote a row
        return kind
    return f"{kind}: {(str(original).splitlines() or [''])[0]}"


def cancel_statement(connection: Connection) -> None:
    """End the statement of another thread, where it raises an error.

    This is safe from any thread. Where the driver cannot cancel, the statement ends by itself.
    """
    dialect_of(connection).cancel(connection)
