"""Liveness of a run: the heartbeat, and the permission to send."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import Final

from airflow_kombo.delivery.stop_signal import StopSignal
from airflow_kombo.delivery.threads import Threads
from airflow_kombo.exceptions import DeclaredDeadError, LedgerError
from airflow_kombo.ledger.runs import Run, Runs

log = logging.getLogger(__name__)

_SILENT_SHARE: Final = 0.75
"""Share of the time after which others declare a run dead. A run that has been silent for longer
sends nothing more."""

if sys.platform == "linux":

    def clock() -> float:
        """Return monotonic seconds, the time of a suspended machine included.

        Other runs declare this run dead by their own clocks, so this clock must not stand still.
        """
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:

    def clock() -> float:
        """Return monotonic seconds."""
        return time.monotonic()


class Liveness:
    """Heartbeat of one run.

    :param heartbeat: Seconds between two heartbeats.
    """

    def __init__(self, runs: Runs, stop: StopSignal, threads: Threads, heartbeat: float) -> None:
        self._runs = runs
        self.stop = stop
        self._threads = threads
        self._heartbeat = heartbeat
        self._may_send_for = runs.dead_after * _SILENT_SHARE
        self._last_beat = clock()

    async def start(self, run: Run) -> None:
        """Write the run's row with the first heartbeat."""
        began = clock()  # others count from the written heartbeat, however late we hear of it
        await self._threads.run(self._runs.start, run)
        self._last_beat = began

    async def beat(self, run_id: str, counts: Callable[[], Mapping[str, int] | None]) -> None:
        """Renew the heartbeat regularly until cancelled, or until others declare the run dead.

        :param counts: Returns the run's counts for its row; None as long as there are none.
        """
        while True:
            await asyncio.sleep(self._heartbeat)
            began = clock()
            try:
                await self._threads.run(self._runs.beat, run_id, counts())
            except DeclaredDeadError as error:
                self.stop.set(error)
                return
            except LedgerError as error:
                log.warning("%s", error)
            else:
                self._last_beat = began

    @property
    def is_certain(self) -> bool:
        """Return True if no other run can have declared this run dead yet."""
        return clock() - self._last_beat < self._may_send_for

    def may_leave(self) -> bool:
        """Return True if a request may leave; checked once its connection is open."""
        return self.stop.error is None and self.is_certain
