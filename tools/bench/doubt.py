"""Rows in doubt after a kill: claimed rows beside the requests on the wire."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Final

from tools.bench import call_times, process
from tools.bench.counts import Counts
from tools.bench.measurement import Bench
from tools.bench.orders import Behaviour, Orders
from tools.bench.stage import BenchError, Stage
from tools.bench.targets import Finding, at_most
from tools.bench.warehouse import DAY

log = logging.getLogger(__name__)

_ORDERS: Final = Orders(default=Behaviour(latency=(0.1, 0.3), limit=30))
_SEED: Final = 20261103
_RESPONSES: Final = 60
"""Responses of each integration before the kill: then its limit is known and its slots are used."""
_LOOK_SECONDS: Final = 0.05
_PATIENCE: Final = 60.0


@dataclass(frozen=True)
class Kill:
    """Rows at one kill; times are in seconds.

    :param sending: Rows that are `sending` in the ledger: the next run makes them `unknown`.
    :param on_the_wire: Requests that the server had received and not answered.
    :param commit: Mean time of a claim, as a sender experiences it.
    :param response: Mean time of a response, as a sender experiences it.
    """

    sending: int
    on_the_wire: int
    integrations: int
    commit: float
    response: float

    @property
    def bound(self) -> float:
        """Return the most rows `sending` by the formula of docs/guarantees.md."""
        beside = 2 * self.commit / self.response
        return self.on_the_wire * (1 + beside) + self.integrations

    def __str__(self) -> str:
        return (
            f"{self.sending} sending, {self.on_the_wire} on the wire,"
            f" at most {self.bound:.0f} by the formula:"
            f" commit {self.commit * 1e3:.1f} ms, response {self.response * 1e3:.0f} ms"
        )


def doubt(bench: Bench) -> list[Finding]:
    """Kill deliveries while all senders are at work, and count the rows in doubt.

    Three integrations ask for 450 rows a second, which a machine of two cores keeps up with. Ten
    ask for 1,500.
    """
    return [
        finding
        for integrations in (3, bench.scale.rows(10, 4))
        for finding in _findings(integrations, _kills(bench, integrations))
    ]


def _kills(bench: Bench, integrations: int) -> list[Kill]:
    kills = []
    seeds, rows = bench.scale.rows(20, 1), integrations * bench.scale.rows(700, 200)
    for seed in range(seeds):
        dice = random.Random(_SEED + seed)  # noqa: S311 - to be repeated
        bench.stage.fill(rows, integrations)
        seconds = dice.uniform(0, bench.scale.rows(2, 0))
        kills.append(_killed(bench.stage, rows, integrations, seconds))
        log.info("doubt, seed %d: %s", _SEED + seed, kills[-1])
    return kills


def _findings(integrations: int, kills: list[Kill]) -> list[Finding]:
    sending, wire = sum(one.sending for one in kills), sum(one.on_the_wire for one in kills)
    bound = sum(one.bound for one in kills)
    within = sum(one.sending <= one.bound for one in kills)
    commit, response = (
        1e3 * sum(times) / len(kills)
        for times in ([one.commit for one in kills], [one.response for one in kills])
    )
    what = f"{len(kills)} kills of {integrations} integrations at 100-300 ms: rows `sending`"
    times = f"commit {commit:.1f} ms, response {response:.0f} ms"
    return [
        at_most(
            f"{what} against requests on the wire",
            sending / wire,
            1.15,
            sending,
            note=f"{sending} against {wire}; {bound / wire:.3f} by the formula: {times}",
        ),
        at_most(
            f"{what} against the formula",
            sending / bound,
            1,
            sending,
            note=f"{sending} against {bound:.0f}; {within} of {len(kills)} kills are within it",
        ),
    ]


def _killed(stage: Stage, rows: int, integrations: int, seconds: float) -> Kill:
    """Kill a delivery some seconds after all senders are at work."""
    stage.server.obey(_ORDERS)
    with process.client("killed", DAY, None, stage.connections()) as (running, _):
        _await(stage, lambda counts: _at_work(counts) == integrations)
        sleep(seconds)
        running.kill()
        running.join()
    counts = _await(stage, _is_cut)
    if any(one.links >= rows // integrations for one in counts.by_integration.values()):
        raise BenchError(f"An integration had nothing to do at the kill: {counts}")
    commit, response = call_times.latest()
    sending = stage.warehouse.sending()
    return Kill(sending, counts.total("cut"), integrations, commit, response)


def _at_work(counts: Counts) -> int:
    return sum(one.responses >= _RESPONSES for one in counts.by_integration.values())


def _is_cut(counts: Counts) -> bool:
    """Return True if the server has noticed the end of all connections."""
    accepted = counts.total("links") + counts.total("duplicates")
    return accepted == counts.total("responses") + counts.total("cut")


def _await(stage: Stage, condition: Callable[[Counts], bool]) -> Counts:
    until = monotonic() + _PATIENCE
    while not condition(counts := stage.server.counts()):
        if monotonic() > until:
            raise BenchError(f"The delivery did not get far enough to be killed: {counts}")
        sleep(_LOOK_SECONDS)
    return counts
