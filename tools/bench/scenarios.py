"""What is measured: one function for each row of the table, each against its target."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from statistics import mean, median
from typing import Final

from airflow_kombo.kombo_api.limits import HEADROOM
from tools.bench.page import timed
from tools.bench.server import Behaviour, Counts, LedgerRow, Orders
from tools.bench.stage import BenchError, Run, Stage
from tools.bench.warehouse import EMPTY_DAY, name_of

log = logging.getLogger(__name__)

_MOST_REFUSED: Final = 0.005
_AT_ONCE: Final = Orders()
_ROUNDS: Final = 3
"""How often rates are compared: a virtual machine may lose a third of its speed for a minute."""
"""A server that answers at once, and limits nobody but to 30 calls at once per integration."""


@dataclass(frozen=True)
class Finding:
    """One figure and its target.

    :param n: Rows that it was measured on.
    """

    what: str
    measured: str
    target: str
    met: bool
    n: int


@dataclass(frozen=True)
class Scale:
    """How much of everything: the whole, or just enough to see that the bench still works.

    :param small: Far too few rows for a figure.
    :param million: Whether a day of a million rows is measured, too: this takes many minutes.
    """

    small: bool = False
    million: bool = False

    def rows(self, full: int, small: int) -> int:
        """Choose a number."""
        return small if self.small else full


class Bench:
    """The scenarios on one stage; `runs` are all runs until now, by scenario."""

    def __init__(self, stage: Stage, scale: Scale) -> None:
        self._stage = stage
        self._scale = scale
        self.runs: dict[str, list[Run]] = {}
        self._scenario = ""

    def measure(self, scenario: str) -> list[Finding]:
        """Measure one scenario.

        :raises BenchError: if a run did not do what was to be measured.
        """
        self._scenario = scenario
        return SCENARIOS[scenario](self)

    def _run(
        self,
        client: str,
        orders: Orders = _AT_ONCE,
        *,
        rows: int | None,
        enough: Callable[[Counts], bool] | None = None,
    ) -> Run:
        return self._keep(self._stage.run(client, orders, rows=rows, enough=enough))

    def _empty(self) -> Run:
        return self._keep(self._stage.run("ours", _AT_ONCE, day=EMPTY_DAY, rows=0))

    def _keep(self, run: Run) -> Run:
        self.runs.setdefault(self._scenario, []).append(run)
        log.info(
            "%s: %s, %d rows in %.1f s; others used %.0f %%, the machine stood still for %.1f s",
            self._scenario,
            run.client,
            run.rows,
            run.seconds,
            100 * run.busy,
            run.stood_still,
        )
        return run

    # The rows of the table ----------------------------------------------------------------------

    def throughput(self) -> list[Finding]:
        """Rows a second, against a bare loop and the official client."""
        rows, few, fewer = (
            self._scale.rows(50_000, 500),
            self._scale.rows(3_000, 100),
            self._scale.rows(1_000, 50),
        )
        rounds = [self._beside_bare(rows) for _ in range(1 if self._scale.small else _ROUNDS)]
        official = self._run("official", rows=few)
        one_by_one = self._run("one_by_one", rows=fewer)
        share, ours, bare = sorted(rounds)[len(rounds) // 2]
        return [
            at_least(
                "Rows/s against a bare aiohttp loop, 32 in flight",
                share,
                0.5,
                rows,
                told=f"{ours:,.0f} against {bare:,.0f}; in all rounds "
                + ", ".join(f"{one:.3f}" for one, *_ in rounds),
            ),
            *(
                at_least(
                    f"Rows/s against the official async client, {how}",
                    ours / other.rate,
                    15,
                    rows,
                    told=f"{ours:,.0f} against {other.rate:,.0f}",
                )
                for how, other in (("32 in flight", official), ("one by one", one_by_one))
            ),
        ]

    def _beside_bare(self, rows: int) -> tuple[float, float, float]:
        """Give our rate as a share of a bare loop's that runs before and after, and both rates."""
        self._stage.fill(rows, 10)
        before = self._run("bare", rows=rows)
        ours = self._run("ours", rows=rows)
        after = before if self._scale.small else self._run("bare", rows=rows)
        bare = mean([before.rate, after.rate])
        return ours.rate / bare, ours.rate, bare

    def makespan(self) -> list[Finding]:
        """How close a day comes to what limits and latency allow."""
        senders, rows = 20, self._scale.rows(2_000, 40)
        steady = Behaviour(latency=(0.1, 0.3), limit=30)
        falling = replace(steady, falls_to=8, falls_after=rows // 2)
        some = {name_of(number): falling for number in range(5)}
        return [
            *self._paced("20 integrations", Orders(default=steady), senders, rows),
            # So few rows a second that no machine is too slow for them.
            *self._paced("5 integrations", Orders(default=steady), senders // 4, rows),
            *self._paced(
                "5 of 20 fall to 8 in the middle",
                Orders(default=steady, by_integration=some),
                senders,
                rows,
            ),
        ]

    def _paced(self, what: str, orders: Orders, senders: int, rows: int) -> list[Finding]:
        self._stage.fill(senders * rows, senders)
        run = self._run("ours", orders, rows=senders * rows)
        full, ours = (
            max(
                ideal(orders.of(name), seen, headroom=headroom)
                for name, seen in run.server.by_integration.items()
            )
            for headroom in (0, HEADROOM)
        )
        seconds = f"{run.seconds:.1f} s against"
        rates = f"{run.rate:,.0f} rows/s against {run.rows / ours:,.0f}"
        return [
            at_most(
                f"{what}: makespan against the ideal",
                run.seconds / full,
                1.08,
                run.rows,
                told=f"{seconds} {full:.1f} s; {ours / full:.2f} is the least with the headroom",
            ),
            at_most(
                f"{what}: the same, with {HEADROOM} slots of each left to others",
                run.seconds / ours,
                1.08,
                run.rows,
                told=f"{seconds} {ours:.1f} s, {rates}",
            ),
            _refused(what, run),
        ]

    def rate(self) -> list[Finding]:
        """How much of the rate that all integrations share is used."""
        (rate, window), windows = ((60, 1.0), 3.5) if self._scale.small else ((600, 10.0), 6.5)
        rows = int(windows * rate)
        orders = Orders(default=Behaviour(latency=(0.1, 0.1)), rate=rate, window=window)
        self._stage.fill(rows, 10)
        run = self._run("ours", orders, rows=rows)
        last = max(seen.last for seen in run.server.by_integration.values())
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
                told=f"{taken:,} in {whole} windows",
                percent=True,
            ),
            _refused(what, run),
        ]

    def hang(self) -> list[Finding]:
        """Compare nine integrations beside one that never answers with the nine alone."""
        senders, rows = 10, self._scale.rows(1_500, 40)
        nine, hung = [name_of(number) for number in range(senders - 1)], name_of(senders - 1)
        slow = Behaviour(latency=(0.2, 0.4))
        self._stage.fill(len(nine) * rows, len(nine))
        without = self._run("ours", Orders(default=slow), rows=len(nine) * rows)
        self._stage.fill(senders * rows, senders)

        def are_done(counts: Counts) -> bool:
            return len(nine) * rows == sum(
                counts.by_integration[name].answers
                for name in nine
                if name in counts.by_integration
            )

        orders = Orders(default=slow, by_integration={hung: Behaviour(hangs=True)})
        hanging = self._run("ours", orders, rows=None, enough=are_done)
        if not are_done(hanging.server) or hung not in hanging.server.by_integration:
            raise BenchError(f"One was to hang and nine to end: {hanging.server}")
        before, after = (_last_answer(run.server, nine) for run in (without, hanging))
        return [
            at_most(
                "One of ten hangs: the other nine against a day without it",
                after / before,
                1.1,
                without.rows,
                told=f"{after:.1f} s against {before:.1f} s",
            )
        ]

    def size(self) -> list[Finding]:
        """Memory and CPU time by the day's size, and a delivered day run again."""
        sizes = {1_000: 5, 10_000: 3, 50_000: 1, 200_000: 1}
        if self._scale.small:
            sizes = {100: 1, 400: 1}
        if self._scale.million:
            sizes[1_000_000] = 1
        days: dict[int, list[Run]] = {}
        again: list[Run] = []
        empty: list[Run] = []
        for rows, times in sizes.items():
            days[rows] = []
            for _ in range(times):
                self._stage.fill(rows, 10)
                days[rows].append(self._run("ours", rows=rows))
            if rows == max(size for size in sizes if size <= 200_000):  # noqa: PLR2004 - the issue's
                repeats = self._scale.rows(3, 1)
                empty = [self._empty() for _ in range(repeats)]
                again = [self._run("ours", rows=0) for _ in range(repeats)]
        return [
            *_memory(days),
            _again(again, empty, max(size for size in sizes if size <= 200_000)),  # noqa: PLR2004
            _cpu(days, empty),
        ]

    def page(self) -> list[Finding]:
        """How long the page takes over a ledger of many rows."""
        rows = self._scale.rows(1_000_000, 5_000)
        return [
            at_most(
                f"The page at the server, {what}: ms, 9 of 10 looks",
                most,
                300 if what == "overview" else 100,
                rows,
                told=f"median {middle:.0f} ms",
            )
            for what, (middle, most) in timed(self._stage.warehouse, rows).items()
        ]


