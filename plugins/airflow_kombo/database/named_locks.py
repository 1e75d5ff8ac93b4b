"""Locks with a name in the ledger's database, for work that one process at a time may do.

A lock ends with the process that holds it, however the process ends.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final
from zlib import crc32

from sqlalchemy import func, select

from airflow_kombo.database.transactions import transaction
from airflow_kombo.exceptions import RowsHeldError

if TYPE_CHECKING:
    from sqlalchemy import Engine


def locked(engine: Engine, name: str, seconds: int) -> AbstractContextManager[None]:
    """Hold a lock during a block.

    :param name: The work, for the error message too: "Another process has … locked".
    :param seconds: Seconds to wait at most for another process.
    :raises RowsHeldError: if another process holds the lock for longer.
    """
    lock = _LOCKS.get(engine.dialect.name)
    return lock(engine, name, seconds) if lock else nullcontext()


@contextmanager
def _on_postgresql(engine: Engine, name: str, seconds: int) -> Iterator[None]:
    """Hold the lock in a transaction.

    A pooler (PgBouncer) gives the session to others after it.
    """
    with transaction(engine, f"lock {name}") as connection:
        limits = {
            "lock_timeout": f"{seconds}s",
            "idle_in_transaction_session_timeout": "0",
            "transaction_timeout": "0",  # since PostgreSQL 17
        }
        for setting, value in limits.items():
            known = func.current_setting(setting, True)  # noqa: FBT003 - SQL's own
            change = func.set_config(setting, value, True)  # noqa: FBT003
            connection.execute(select(change).where(known.is_not(None)))
        connection.execute(select(func.pg_advisory_xact_lock(crc32(name.encode()))))
        yield


@contextmanager
def _on_mysql(engine: Engine, name: str, seconds: int) -> Iterator[None]:
    with transaction(engine, f"lock {name}") as connection:
        if connection.execute(select(func.get_lock(name[:64], seconds))).scalar() != 1:
            raise _held(name, seconds)
        try:
            yield
        finally:
            connection.execute(select(func.release_lock(name[:64])))


@contextmanager
def _on_sqlite(engine: Engine, name: str, seconds: int) -> Iterator[None]:
    """Hold the lock in an empty file beside the ledger: in the ledger it would stop all runs."""
    path = engine.url.database
    if not path or path == ":memory:":  # no other process sees such a ledger
        yield
        return
    file = f"{path}-lock"
    with closing(sqlite3.connect(file, timeout=seconds, isolation_level=None)) as lock:
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            raise _held(name, seconds) from None
        yield


def _held(name: str, seconds: int) -> RowsHeldError:
    return RowsHeldError(f"Another process has {name} locked for more than {seconds} s.")


_LOCKS: Final[Mapping[str, Callable[[Engine, str, int], AbstractContextManager[None]]]] = {
    "postgresql": _on_postgresql,
    "mysql": _on_mysql,
    "mariadb": _on_mysql,
    "sqlite": _on_sqlite,
}
