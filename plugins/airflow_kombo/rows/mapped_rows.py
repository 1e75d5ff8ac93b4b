"""The rows of a run as requests, by integration.

A source is read once, because its query may take minutes. Its rows become requests chunk by chunk,
and wait on the worker's disk, because each integration takes them at its own speed. So memory does
not grow with the day.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import compress
from typing import TYPE_CHECKING, Any, Final

from airflow_kombo.exceptions import LedgerError, RunStoppedError, WarehouseError
from airflow_kombo.kombo_api.request import InvalidRow, MappedRow, RowRequest
from airflow_kombo.rows.frames import cells
from airflow_kombo.rows.integration_counts import IntegrationCount, KeyCounter
from airflow_kombo.rows.result_targets import ResultTargets
from airflow_kombo.rows.row_buffer import RowBuffer
from airflow_kombo.rows.row_keys import day_of, keys_of
from airflow_kombo.rows.shard import WHOLE
from airflow_kombo.rows.source import LAST_DAY, Selection, Source, Unmatched

if TYPE_CHECKING:
    from datetime import date

    from pandas import DataFrame

    from airflow_kombo.delivery_key import LinkKey
    from airflow_kombo.exceptions import RowError
    from airflow_kombo.kombo_api.writes import Write
    from airflow_kombo.rows.done_rows import DoneRows
    from airflow_kombo.rows.row_mapping import RowMapping

Key = tuple["LinkKey", "RowError | None"]
"""A row's key, with the reason why the row cannot be sent, or None."""

PAGE_ROWS: Final = 64
"""Rows of one integration in memory at once; smaller pages take more time per row."""