SCENARIOS: Final[Mapping[str, Callable[[Bench], list[Finding]]]] = {
    scenario.__name__: scenario
    for scenario in (
        Bench.throughput,
        Bench.makespan,
        Bench.rate,
        Bench.hang,
        Bench.size,
        Bench.page,
    )
}


def ideal(behaviour: Behaviour, seen: LedgerRow, *, headroom: int = 0) -> float:
    """Give the seconds that an integration takes if its slots, less some, are always at work."""
    rows, slots, latency = seen.links, behaviour.limit - headroom, seen.work / seen.links
    if behaviour.falls_to is None:
        return rows * latency / slots
    first = behaviour.falls_after
    return latency * (first / slots + (rows - first) / (behaviour.falls_to - headroom))


def _last_answer(counts: Counts, names: list[str]) -> float:
    return max(counts.by_integration[name].answered for name in names)


def _memory(days: Mapping[int, list[Run]]) -> list[Finding]:
    peaks = {rows: median(run.peak_mb for run in runs) for rows, runs in days.items()}
    least = min(peaks)
    return [
        at_most(
            f"Peak memory: {rows:,} rows against {least:,}, MB more",
            peaks[rows] - peaks[least],
            100,
            rows,
            told=f"{peaks[rows]:.0f} MB against {peaks[least]:.0f} MB",
        )
        for rows in peaks
        if rows in {max(peaks), max(row for row in peaks if row <= 200_000)}  # noqa: PLR2004
    ]


