"""Reading a query's rows through a cursor at the server; another thread may cancel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from threading import Event
from typing import TYPE_CHECKING, Any, Final

from airflow_kombo.database.dialects import dialect_of
from airflow_kombo.database.transactions import cancel_statement, transaction
from airflow_kombo.exceptions import RunStoppedError
from airflow_kombo.rows.frames import CHUNK_ROWS
from airflow_kombo.rows.row_buffer import RowBuffer

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Select

CANCELS: Final = 20
"""Attempts to cancel a query."""
CANCEL_SECONDS: Final = 0.1
"""Wait after each attempt to cancel a query."""


Values = tuple[Any, ...]
"""A row's values, in the order of the columns."""


class QueryReader:
    """A reader of one query at a time.

    :param engine: The database to read from.
    :param types: The driver's type of each column; see `DescribedQuery`.
    """

    def __init__(self, engine: Engine, types: Mapping[str, object]) -> None:
        self._engine = engine
        self._types = types
        self._connection: Connection | None = None
        self._has_ended = Event()
        self._has_ended.set()
        self._cancelled = False

    @property
    def is_reading(self) -> bool:
        """True while a query runs."""
        return self._connection is not None

    def chunks(self, query: Select[Any]) -> Iterator[list[Values]]:
        """Run a query and yield the rows with the exact values of the driver.

        :raises LedgerError: if the database fails.
        :raises RunStoppedError: if the query was cancelled.
        """
        chunks = self._read(query)
        if not dialect_of(self._engine).reads_at_once:
            return chunks
        # To map a chunk takes longer than others can wait, such as the heartbeat.
        copy = RowBuffer()
        for chunk in chunks:
            copy.put("", chunk)
        return copy.pages("")

    def _read(self, query: Select[Any]) -> Iterator[list[Values]]:
        with transaction(self._engine, "read the rows", reads_only=True) as connection:
            self._has_ended.clear()
            self._connection = connection
            try:
                reader = dialect_of(connection).reader(connection, self._types)
                with reader.prepared():
                    # A cursor at the server, where the database has them: otherwise the driver
                    # would hold all rows in memory.
                    bound = connection.execution_options(yield_per=CHUNK_ROWS)
                    # MySQL takes no other statement, such as ROLLBACK, before the cursor's end.
                    with closing(bound.execute(query)) as result:
                        for chunk in result.partitions():
                            if self._cancelled:
                                raise RunStoppedError("The run was stopped while it read rows.")
                            yield list(reader.rows(chunk))
            finally:
                self._connection = None
                self._has_ended.set()

    def cancel(self) -> None:
        """Cancel the running query and wait until the query has ended.

        Any thread may call this. The wait is bounded.
        """
        self._cancelled = True
        for _ in range(CANCELS):  # a statement that has not begun ignores the first attempt
            if connection := self._connection:
                cancel_statement(connection)
            if self._has_ended.wait(CANCEL_SECONDS):
                return
