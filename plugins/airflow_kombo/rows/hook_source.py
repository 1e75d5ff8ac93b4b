"""Rows of a query in any warehouse, through its Airflow hook's own connection."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow_kombo.rows.described_query import bound_query, refuse_doubled
from airflow_kombo.rows.frames import CHUNK_ROWS, frame_of

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

    def columns(self) -> Collection[str]:
        """Return no columns: they are known once the query runs."""
        return ()

    def chunks(self) -> Iterator[DataFrame]:
        """Run the query as it is, and yield the rows. The first chunk may have none.

        :raises ConfigurationError: if the query cannot run.
        :raises WarehouseError: if the warehouse fails.
        """
        with self._database.connected("read the rows") as connection:
            self._connection = connection
            try:
                columns = connection.execute(self._query)
                refuse_doubled(columns)
                yield frame_of([], columns)
                while rows := connection.rows(CHUNK_ROWS):
                    yield frame_of(rows, columns)
            finally:
                self._connection = None

    def cancel(self) -> None:
        """End the query, where the driver can do so; any thread may call this."""
        if connection := self._connection:
            connection.cancel()
