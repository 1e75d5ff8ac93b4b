"""Write outcomes to the ledger in groups, retrying until they are durable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

from airflow_kombo.delivery.group_commit import GroupCommit
from airflow_kombo.exceptions import LedgerError
from airflow_kombo.ledger.outcomes import AttemptOutcome

Result = TypeVar("Result")

_LONGEST_WAIT_SECONDS: Final = 10.0
GIVE_UP_SECONDS: Final = 300.0
"""Time for which a failing ledger is tried again. Rows whose outcome cannot be written are in
doubt."""


class OutcomeWriter:
    """Writer of outcomes, in groups.

    :param write: Writes a group durably or raises `LedgerError`. It returns the outcomes of which
        it wrote only the attempts, because other transactions hold the status rows.
    :param on_failure: Called at each failure, so that nothing more is sent.
    :param give_up_after: Seconds for which a failing ledger is tried again.
    """

    def __init__(
        self,
        write: Callable[[list[AttemptOutcome]], Awaitable[list[AttemptOutcome]]],
        on_failure: Callable[[LedgerError], None],
        *,
        give_up_after: float = GIVE_UP_SECONDS,
    ) -> None:
        self._write = write
        self._on_failure = on_failure
        self._give_up_after = give_up_after
        self._group = GroupCommit[AttemptOutcome, list[AttemptOutcome]](self._write_group)

    def record(self, outcome: AttemptOutcome) -> asyncio.Task[list[AttemptOutcome]]:
        """Add an outcome to the next group; return the write task of this group.

        The task returns the outcomes whose status rows others hold. It raises `LedgerError` if the
        group could not be written in time.
        """
        return self._group.add([outcome])

    async def write_durably(self, write: Callable[[], Awaitable[Result]]) -> Result:
        """Retry a write until success: the outcome of a request must not be lost.

        :raises LedgerError: if the write did not succeed in time.
        """

        async def attempt() -> Result:
            try:
                return await write()
            except LedgerError as error:
                self._on_failure(error)
                raise

        return await AsyncRetrying(
            retry=retry_if_exception_type(LedgerError),
            wait=wait_random_exponential(max=_LONGEST_WAIT_SECONDS),
            stop=stop_after_delay(self._give_up_after),
            reraise=True,
        )(attempt)

    async def _write_group(self, group: list[AttemptOutcome]) -> list[AttemptOutcome]:
        return await self.write_durably(lambda: self._write(group))
