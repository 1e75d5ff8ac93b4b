"""Write the outcomes of rows that were held when they were to be recorded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final

from airflow_kombo.delivery.waiting import happened
from airflow_kombo.exceptions import LedgerError
from airflow_kombo.ledger.outcomes import AttemptOutcome

log = logging.getLogger(__name__)

MOST_WAITING: Final = 1_000
"""Outcomes that wait to be written; more of them are left to the next run at once."""


class HeldOutcomes:
    """Tries again to write outcomes whose attempts are recorded and whose status rows are held.

    :param write: Writes outcomes, and returns those whose rows are held still.
    :param pause: Seconds until they are tried again.
    :param patience: Seconds after which they are left to the next run.
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

    async def record(self, recorded: list[AttemptOutcome]) -> list[AttemptOutcome]:
        """Write outcomes when their rows are free; return those that are left to the next run."""
        if self._waiting + len(recorded) > MOST_WAITING:
            return recorded
        self._waiting += len(recorded)
        try:
            return await self._record(recorded)
        finally:
            self._waiting -= len(recorded)

    async def _record(self, held: list[AttemptOutcome]) -> list[AttemptOutcome]:
        until = monotonic() + self._patience
        while held and monotonic() < until and not await happened(self._hurried, self._pause):
            try:
                held = await self._write(held)
            except LedgerError as error:  # the outcomes are durable: there is no harm in it
                log.info("Rows that others hold were not written: %s", error)
        return held
