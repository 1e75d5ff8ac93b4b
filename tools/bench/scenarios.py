"""Scenarios of the bench: one function for each group of rows in the table of figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from statistics import median
from typing import Final

from tools.bench.counts import Counts, IntegrationCounts
from tools.bench.day_sizes import size
from tools.bench.distance import distant
from tools.bench.doubt import doubt
from tools.bench.elsewhere import elsewhere
from tools.bench.measurement import Bench
from tools.bench.orders import Behaviour, Orders
from tools.bench.page import timed
from tools.bench.shards import shards
from tools.bench.shared import shared
from tools.bench.stage import WAREHOUSE, BenchError, Run
from tools.bench.start import start
from tools.bench.targets import Finding, at_least, at_most
from tools.bench.throughput import throughput
from tools.bench.warehouse import name_of

_MOST_REFUSED: Final = 0.005
_DISTANCE: Final = 0.005
"""Round trip in seconds to a database in another zone of the same region."""


def makespan(bench: Bench) -> list[Finding]:
    """Compare the time of a day with the least time by limits and latency."""
    senders, rows, few = 20, bench.scale.rows(2_000, 40), bench.scale.rows(1_000, 40)
    steady = Behaviour(latency=(0.1, 0.3), limit=30)
    # 20 integrations with 30 slots each ask for 1,000 rows a second at most.
    slow = Behaviour(latency=(0.3, 0.9), limit=30)
    falling = replace(slow, falls_to=8, falls_after=few // 2)
    some = {name_of(number): falling for number in range(5)}
    mixed = Orders(default=slow, by_integration=some)
    return [
        *_paced(bench, "20 integrations", Orders(default=steady), senders, rows, most=1.15),
        # Few rows per second: no machine is too slow for these.
        *_paced(bench, "5 integrations", Orders(default=steady), senders // 4, rows),
        *_paced(bench, "5 of 20 fall to 8 in the middle", mixed, senders, few),
        *(
            _paced(bench, f"5 integrations with a limit of {limit}", orders, senders // 4, few)[0]
            for limit in (8, 10)
            for orders in [Orders(default=replace(steady, limit=limit))]
        ),
    ]


def _paced(
    bench: Bench,
    what: str,
    orders: Orders,
    senders: int,
    rows: int,
    *,
    most: float = 1.1,
    environment: Mapping[str, str] | None = None,
) -> list[Finding]:
    """Compare the time of a day with the ideal.

    :param most: The limit.
    """
    bench.stage.fill(senders * rows, senders)
    run = bench.run("ours", orders, rows=senders * rows, environment=environment)
    least = max(
        ideal(orders.of(name), counts) for name, counts in run.server.by_integration.items()
    )
    seconds = f"{run.seconds:.1f} s against {least:.1f} s"
    rates = f"{run.rate:,.0f} rows/s against {run.rows / least:,.0f}"
    return [
        at_most(
            f"{what}: makespan against the ideal",
            run.seconds / least,
            most,
            run.rows,
            note=f"{seconds}, {rates}, {run.cost}",
        ),
        _refused(what, run),
    ]


def distance(bench: Bench) -> list[Finding]:
    """Compare the time of a day with the least time, with a database 5 ms away."""
    senders, rows = 5, bench.scale.rows(2_000, 40)
    steady = Orders(default=Behaviour(latency=(0.1, 0.3), limit=30))
    with distant(bench.stage.warehouse.host, _DISTANCE) as host:
        far = {WAREHOUSE: replace(bench.stage.warehouse, host=host).connection()}
        what = f"{senders} integrations, a database {_DISTANCE * 1000:.0f} ms away"
        return _paced(bench, what, steady, senders, rows, environment=far)


def rate(bench: Bench) -> list[Finding]:
    """Measure the used share of the rate limit of all integrations together."""
    (rate, window), windows = ((60, 1.0), 3.5) if bench.scale.small else ((600, 10.0), 6.5)
    rows = int(windows * rate)
    orders = Orders(default=Behaviour(latency=(0.1, 0.1)), rate=rate, window=window)
    bench.stage.fill(rows, 10)
    run = bench.run("ours", orders, rows=rows)
    last = max(counts.last for counts in run.server.by_integration.values())
    whole = int(last / window)
    seconds = whole * int(window)
    taken = sum(number for second, number in run.server.taken.items() if second < seconds)
    what = f"{rate} requests per {window:.0f} s for all"
    return [
        at_least(
            f"{what}: share that is used",
            taken / (rate * whole) if whole else 0.0,
            0.98,
            run.rows,
            note=f"{taken:,} in {whole} windows, {run.cost}",
            percent=True,
        ),
        _refused(what, run),
    ]


def hang(bench: Bench) -> list[Finding]:
    """Compare nine integrations beside a hanging one with the nine alone."""
    senders, rows = 10, bench.scale.rows(1_500, 40)
    nine, hung = [name_of(number) for number in range(senders - 1)], name_of(senders - 1)
    slow = Behaviour(latency=(0.2, 0.4))
    bench.stage.fill(len(nine) * rows, len(nine))
    without = bench.run("ours", Orders(default=slow), rows=len(nine) * rows)
    bench.stage.fill(senders * rows, senders)

    def are_done(counts: Counts) -> bool:
        return len(nine) * rows == sum(
            counts.by_integration[name].responses for name in nine if name in counts.by_integration
        )

    orders = Orders(default=slow, by_integration={hung: Behaviour(hangs=True)})
    hanging = bench.run("ours", orders, rows=None, enough=are_done)
    if not are_done(hanging.server) or hung not in hanging.server.by_integration:
        raise BenchError(f"One was to hang and nine to end: {hanging.server}")
    before, after = (_last_response(run.server, nine) for run in (without, hanging))
    return [
        at_most(
            "One of ten hangs: the other nine against a day without it",
            after / before,
            1.1,
            without.rows,
            note=f"{after:.1f} s against {before:.1f} s",
        )
    ]


_PAGE_LIMITS: Final = {"overview": 100, "1,000 rows as JSON": 200}
"""Milliseconds at most of a view that reads more than a page: of all days, or 20 pages at once."""


def page(bench: Bench) -> list[Finding]:
    """Measure the response times of the page over a ledger of many rows."""
    rows = bench.scale.rows(1_000_000, 5_000)
    return [
        at_most(
            f"The page at the server, {what}: ms, 9 of 10 looks",
            most,
            _PAGE_LIMITS.get(what, 50),
            rows,
            note=f"median {middle:.0f} ms",
        )
        for what, (middle, most) in timed(bench.stage.warehouse, rows).items()
    ]


SCENARIOS: Final[Mapping[str, Callable[[Bench], list[Finding]]]] = {
    scenario.__name__: scenario
    for scenario in (
        # What a user feels comes first.
        *(makespan, distance, rate, shared, hang, doubt, throughput, start),
        *(size, shards, elsewhere, page),
    )
}


def measure(bench: Bench, scenario: str) -> list[Finding]:
    """Measure one scenario.

    :raises BenchError: if a run did something else than the scenario asks for.
    """
    bench.begin(scenario)
    findings = SCENARIOS[scenario](bench)
    runs = bench.runs.get(scenario)
    others = f"{median(run.busy for run in runs):.0%}" if runs else ""
    return [replace(one, others=others) for one in findings]


def ideal(behaviour: Behaviour, counts: IntegrationCounts) -> float:
    """Return the least seconds of an integration, with all slots in use."""
    rows, latency = counts.links, counts.work / counts.links
    if behaviour.falls_to is None:
        return rows * latency / behaviour.limit
    first = behaviour.falls_after
    return latency * (first / behaviour.limit + (rows - first) / behaviour.falls_to)


def _last_response(counts: Counts, names: list[str]) -> float:
    return max(counts.by_integration[name].answered for name in names)


def _refused(what: str, run: Run) -> Finding:
    most = max(counts.refused for counts in run.server.by_integration.values())
    return at_most(
        f"{what}: 429s",
        run.refused,
        _MOST_REFUSED,
        run.rows,
        note=f"{run.server.total('refused')}, at most {most} of one integration",
        percent=True,
    )
