"""Outcomes, recorded in groups, and insisted on: they have happened."""

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
"""How long a ledger that does not answer is asked again: what cannot be recorded is in doubt."""


class OutcomeWriter:
    """Writes outcomes as they come.

    :param write: Writes a batch, durably, or raises `LedgerError`; returns those of which it wrote
        only the attempts, since others hold their status rows.
    :param on_failure: Called at the first failure, so that nothing more is sent.
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

    def record(self, recorded: AttemptOutcome) -> asyncio.Task[list[AttemptOutcome]]:
        """Record an outcome with others; give what ends when they are durable.

        Its result are those whose status rows others hold. It ends in a `LedgerError` if they
        could not be recorded within the time set for it.
        """
        return self._group.add([recorded])

    async def write_durably(self, write: Callable[[], Awaitable[Result]]) -> Result:
        """Write until it is done: what happened has to be told, even by a ledger that was down.

        :raises LedgerError: if it could not be written within the time set for it.
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
