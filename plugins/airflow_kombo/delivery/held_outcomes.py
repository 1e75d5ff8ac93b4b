"""Write the outcomes of held rows later, when the rows are free."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final

from airflow_kombo.delivery.waiting import wait_for_event
from airflow_kombo.exceptions import LedgerError
from airflow_kombo.ledger.outcomes import AttemptOutcome

log = logging.getLogger(__name__)

MOST_WAITING: Final = 1_000
"""Most outcomes that wait to be written; further ones are left to the next run at once."""


class HeldOutcomes:
    """Outcomes with a written attempt and a held status row.

    :param write: Writes outcomes and returns those whose rows are still held.
    :param pause: Seconds between two tries.
    :param patience: Seconds after which the outcomes are left to the next run.
    :param hurried: Set when the process will be killed soon: then nothing is waited for.
    """

    def __init__(
        self,
        write: Callable[[list[AttemptOutcome]], Awaitable[list[AttemptOutcome]]],
        *,
        pause: float,
        patience: float,
        hurried: asyncio.Event,
    ) -> None:
        self._write = write
        self._pause = pause
        self._patience = patience
        self._hurried = hurried
        self._waiting = 0

    async def record(self, outcomes: list[AttemptOutcome]) -> list[AttemptOutcome]:
        """Write outcomes once their rows are free; return those left to the next run."""
        if self._waiting + len(outcomes) > MOST_WAITING:
            return outcomes
        self._waiting += len(outcomes)
        try:
            return await self._record(outcomes)
        finally:
            self._waiting -= len(outcomes)

    async def _record(self, held: list[AttemptOutcome]) -> list[AttemptOutcome]:
        until = monotonic() + self._patience
        while held and monotonic() < until:
            if await wait_for_event(self._hurried, self._pause):
                break
            try:
                held = await self._write(held)
            except LedgerError as error:  # the attempts are durable, so nothing is lost
                log.info("Outcomes of held rows were not written: %s", error)
        return held
