"""Read the requests of one integration."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator

from airflow_kombo.delivery.run_context import RunContext
from airflow_kombo.kombo_api.request import InvalidRow, MappedRow, RowRequest
from airflow_kombo.ledger.outcomes import RowOutcome, UnsentRow, invalid


class RequestReader:
    """Reader of one integration's rows, a page at a time.

    :param planned: Number of the integration's rows.
    """

    def __init__(self, context: RunContext, integration_id: str, planned: int) -> None:
        self._threads = context.threads
        self._pages = context.parts.mapped.pages(integration_id, planned)
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
        """Read a page of requests.

        :returns: The rows of the page that are `invalid`; None if there are no more rows.
        """
        rows = await anext(self._rows, None)
        if rows is None:
            return None
        requests, wrong = _split(rows)
        self._requests.extend(requests)
        return wrong

    async def rest(self, reason: RowOutcome) -> AsyncIterator[list[UnsentRow]]:
        """Read all remaining rows, in lists of rows with one status.

        :param reason: Outcome of the rows that could have been sent.
        """
        requests = self.take(len(self._requests))
        yield [UnsentRow(one.key, one.assessment_date, reason) for one in requests]
        async for rows in self._rows:
            requests, wrong = _split(rows)
            yield [UnsentRow(one.key, one.assessment_date, reason) for one in requests]
            yield wrong

    async def _read(self) -> AsyncIterator[list[MappedRow]]:
        while page := await self._threads.run(self._next_page):
            yield page

    def _next_page(self) -> list[MappedRow] | None:
        return next(self._pages, None)


def _split(page: list[MappedRow]) -> tuple[list[RowRequest], list[UnsentRow]]:
    """Return the requests of a page, and its `invalid` rows."""
    requests = [one for one in page if isinstance(one, RowRequest)]
    return requests, [invalid(one) for one in page if isinstance(one, InvalidRow)]
