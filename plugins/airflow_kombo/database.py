"""How we speak to the warehouse: transactions that SQLite also keeps, errors that quote no data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import Any, Final, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    Engine,
    and_,
    event,
    exc,
    func,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from airflow_kombo.errors import LedgerError

_SQLITE_BUSY_MILLISECONDS: Final = 60_000
"""How long a writer waits for another process's transaction."""
_IN_EACH_OTHERS_WAY: Final = frozenset({"40001", "40P01"})
"""SQL's states for transactions that could not be put in an order, or waited for each other."""
_RACES: Final = 8
"""How often a transaction that lost a race against another run's is tried again."""

_WAYS_TO_READ_A_TABLE: Final = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin")
_BY_KEY: Final = select(
    *(
        func.set_config(literal_column(f"'{way}'"), literal_column("'off'"), true())
        for way in _WAYS_TO_READ_A_TABLE
    )
)

Result = TypeVar("Result")


class RaceLostError(Exception):
    """Another run changed a row between our look at it and our write: look again."""


class utc_now(FunctionElement[datetime]):  # noqa: N801 - a function in SQL
    """The database's clock, in UTC."""

    type = DateTime(timezone=True)
    inherit_cache = True


@compiles(utc_now)
def _utc_now(_element: utc_now, _compiler: object, **_: object) -> str:
    return "CURRENT_TIMESTAMP"


@compiles(utc_now, "sqlite")
def _utc_now_sqlite(_element: utc_now, _compiler: object, **_: object) -> str:
    return "strftime('%Y-%m-%d %H:%M:%f000', 'now')"


def in_utc(moment: datetime) -> datetime:
    """Give a time of ours its zone back, which SQLite cannot store."""
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def prepare(engine: Engine) -> Engine:
    """Make an engine's transactions real, its writers patient and its errors discreet.

    SQLite's driver opens a transaction only at the first write, and then two writers that have both
    read before deadlock. `BEGIN IMMEDIATE` makes the second wait instead: SQLAlchemy's own recipe.
    """
    engine.hide_parameters = True
    if engine.dialect.driver == "psycopg":
        event.listen(engine, "connect", _plan_anew)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _leave_transactions_to_us)
        event.listen(engine, "begin", _begin_immediate)
    return engine


def _plan_anew(connection: Any, _record: object) -> None:
    """Keep no prepared statements.

    A plan that was kept while the table was empty is one for an empty table, and a pooler between
    us and PostgreSQL (PgBouncer) loses them.
    """
    connection.prepare_threshold = None


def _leave_transactions_to_us(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {_SQLITE_BUSY_MILLISECONDS}")


def _begin_immediate(connection: Connection) -> None:
    reads = connection.get_execution_options().get("reads_only", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


@contextmanager
def transaction(engine: Engine, doing: str, *, reads_only: bool = False) -> Iterator[Connection]:
    """Run a block in one transaction.

    :param reads_only: Whether SQLite may let others write meanwhile.

    :raises LedgerError: that says what could not be done and why, without any parameter.
    """
    options = {"reads_only": reads_only}
    with (
        _as_ledger_error(doing),
        engine.execution_options(**options).begin() as connection,
    ):
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
            engine.begin() as connection,
        ):
            _find_by_key(connection)
            return work(connection)
    raise LedgerError(f"The warehouse could not {doing}: {_RACES} times another run was faster.")


def _find_by_key(connection: Connection) -> None:
    """Have PostgreSQL use its indexes from here to the end of the transaction.

    Of a table that grows from nothing in one night it has no statistics, and would read all of it
    for a few dozen rows: 8 ms of its time a batch at 20,000 rows, and twice that at 40,000.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_BY_KEY)


@contextmanager
def _as_lost_race() -> Iterator[None]:
    try:
        yield
    except exc.IntegrityError:
        raise RaceLostError from None
    except exc.OperationalError as error:
        if getattr(error.orig, "sqlstate", None) not in _IN_EACH_OTHERS_WAY:
            raise
        raise RaceLostError from None


@contextmanager
def _as_ledger_error(doing: str) -> Iterator[None]:
    try:
        yield
    except (exc.DBAPIError, exc.TimeoutError) as error:  # all others are errors in this program
        raise LedgerError(f"The warehouse could not {doing}: {cause_of(error)}") from None


def cause_of(error: exc.SQLAlchemyError) -> str:
    """Name a database error by its kind and, where that holds no row, by its first line."""
    original = getattr(error, "orig", None) or error
    kind = type(original).__name__
    if isinstance(error, (exc.IntegrityError, exc.DataError)):  # their text may quote a row
        return kind
    return f"{kind}: {(str(original).splitlines() or [''])[0]}"


def beyond(order: Sequence[ColumnElement[str]], after: Sequence[str]) -> ColumnElement[bool]:
    """Say in SQL that any database knows: (a, b, c) > (x, y, z)."""
    steps = [
        and_(
            *(one == value for one, value in zip(order[:place], after[:place], strict=True)),
            order[place] > after[place],
        )
        for place in range(len(order))
    ]
    return and_(order[0] >= after[0], or_(*steps))
