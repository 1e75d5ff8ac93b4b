"""Rows of a query in any warehouse, through its Airflow hook's own connection."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from threading import Event
from typing import TYPE_CHECKING, Any

from airflow_kombo.exceptions import RunStoppedError
from airflow_kombo.rows.described_query import bound_query, refuse_doubled
from airflow_kombo.rows.frames import CHUNK_ROWS, frame_of
from airflow_kombo.rows.query_reader import CANCEL_SECONDS, CANCELS

if TYPE_CHECKING:
    from pandas import DataFrame

    from airflow_kombo.database.hook_database import HookConnection, HookDatabase


class HookSource:
    """Rows of a query in a warehouse without a dialect of ours: the ledger is elsewhere.

    :param database: The warehouse.
    :param sql: The query; each parameter is written as `:name`.
    :param parameters: Values to bind; the query need not use all of them.
    :raises ConfigurationError: if the query has an unknown parameter.
    """

    def __init__(self, database: HookDatabase, sql: str, parameters: Mapping[str, Any]) -> None:
        self._database = database
        self._query, self.uses = bound_query(sql, parameters)
        self._connection: HookConnection | None = None
        self._has_ended = Event()
        self._has_ended.set()
        self._is_cancelled = False

    def columns(self) -> Collection[str]:
        """Return no columns: they are known once the query runs."""
        return ()

    def chunks(self) -> Iterator[DataFrame]:
        """Run the query as it is, and yield the rows. The first chunk may have none.

        :raises ConfigurationError: if the query cannot run.
        :raises WarehouseError: if the warehouse fails.
        :raises RunStoppedError: if the query was cancelled before it began.
        """
        with self._database.connected("read the rows") as connection:
            self._has_ended.clear()
            self._connection = connection
            try:
                if self._is_cancelled:  # to connect may have taken a while
                    raise RunStoppedError("The run was stopped before it read rows.")
                columns = connection.execute(self._query)
                refuse_doubled(columns)
                yield frame_of([], columns)
                while rows := connection.rows(CHUNK_ROWS):
                    yield frame_of(rows, columns)
            finally:
                self._connection = None
                self._has_ended.set()

    @property
    def divides(self) -> bool:
        """Return False: the rows of other shards are left out later."""
        return False

    def counts(self) -> None:
        """Return no counts: the rows have to be read."""

    def cancel(self) -> None:
        """End the query, where the driver can do so, and wait until it has ended.

        Any thread may call this. The wait is bounded.
        """
        self._is_cancelled = True
        for _ in range(CANCELS):  # a statement that has not begun ignores the first attempt
            if connection := self._connection:
                connection.cancel()
            if self._has_ended.wait(CANCEL_SECONDS):
                return
