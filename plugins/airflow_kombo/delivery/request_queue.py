"""Choose the next requests of one integration to claim."""

from __future__ import annotations

from time import monotonic

from airflow_kombo.delivery.held_rows import HeldRows
from airflow_kombo.delivery.request_reader import RequestReader
from airflow_kombo.delivery.retry_queue import RetryQueue
from airflow_kombo.delivery.sending_end import SendingEnd
from airflow_kombo.delivery.unsent_rows import UnsentRows
from airflow_kombo.kombo_api.request import RowRequest


class RequestQueue:
    """Requests to claim: retries first, then new ones, and held ones in between."""

    def __init__(
        self,
        reader: RequestReader,
        retries: RetryQueue,
        held: HeldRows,
        *,
        unsent: UnsentRows,
        end: SendingEnd,
    ) -> None:
        self.reader = reader
        self.retries = retries
        self.held = held
        self._unsent = unsent
        self._end = end
        self._held_first = False

    def __len__(self) -> int:
        """Return the number of retries and held rows; new rows are not among them."""
        return len(self.retries) + len(self.held)

    @property
    def next_due(self) -> float:
        """Return the due time of the first retry or held row."""
        return min(self.retries.next_due, self.held.next_due)

    async def take(self, most: int) -> list[RowRequest]:
        """Remove and return requests to claim; none if nothing is ready.

        Held rows come first every other time, so that they delay no other rows.

        :param most: Most requests to return.
        """
        self._held_first = bool(self.held) and not self._held_first
        if self._held_first and (due := self.held.take_due(monotonic(), most)):
            return due
        due = self.retries.take_due(monotonic(), most)
        return due or await self._take_new(most) or self.held.take_due(monotonic(), most)

    async def has_more(self) -> bool:
        """Return True if any request is left, also one that is not due yet."""
        return bool(self) or await self._has_new()

    async def _has_new(self) -> bool:
        """Read until a new request is ready; return False if there are no more."""
        while not self.reader.has_requests and not self._end.has_come:
            invalid = await self.reader.read()
            if invalid is None:
                break
            await self._unsent.record(invalid)
        return self.reader.has_requests

    async def _take_new(self, most: int) -> list[RowRequest]:
        """Return new requests; none if too many retries wait."""
        if not self.retries.is_full and await self._has_new():
            return self.reader.take(most)
        return []
