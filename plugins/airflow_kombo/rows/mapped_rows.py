"""The rows of a run as requests, by integration.

A source is read once, because its query may take minutes. Its rows become requests chunk by chunk,
and wait on the worker's disk, because each integration takes them at its own speed. So memory does
not grow with the day.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from itertools import compress
from typing import TYPE_CHECKING, Any, Final

from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.kombo_api.request import InvalidRow, RowRequest
from airflow_kombo.kombo_api.writes import Write
from airflow_kombo.rows.frames import cells
from airflow_kombo.rows.other_targets import with_other_targets
from airflow_kombo.rows.row_buffer import RowBuffer
from airflow_kombo.rows.row_keys import integrations_of
from airflow_kombo.rows.row_mapping import RowMapping
from airflow_kombo.rows.source import Selection, Source, Unmatched

if TYPE_CHECKING:
    from pandas import DataFrame

MappedRow = RowRequest | InvalidRow
"""A row's request, or the reason why it has none."""

PAGE_ROWS: Final = 64
"""Rows of one integration in memory at once; smaller pages take more time per row."""


class MappedRows:
    """The rows of a run as requests, by integration.

    :param source: The rows.
    :param mapping: The mapping that makes a request of each row.
    :param selection: The rows that the run wants.
    :param default_integration: The integration of rows without one.
    :param page_rows: The rows of one page.
    """

    def __init__(
        self,
        source: Source,
        mapping: RowMapping,
        selection: Selection,
        default_integration: str | None = None,
        *,
        page_rows: int = PAGE_ROWS,
    ) -> None:
        self.unmatched = Unmatched(selection)
        self._source = source
        self._mapping = mapping
        self._selection = selection
        self._default_integration = default_integration
        self._page_rows = page_rows
        self._buffer = RowBuffer()

    @property
    def write(self) -> Write:
        """Return the write that sends the rows."""
        return self._mapping.write

    def plan(self) -> Mapping[str, int]:
        """Read the rows, make requests of them, and count them by integration.

        A blank id counts the rows without an integration.

        :raises ConfigurationError: if the worker's disk has no room for them.
        """
        self.unmatched, self._buffer = Unmatched(self._selection), RowBuffer()
        counts, open_pages = Counter[str](), defaultdict[str, list[MappedRow]](list)
        for chunk in self._source.chunks():
            for integration_id, row in self._map(chunk):
                counts[integration_id] += 1
                open_pages[integration_id].append(row)
                if len(open_pages[integration_id]) == self._page_rows:
                    self._put(integration_id, open_pages.pop(integration_id))
        for integration_id, page in open_pages.items():
            self._put(integration_id, page)
        return counts

    def pages(self, integration_id: str, rows: int) -> Iterator[list[MappedRow]]:
        """Yield an integration's planned rows page by page, in the order of the source.

        :param rows: Most rows to yield.
        """
        for page in self._buffer.pages(integration_id):
            yield [_restored(one, self.write) for one in page[:rows]]
            rows -= len(page)
            if rows <= 0:
                return

    def cancel(self) -> None:
        """Cancel the reading of the rows; any thread may call this."""
        self._source.cancel()

    def _map(self, chunk: DataFrame) -> Iterator[tuple[str, MappedRow]]:
        """Yield the wanted rows of a chunk, each with its integration."""
        integrations = integrations_of(chunk, self._default_integration)
        rows = with_other_targets(chunk, self._default_integration, self.write)
        ids = zip(integrations, cells(rows, "result_id"), strict=True)
        wanted = [self.unmatched.admit(*of_row) for of_row in ids]
        if not all(wanted):
            rows = rows[wanted]
            integrations = list(compress(integrations, wanted))
        mapped = self._mapping.requests(rows, self._default_integration)
        return zip(integrations, mapped, strict=True)

    def _put(self, integration_id: str, page: Collection[MappedRow]) -> None:
        try:
            self._buffer.put(integration_id, [_stored(row) for row in page])
        except OSError as error:
            raise ConfigurationError(
                "The worker's temporary folder cannot take the rows until they are sent:"
                f" {error.strerror}. Give it room, or set TMPDIR to another folder."
            ) from None


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
