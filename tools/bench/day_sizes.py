"""Memory and CPU time by the size of the day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import median

from tools.bench.measurement import Bench
from tools.bench.stage import Run
from tools.bench.targets import Finding, at_most


def size(bench: Bench) -> list[Finding]:
    """Measure memory and CPU time by the day's size, and a second run of a delivered day."""
    sizes = {1_000: 5, 10_000: 3, 50_000: 1, 200_000: 1}
    if bench.scale.small:
        sizes = {100: 1, 400: 1}
    if bench.scale.million:
        sizes[1_000_000] = 1
    days: dict[int, list[Run]] = {}
    again: list[Run] = []
    empty: list[Run] = []
    for rows, times in sizes.items():
        days[rows] = []
        for _ in range(times):
            bench.stage.fill(rows, 10)
            days[rows].append(bench.run("ours", rows=rows))
        if rows == max(size for size in sizes if size <= 200_000):  # noqa: PLR2004 - the issue's
            repeats = bench.scale.rows(3, 1)
            empty = [bench.run_empty() for _ in range(repeats)]
            again = [bench.run("ours", rows=0) for _ in range(repeats)]
    return [
        *memory("Peak memory", days, 100),
        delivered_again(
            "A delivered day again",
            again,
            empty,
            2.0,
            max(size for size in sizes if size <= 200_000),  # noqa: PLR2004
        ),
        _cpu(days, empty),
    ]


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
        if rows in {max(peaks), max(row for row in peaks if row <= 200_000)}  # noqa: PLR2004
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
    note = ", ".join(f"{ms:.2f} ms at {rows:,}" for rows, ms in by_size.items())
    return at_most(
        "CPU time per row: the most against the least, by the day's size",
        max(by_size.values()) / min(by_size.values()),
        1.15,
        max(days),
        note=note,
    )
