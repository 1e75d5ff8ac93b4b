"""Read the rows of one integration and make requests of them."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence

from airflow_kombo.delivery.run_context import RunContext
from airflow_kombo.kombo_api.request import InvalidRow, RowRequest
from airflow_kombo.ledger.outcomes import RowOutcome, UnsentRow, invalid
from airflow_kombo.rows.row_keys import Row, assessment_date_of, key_of
from airflow_kombo.rows.source import PAGE_ROWS


class RequestReader:
    """Reader of one integration's rows, a page at a time.

    :param planned: Number of the integration's rows.
    """

    def __init__(self, context: RunContext, integration_id: str, planned: int) -> None:
        parts = context.parts
        self._mapping = parts.mapping
        self._default_integration = parts.hook.default_integration
        self._threads = context.threads
        self._pages = parts.source.pages(integration_id, planned)
        self._rows = self._read()
        self._requests: deque[RowRequest] = deque()

    @property
    def has_requests(self) -> bool:
        """Return True if requests are ready to be taken."""
        return bool(self._requests)

    def take(self, most: int) -> list[RowRequest]:
        """Remove and return ready requests.

        :param most: Most requests to return.
        """
        return [self._requests.popleft() for _ in range(min(most, len(self._requests)))]

    async def read(self) -> list[UnsentRow] | None:
        """Read a page of rows and make requests of them.

        :returns: The rows of the page that are `invalid`; None if there are no more rows.
        """
        rows = await anext(self._rows, None)
        if rows is None:
            return None
        requests, wrong = self._mapping.requests(rows, self._default_integration)
        self._requests.extend(requests)
        return [invalid(row) for row in wrong]

    async def rest(self, reason: RowOutcome) -> AsyncIterator[list[UnsentRow]]:
        """Read all remaining rows, in lists of rows with one status.

        :param reason: Outcome of the rows that could have been sent.
        """
        requests = self.take(len(self._requests))
        yield [UnsentRow(one.key, one.assessment_date, reason) for one in requests]
        async for rows in self._rows:
            for unsent in self._without_requests(rows, reason):
                yield unsent

    def _without_requests(
        self, rows: Sequence[Row], reason: RowOutcome
    ) -> tuple[list[UnsentRow], list[UnsentRow]]:
        """Return the valid rows with the reason, and the `invalid` rows."""
        waiting, wrong = [], []
        for row in rows:
            key, error = key_of(row, self._default_integration, self._mapping.write)
            day = assessment_date_of(row)
            if error:
                wrong.append(invalid(InvalidRow(key, day, error)))
            else:
                waiting.append(UnsentRow(key, day, reason))
        return waiting, wrong

    async def _read(self) -> AsyncIterator[Sequence[Row]]:
        while page := await self._threads.run(self._next_page):
            for start in range(0, len(page), PAGE_ROWS):
                yield page[start : start + PAGE_ROWS]

    def _next_page(self) -> list[Row] | None:
        return next(self._pages, None)
