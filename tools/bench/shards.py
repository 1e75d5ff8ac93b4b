"""Scenario of days in shards: the price of a shard, its use, and a day of many rows."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

from tools.bench.measurement import AT_ONCE, Bench
from tools.bench.orders import Behaviour, Orders
from tools.bench.quota import Quota
from tools.bench.sharded_day import ShardedDay, deliver
from tools.bench.targets import Finding, at_least, at_most, exactly, in_all_rounds

log = logging.getLogger(__name__)

_INTEGRATIONS: Final = 20
_SLOW: Final = Orders(default=Behaviour(latency=(0.3, 0.9), limit=30))
"""20 integrations with 30 slots each ask for 1,000 rows a second at most."""
_FAST: Final = Orders(default=Behaviour(latency=(0.1, 0.3), limit=30))
"""20 integrations ask for 3,000 rows a second, more than a part of a core sends."""
_QUARTER: Final = Quota(0.25)
_SOON_SECONDS: Final = 2.0
"""Time of a plan and of an account that nobody waits for."""


def shards(bench: Bench) -> list[Finding]:
    """Measure the days in one shard and in several, with one core and with a part of one."""
    return [*_price(bench), *_use(bench), *_many(bench)]


def _price(bench: Bench) -> list[Finding]:
    """Compare days in 2 and 4 shards with days in one, where the limits decide the time."""
    rows = _INTEGRATIONS * bench.scale.rows(1_000, 20)
    rounds = [
        {shards: _delivered(bench, _SLOW, rows, shards) for shards in (1, 2, 4)}
        for _ in range(bench.scale.rows(3, 1))
    ]
    return [finding for shards in (2, 4) for finding in _against_one(rounds, shards)]


def _against_one(rounds: Sequence[Mapping[int, ShardedDay]], shards: int) -> list[Finding]:
    """Build the findings of days in some shards against those in one, as medians of rounds."""
    pairs = [(days[1], days[shards]) for days in rounds]
    rows, what = pairs[0][0].run.rows, f"{shards} shards against one"
    cpu = [some.cpu / one.cpu for one, some in pairs]
    times = [some.run.seconds / one.run.seconds for one, some in pairs]
    apart = [some.apart for _, some in pairs]
    one, some = (
        [median(figure(day) for day in days) for figure in (_seconds, _cpu)]
        for days in zip(*pairs, strict=True)
    )
    return [
        at_most(
            f"{what}: CPU per row",
            median(cpu),
            1.15,
            rows,
            note=f"{some[1]:.3f} ms against {one[1]:.3f} ms; {in_all_rounds(cpu)}",
        ),
        at_most(
            f"{what}: makespan",
            median(times),
            1.05,
            rows,
            note=f"{some[0]:.1f} s against {one[0]:.1f} s; {in_all_rounds(times)}",
        ),
        at_most(
            f"{shards} shards: the first to end is earlier than the last by",
            median(apart),
            0.15,
            rows,
            note=in_all_rounds([100 * share for share in apart]),
            percent=True,
        ),
    ]


def _seconds(day: ShardedDay) -> float:
    return day.run.seconds


def _cpu(day: ShardedDay) -> float:
    return day.cpu


def _use(bench: Bench) -> list[Finding]:
    """Compare the speed of two shards with that of one, each process on a quarter of a core."""
    if not _QUARTER.is_possible:
        log.warning("shards: no cgroup can be made here, so no process is held to a quarter core")
        return []
    rows = _INTEGRATIONS * bench.scale.rows(2_500, 20)
    one, two = (_delivered(bench, _FAST, rows, shards, _QUARTER) for shards in (1, 2))
    speeds = f"{two.run.rate:,.0f} rows/s against {one.run.rate:,.0f}; {two.run.cost}"
    return [
        at_least(
            "2 shards against one, a quarter of a core for each process: speed",
            one.run.seconds / two.run.seconds,
            1.8,
            rows,
            note=f"{speeds}; plan {two.plan.seconds:.1f} s, account {two.account.seconds:.1f} s",
        )
    ]


def _many(bench: Bench) -> list[Finding]:
    """Count a day of many rows before its shards, and after them."""
    rows, shards = bench.scale.rows(100_000, 400), 8
    day = _delivered(bench, AT_ONCE, rows, shards)
    counted = day.account.counts
    return [
        exactly(
            f"{shards} shards: rows in the account",
            counted["success"],
            rows,
            rows,
            note=f"planned {counted['planned']:,}, in {day.run.seconds:.0f} s",
        ),
        exactly(
            f"{shards} shards: asset events", day.account.result, 1, rows, note="of the account"
        ),
        *(
            at_most(
                f"{shards} shards: seconds of the {name}",
                took.seconds,
                _SOON_SECONDS,
                rows,
                note=f"{took.cpu:.2f} s of CPU, {took.peak_mb:.0f} MB at most",
            )
            for name, took in (("plan", day.plan), ("account", day.account))
        ),
    ]


def _delivered(
    bench: Bench, orders: Orders, rows: int, shards: int, quota: Quota | None = None
) -> ShardedDay:
    bench.stage.fill(rows, _INTEGRATIONS)
    return deliver(bench, orders, rows, shards, quota)
