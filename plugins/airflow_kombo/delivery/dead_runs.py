"""Settle the rows of dead runs."""

from __future__ import annotations

import logging

from airflow_kombo.delivery.stop_signal import StopSignal
from airflow_kombo.delivery.threads import Threads
from airflow_kombo.delivery.waiting import wait_for_event
from airflow_kombo.ledger.runs import Runs

log = logging.getLogger(__name__)


async def settle_dead_runs(
    runs: Runs, run_id: str, *, stop: StopSignal, threads: Threads, poll: float
) -> int:
    """Settle the `sending` rows of dead runs; return the number that became `unknown`.

    A run that may be dead is watched until it renews its heartbeat or is dead for certain. So no
    row of a dead run stays `sending` when this run ends, unless another transaction holds the row.

    :param run_id: This run, which is not among the dead ones.
    :param poll: Most seconds between two looks at a silent run.
    """
    settled, before, living = 0, dict[str, float](), set[str]()
    while not stop.is_set:
        silent = await threads.run(runs.silent, run_id)
        living |= {name for name, seconds in silent.items() if seconds < before.get(name, 0)}
        dead = {name for name, seconds in silent.items() if seconds >= runs.dead_after}
        settled += await threads.run(runs.settle, dead)
        waiting = {name: silent[name] for name in silent.keys() - dead - living}
        if not waiting:
            break
        left = runs.dead_after - min(waiting.values())
        log.info("Waiting up to %.0f s for the heartbeats of %d runs", left, len(waiting))
        before = silent
        await wait_for_event(stop.hurried, min(left, poll))
    if settled:
        log.warning("%d rows of runs that died are unknown now", settled)
    return settled
