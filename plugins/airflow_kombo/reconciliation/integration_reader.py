"""Read one integration, paced and limited as the writes are.

A read changes nothing, so it is read again after any failure that may pass. The time is limited: a
slow integration holds nobody back, and the next look goes on.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any, Final, Protocol

from airflow_kombo.exceptions import ConfigurationError, KomboError, NotSentError
from airflow_kombo.kombo_api.reads import Read, ReadResult
from airflow_kombo.kombo_api.response import KomboResponse
from airflow_kombo.kombo_api.verdicts import Verdict, verdict_of
from airflow_kombo.throttle.throttle import Throttle

MOST_AT_ONCE: Final = 4
"""Reads of one integration in flight at most: they must not take the writes' place."""
TRIES: Final = 4
_SHORTEST_PAUSE_SECONDS: Final = 0.05
LONGEST_SECONDS: Final = 240.0
"""Seconds after which an integration's reads begin no more."""
_COOL_DOWN_SECONDS: Final = 30.0


class Client(Protocol):
    """Client as a reader uses one."""

    async def read(self, read: Read) -> ReadResult:
        """Read something, and return the response with its data, or the transport error."""


class UnreadableError(KomboError):
    """A read brings nothing that says whether a link exists. The message names the cause."""


class IntegrationUnreadableError(UnreadableError):
    """No read of this integration brings anything, such as without the permission."""


class IntegrationReader:
    """Reader of one integration.

    :param readers: Readers that may share the rate limit.
    :param seconds: Seconds after which no read begins any more.
    """

    def __init__(self, client: Client, readers: int, seconds: float = LONGEST_SECONDS) -> None:
        self.given_up: IntegrationUnreadableError | None = None
        """The reason why nothing of the integration is read any more; None as long as it is."""
        self._client = client
        self._until = monotonic() + seconds
        self._throttle = Throttle(MOST_AT_ONCE, readers, _COOL_DOWN_SECONDS)
        self._slots = asyncio.Semaphore(MOST_AT_ONCE)

    async def data_of(self, read: Read) -> Any:
        """Return the data of a read.

        :raises UnreadableError: if the read brings nothing.
        :raises IntegrationUnreadableError: if no read of the integration does.
        :raises ConfigurationError: if the API key or the address is wrong.
        """
        cause = None
        for _ in range(TRIES):
            try:
                answer = await self._once(read)
            except IntegrationUnreadableError:
                if cause is None:
                    raise
                break  # this read failed by itself, too
            verdict, cause = verdict_of(answer.result), _cause_of(answer)
            if verdict is Verdict.CREATED:
                return answer.data
            self._refuse(verdict, answer, cause)
        raise UnreadableError(cause)

    def _refuse(self, verdict: Verdict, answer: ReadResult, cause: str) -> None:
        """Raise an error for a response that another try does not change."""
        lasting = isinstance(answer.result, NotSentError) and answer.result.lasting
        if verdict is Verdict.STOP or lasting:
            raise ConfigurationError(f"Kombo cannot be read: {cause}.")
        if verdict is Verdict.BLOCKED:
            raise self._give_up(cause)
        if self._throttle.given_up:
            self._give_up(cause)
        if verdict is Verdict.REFUSED:
            raise UnreadableError(cause)

    async def _once(self, read: Read) -> ReadResult:
        """Read once, and again after a limit.

        :raises IntegrationUnreadableError: if nothing of the integration is read any more.
        """
        async with self._slots:
            while True:
                number = await self._permission()
                began = monotonic()
                answer = await self._client.read(read)
                response = answer.result if isinstance(answer.result, KomboResponse) else None
                verdict, now = verdict_of(answer.result), monotonic()
                self._throttle.record_result(number, now, began, response, verdict)
                if verdict is not Verdict.WAIT:
                    return answer

    async def _permission(self) -> int:
        """Wait until the throttle permits a read, and return its number."""
        while True:
            now = monotonic()
            if self._throttle.given_up:
                self._give_up("it kept failing, or Kombo's limits allowed no read")
            if now > self._until:
                self._give_up("its time is over, and the next look goes on")
            if self.given_up:
                raise self.given_up
            if number := self._throttle.take(now):
                return number
            pause = min(self._throttle.pause(now), self._until - now)
            await asyncio.sleep(max(pause, _SHORTEST_PAUSE_SECONDS))

    def _give_up(self, cause: str) -> IntegrationUnreadableError:
        """Read nothing of the integration any more; the first cause counts."""
        self.given_up = self.given_up or IntegrationUnreadableError(cause)
        return self.given_up


def _cause_of(answer: ReadResult) -> str:
    """Return the cause of a failure, without any data of the response."""
    if isinstance(answer.result, KomboResponse):
        return answer.result.error_code or f"HTTP {answer.result.http_status}"
    return str(answer.result)
