"""Settle the rows of dead runs, and count those that this run answers for."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from datetime import date
from typing import Final

from airflow_kombo.delivery.stop_signal import StopSignal
from airflow_kombo.delivery.threads import Threads
from airflow_kombo.delivery.waiting import wait_for_event
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.ledger.run_scope import LeftRow, RunScope
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.ledger.time_limits import HEARTBEAT_SECONDS
from airflow_kombo.statuses import Status

log = logging.getLogger(__name__)

_LOOKS: Final = 5
"""Looks at a silent run while one heartbeat is due."""


class DeadRuns:
    """Dead runs, as one run finds them.

    The run answers for the rows of its days that it settles, and for the rows that its earlier
    tries left in doubt: no other run counts them. A dead run has no counts.

    :param first_day: The first day that the run looks back to; None for its own day alone.
    :param read_again: Statuses of rows that the run will read itself.
    :param heartbeat: Seconds between two heartbeats of a run.
    """

    def __init__(
        self,
        run: Run,
        runs: Runs,
        first_day: date | None,
        *,
        stop: StopSignal,
        threads: Threads,
        read_again: Collection[str] = (),
        heartbeat: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._run = run
        self._runs = runs
        self._first_day = first_day
        self._read_again = read_again
        self._poll = heartbeat / _LOOKS
        self._stop = stop
        self._threads = threads
        self._scope = RunScope()
        self._settled: dict[LinkKey, LeftRow] = {}

    @property
    def scope(self) -> RunScope:
        """Return the rows that this run answers for; known after `settle_all`."""
        return self._scope

    async def settle_all(self) -> None:
        """Settle every run of any day that is dead by now, without a wait.

        Rows that this run will read itself, such as `retryable` ones, are no rows of a dead run any
        more.
        """
        runs, run_id = self._runs, self._run.run_id
        self._scope = await self._threads.run(runs.scope_of, self._run, self._first_day)
        silent = await self._threads.run(runs.silent, run_id)
        settled = await self._settle(silent)
        self._keep(
            row
            for row in settled
            if row.status is Status.UNKNOWN or row.status not in self._read_again
        )

    async def settle_own(self) -> None:
        """Settle the dead runs of this run's days.

        A run that may be dead is watched until it renews its heartbeat or is dead for certain. So
        no row of these days stays `sending` for a dead run, unless another transaction holds it.
        """
        runs, run_id = self._runs, self._run.run_id
        before, living = dict[str, float](), set[str]()
        while not self._stop.is_set:
            silent = await self._threads.run(runs.silent, run_id, self._scope)
            living |= {name for name, seconds in silent.items() if seconds < before.get(name, 0)}
            self._keep(await self._settle(silent))
            waiting = {
                name: seconds
                for name, seconds in silent.items()
                if seconds < runs.dead_after and name not in living
            }
            if not waiting:
                return
            left = runs.dead_after - min(waiting.values())
            log.info("Waiting up to %.0f s for the heartbeats of %d runs", left, len(waiting))
            before = silent
            await wait_for_event(self._stop.hurried, min(left, self._poll))

    async def rows(self) -> list[LeftRow]:
        """Return the rows of other runs that this run answers for, by their statuses now.

        A row that was sent again since is its new run's.
        """
        tries = self._scope.earlier_tries
        of_runs = {*tries, *(row.run_id for row in self._settled.values())}
        if not of_runs:
            return []
        found = await self._threads.run(self._runs.unknown_of, of_runs)
        unknown = [row for row in found if row.run_id in tries or row.key in self._settled]
        if unknown:
            names = ", ".join(sorted({row.run_id for row in unknown}))
            log.warning(
                "%d rows that earlier runs left are unknown, and are in the counts of this run;"
                " their run_id: %s",
                len(unknown),
                names,
            )
        proven = (row for row in self._settled.values() if row.status is not Status.UNKNOWN)
        return [*unknown, *proven]

    async def _settle(self, silent: dict[str, float]) -> list[LeftRow]:
        dead = {name for name, seconds in silent.items() if seconds >= self._runs.dead_after}
        settled = await self._threads.run(self._runs.settle, dead)
        unknown = sum(row.status is Status.UNKNOWN for row in settled)
        if unknown:
            log.warning("%d rows of runs that died are unknown now", unknown)
        return settled

    def _keep(self, settled: Iterable[LeftRow]) -> None:
        self._settled |= {row.key: row for row in settled if self._scope.has(row)}
