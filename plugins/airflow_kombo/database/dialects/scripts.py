"""A transaction whose statements go to the database in one message."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection, Engine, Executable

_PSYCOPG: Final = "psycopg"


class Script:
    """The settings of a transaction and its only statement, in one message.

    The driver puts the parameters into the message, quoted by its own rules. psycopg also leaves
    the BEGIN to us; psycopg2 sends one in a message of its own.

    :param engine: An engine of psycopg or psycopg2.
    :param settings: The statement with the settings; it has no parameters.
    :param statement: The statement whose rows are the result.
    """

    def __init__(self, engine: Engine, settings: str, statement: Executable) -> None:
        compiled = statement.compile(dialect=engine.dialect)  # type: ignore[attr-defined]
        self._is_of_psycopg = engine.dialect.driver == _PSYCOPG
        begin = "BEGIN; " if self._is_of_psycopg else ""
        self._text = f"{begin}{settings}; {compiled}"
        self._constants = compiled.params

    @contextmanager
    def begin(self, engine: Engine, parameters: Mapping[str, Any]) -> Iterator[Sequence[Any]]:
        """Begin the transaction, run the statement, and commit after the block.

        :returns: A context with the rows of the statement.
        """
        bound = engine
        if self._is_of_psycopg:  # otherwise the driver sends a BEGIN of its own
            bound = engine.execution_options(isolation_level="AUTOCOMMIT")
        with bound.connect() as connection, connection.begin():
            with self._messages(connection):
                given = {**self._constants, **parameters}
                rows = connection.exec_driver_sql(self._text, given).all()
            yield rows

    def _messages(self, connection: Connection) -> AbstractContextManager[None]:
        return _all_in_one(connection) if self._is_of_psycopg else nullcontext()


@contextmanager
def _all_in_one(connection: Connection) -> Iterator[None]:
    """Make psycopg send several statements in one message, and return the last one's rows."""
    driver_connection: Any = connection.connection.driver_connection
    before = driver_connection.cursor_factory
    driver_connection.cursor_factory = _last_result_cursor()
    try:
        yield
    finally:
        driver_connection.cursor_factory = before


@lru_cache
def _last_result_cursor() -> type[Any]:
    """Return the class of cursors that bind parameters in the client, as psycopg2's do."""
    from psycopg import ClientCursor  # noqa: PLC0415 - psycopg is optional

    class LastResultCursor(ClientCursor[Any]):
        """A cursor on the result of the last of several statements."""

        def execute(self, *args: Any, **kwargs: Any) -> LastResultCursor:
            super().execute(*args, **kwargs)
            while self.nextset():
                pass
            return self

    return LastResultCursor
