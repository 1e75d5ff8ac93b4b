"""Rows per second and CPU time per row, beside a bare loop and Kombo's official client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Final

from tools.bench.measurement import Bench
from tools.bench.stage import Run
from tools.bench.targets import Finding, at_least, at_most, in_all_rounds

_ROUNDS: Final = 3
"""Repetitions: a virtual machine may lose a third of its speed for a minute."""


@dataclass(frozen=True)
class _Round:
    """All clients, one after the other.

    :param bare: The runs of the bare loop, before ours and after it.
    """

    bare: Sequence[Run]
    ours: Run
    official: Run
    one_by_one: Run

    @property
    def bare_rate(self) -> float:
        """Return the bare loop's rows per second."""
        return mean(run.rate for run in self.bare)

    @property
    def bare_cpu(self) -> float:
        """Return the bare loop's CPU time per row, in ms."""
        return mean(run.cpu_per_row for run in self.bare)


def throughput(bench: Bench) -> list[Finding]:
    """Measure rows per second and CPU time per row, against a server that answers at once."""
    rounds = [_round(bench) for _ in range(bench.scale.rows(_ROUNDS, 1))]
    rows = rounds[0].ours.rows

    def middle(figure: Callable[[_Round], float]) -> tuple[float, str]:
        figures = [figure(one) for one in rounds]
        return median(figures), in_all_rounds(figures)

    client, clients = middle(lambda one: one.ours.cpu_per_row)
    postgres, databases = middle(lambda one: one.ours.postgres_cpu_per_row)
    against, ratios = middle(lambda one: one.ours.cpu_per_row / one.bare_cpu)
    bare, bares = middle(lambda one: one.bare_cpu)
    return [
        at_most("CPU of the client: ms a row", client, 0.22, rows, note=clients),
        at_most("CPU of PostgreSQL: ms a row", postgres, 0.10, rows, note=databases),
        at_most(
            "CPU of the client a row, against a bare aiohttp loop",
            against,
            1.7,
            rows,
            note=f"{ratios}; the loop took {bare:.3f} ms, {bares}",
        ),
        *(
            _faster(rounds, *of)
            for of in (
                ("a bare aiohttp loop, 32 in flight", lambda one: one.bare_rate, 0.32),
                ("the official async client, 32 in flight", lambda one: one.official.rate, 11),
                ("the official client, one by one", lambda one: one.one_by_one.rate, 11),
            )
        ),
    ]


def _round(bench: Bench) -> _Round:
    rows = bench.scale.rows(50_000, 500)
    bench.stage.fill(rows, 10)
    before = bench.run("bare", rows=rows)
    ours = bench.run("ours", rows=rows)
    after = before if bench.scale.small else bench.run("bare", rows=rows)
    official = bench.run("official", rows=bench.scale.rows(3_000, 100))
    one_by_one = bench.run("one_by_one", rows=bench.scale.rows(1_000, 50))
    return _Round([before, after], ours, official, one_by_one)


def _faster(
    rounds: Sequence[_Round], whom: str, rate: Callable[[_Round], float], least: float
) -> Finding:
    shares = [one.ours.rate / rate(one) for one in rounds]
    ours, other = median(one.ours.rate for one in rounds), median(rate(one) for one in rounds)
    return at_least(
        f"Rows/s against {whom}",
        median(shares),
        least,
        rounds[0].ours.rows,
        note=f"{ours:,.0f} against {other:,.0f}; {in_all_rounds(shares)}",
    )