class MappedRows:
    """The rows of a run as requests, by integration.

    :param source: The rows.
    :param mapping: The mapping that makes a request of each row.
    :param selection: The rows that the run wants.
    :param default_integration: The integration of rows without one.
    :param done: The rows to leave out, if the source does not leave them out by itself.
    :param page_rows: The rows of one page.
    :param first_day: The first day that the rows are of; None if they are of one day.
    """

    def __init__(
        self,
        source: Source,
        mapping: RowMapping,
        selection: Selection,
        default_integration: str | None = None,
        *,
        done: DoneRows | None = None,
        page_rows: int = PAGE_ROWS,
        first_day: date | None = None,
    ) -> None:
        self.first_day = first_day
        self.unmatched = Unmatched(selection)
        self._source = source
        self._mapping = mapping
        # Where the query compares ids, no one else may: SQL and Python could differ.
        self._selection = replace(selection, shard=WHOLE) if source.divides else selection
        self._default_integration = default_integration
        self._done = done
        self._page_rows = page_rows
        self._buffer = RowBuffer()
        self._targets = ResultTargets()
        self._is_cancelled = False

    @property
    def write(self) -> Write:
        """Return the write that sends the rows."""
        return self._mapping.write

    def check(self) -> None:
        """Check the rows' columns before a row is read, where the source knows them.

        :raises ConfigurationError: if a column is missing.
        """
        if columns := self._source.columns():
            self._check(columns)

    def plan(self) -> Mapping[str, int]:
        """Read the rows, make requests of them, and count them by integration.

        A blank id counts the rows without an integration.

        :raises ConfigurationError: if a column is missing, or if the worker's disk has no room.
        :raises LedgerError: if the database fails.
        :raises WarehouseError: if the warehouse fails, where the ledger is elsewhere.
        :raises RunStoppedError: if the reading was cancelled.
        """
        self.unmatched, self._buffer = Unmatched(self._selection), RowBuffer()
        self._targets = ResultTargets()
        counts, open_pages = Counter[str](), defaultdict[str, list[MappedRow]](list)
        with self._cancellable():
            for row in self._mapped():
                integration_id = row.key.integration_id
                counts[integration_id] += 1
                open_pages[integration_id].append(row)
                if len(open_pages[integration_id]) == self._page_rows:
                    self._put(integration_id, open_pages.pop(integration_id))
        for integration_id, page in open_pages.items():
            self._put(integration_id, page)
        return counts

    def counts(self) -> list[IntegrationCount]:
        """Count the rows by integration, without a request; the source counts them if it can.

        :raises ConfigurationError: if a column is missing, or if the worker's disk has no room.
        :raises LedgerError: if the database fails.
        :raises WarehouseError: if the warehouse fails, where the ledger is elsewhere.
        :raises RunStoppedError: if the reading was cancelled.
        """
        with self._cancellable():
            counts = self._source.counts()
            if counts is None:
                counter = KeyCounter()
                for _, keys in self._chunks():
                    counter.add(key for key, _ in keys)
                counts = counter.counts()
            return [one for one in counts if self._selection.wants(one.integration_id)]

    def pages(self, integration_id: str, rows: int) -> Iterator[list[MappedRow]]:
        """Yield an integration's planned rows page by page, in the order of the source.

        :param rows: Most rows to yield.
        """
        for page in self._buffer.pages(integration_id):
            yield self._targets.marked([_restored(one, self.write) for one in page[:rows]])
            rows -= len(page)
            if rows <= 0:
                return

    def cancel(self) -> None:
        """Cancel the reading of the rows; any thread may call this.

        The reading thread then raises `RunStoppedError`.
        """
        self._is_cancelled = True
        self._source.cancel()

    @contextmanager
    def _cancellable(self) -> Iterator[None]:
        """Raise `RunStoppedError` at the end of a block if the reading was cancelled."""
        try:
            yield
        except (LedgerError, WarehouseError):
            if not self._is_cancelled:
                raise
        if self._is_cancelled:
            raise RunStoppedError("The run was stopped while it read rows.")

    def _mapped(self) -> Iterator[MappedRow]:
        """Read the source, and yield the request of each wanted row."""
        for chunk, keys in self._chunks():
            yield from self._mapping.requests(chunk, keys)

    def _chunks(self) -> Iterator[tuple[DataFrame, list[Key]]]:
        """Read the source, and yield the wanted rows of each chunk with their keys."""
        checked: Collection[str] = ()
        for chunk in self._source.chunks():
            if self._is_cancelled:
                return
            if (columns := tuple(chunk.columns)) != checked:
                self._check(columns)
                checked = columns
            keys = keys_of(chunk, self._default_integration, self.write)
            wanted = self._wanted(chunk, keys)
            if not all(wanted):
                chunk, keys = chunk[wanted], list(compress(keys, wanted))  # noqa: PLW2901
            yield chunk, keys

    def _check(self, columns: Collection[str]) -> None:
        self._mapping.check(columns)
        self._selection.check(columns)

    def _wanted(self, chunk: DataFrame, keys: Sequence[Key]) -> list[bool]:
        """Return True for each row that the run wants, and that is not done."""
        done = self._done.among([key for key, _ in keys]) if self._done else ()
        self._targets.add(key for key, wrong in keys if not wrong and key not in done)
        wanted = [key not in done and self.unmatched.admit(key) for key, _ in keys]
        if first := self._selection.not_before:
            days = map(day_of, cells(chunk, LAST_DAY))
            old = (day is not None and day < first for day in days)
            wanted = [one and not is_old for one, is_old in zip(wanted, old, strict=True)]
        return wanted

    def _put(self, integration_id: str, page: Collection[MappedRow]) -> None:
        self._buffer.put(integration_id, [_stored(row) for row in page])


def _stored(row: MappedRow) -> Any:
    """Return a row for the buffer.

    The write stays out: a class of a dag's own may have no pickled form.
    """
    if isinstance(row, InvalidRow):
        return row
    return row.key, row.assessment_date, row.url, row.body


def _restored(stored: Any, write: Write) -> MappedRow:
    if isinstance(stored, InvalidRow):
        return stored
    key, day, url, body = stored
    return RowRequest(key, day, url, body, write)