def _again(again: list[Run], empty: list[Run], rows: int) -> Finding:
    delivered, nothing = (median(run.seconds for run in runs) for runs in (again, empty))
    posts = sum(run.server.total("posts") for run in again)
    finding = at_most(
        "A delivered day again: seconds above an empty day, and POSTs",
        delivered - nothing,
        2.0,
        rows,
        told=f"{delivered:.2f} s against {nothing:.2f} s, {posts} POSTs",
    )
    return replace(finding, target=f"{finding.target}, 0 POSTs", met=finding.met and not posts)


def _cpu(days: Mapping[int, list[Run]], empty: list[Run]) -> Finding:
    fixed = median(run.cpu for run in empty)
    by_size = {
        rows: 1000 * (median(run.cpu for run in runs) - fixed) / rows for rows, runs in days.items()
    }
    told = ", ".join(f"{ms:.2f} ms at {rows:,}" for rows, ms in by_size.items())
    return at_most(
        "CPU time per row: the most against the least, by the day's size",
        max(by_size.values()) / min(by_size.values()),
        1.15,
        max(days),
        told=told,
    )


def _refused(what: str, run: Run) -> Finding:
    most = max(seen.refused for seen in run.server.by_integration.values())
    return at_most(
        f"{what}: 429s",
        run.refused,
        _MOST_REFUSED,
        run.rows,
        told=f"{run.server.total('refused')}, at most {most} of one integration",
        percent=True,
    )


def at_least(
    what: str, value: float, least: float, n: int, *, told: str, percent: bool = False
) -> Finding:
    """Judge a figure that must not be less than its target."""
    return Finding(
        what,
        f"{_figure(value, percent)} ({told})",
        f"≥ {_figure(least, percent)}",
        value >= least,
        n,
    )


def at_most(
    what: str, value: float, most: float, n: int, *, told: str, percent: bool = False
) -> Finding:
    """Judge a figure that must not be more than its target."""
    return Finding(
        what, f"{_figure(value, percent)} ({told})", f"≤ {_figure(most, percent)}", value <= most, n
    )


def _figure(value: float, percent: bool) -> str:  # noqa: FBT001 - ours only
    return f"{value:.2%}" if percent else f"{value:.3g}"
