"""Memory and CPU time by the size of the day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import median
from typing import Final

from tools.bench.measurement import Bench
from tools.bench.stage import Run
from tools.bench.targets import Finding, at_most

_SIZES: Final = (1_000, 10_000, 50_000)
_ROUNDS: Final = 3
_LARGE: Final = 200_000
_MILLION: Final = 1_000_000
_FROM: Final = 10_000


def size(bench: Bench) -> list[Finding]:
    """Measure memory and CPU time by the day's size, and a second run of a delivered day."""
    sizes = (100, 400) if bench.scale.small else _SIZES
    days: dict[int, list[Run]] = {rows: [] for rows in sizes}
    for _ in range(bench.scale.rows(_ROUNDS, 1)):  # interleaved: the machine's speed changes
        for rows, runs in days.items():
            _deliver(bench, rows, runs)
    large = bench.scale.rows(_LARGE, max(days))
    if not bench.scale.small:
        _deliver(bench, large, days.setdefault(large, []))
    repeats = bench.scale.rows(3, 1)
    empty = [bench.run_empty() for _ in range(repeats)]
    again = [bench.run("ours", rows=0) for _ in range(repeats)]
    if bench.scale.million:
        _deliver(bench, _MILLION, days.setdefault(_MILLION, []))
    return [
        *memory("Peak memory", days, 100),
        delivered_again(
            "A delivered day again",
            again,
            empty,
            2.0,
            large,
        ),
        _cpu(days, empty),
    ]


def _deliver(bench: Bench, rows: int, runs: list[Run]) -> None:
    bench.stage.fill(rows, 10)
    runs.append(bench.run("ours", rows=rows))


def memory(what: str, days: Mapping[int, list[Run]], most: float) -> list[Finding]:
    """Compare the peak memory of the largest days with the smallest day's.

    :param days: The runs by the day's size.
    :param most: The limit in MB.
    """
    peaks = {rows: median(run.peak_mb for run in runs) for rows, runs in days.items()}
    least = min(peaks)
    return [
        at_most(
            f"{what}: {rows:,} rows against {least:,}, MB more",
            peaks[rows] - peaks[least],
            most,
            rows,
            note=f"{peaks[rows]:.0f} MB against {peaks[least]:.0f} MB",
        )
        for rows in peaks
        if rows in {max(peaks), max(row for row in peaks if row <= _LARGE)}
    ]


def delivered_again(
    what: str, again: list[Run], empty: list[Run], most: float, rows: int
) -> Finding:
    """Compare the time of a day without a row to send with the time of an empty day.

    :param most: The limit in seconds.
    """
    delivered, nothing = (median(run.seconds for run in runs) for runs in (again, empty))
    posts = sum(run.server.total("posts") for run in again)
    finding = at_most(
        f"{what}: seconds above an empty day, and POSTs",
        delivered - nothing,
        most,
        rows,
        note=f"{delivered:.2f} s against {nothing:.2f} s, {posts} POSTs",
    )
    return replace(finding, target=f"{finding.target}, 0 POSTs", met=finding.met and not posts)


def _cpu(days: Mapping[int, list[Run]], empty: list[Run]) -> Finding:
    fixed = median(run.cpu for run in empty)
    by_size = {
        rows: 1000 * (median(run.cpu for run in runs) - fixed) / rows for rows, runs in days.items()
    }
    # A smaller day also pays, spread over few rows, for what each day that sends pays once.
    whole = [ms for rows, ms in by_size.items() if rows >= min(_FROM, max(by_size))]
    note = ", ".join(f"{ms:.2f} ms at {rows:,}" for rows, ms in by_size.items())
    return at_most(
        f"CPU time per row from {_FROM:,} rows on: the most against the least",
        max(whole) / min(whole),
        1.1,
        max(days),
        note=note,
    )
