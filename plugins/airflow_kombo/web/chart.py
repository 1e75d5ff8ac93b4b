"""Chart of days by status: the geometry of an SVG, drawn by a template."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import ceil, log10
from typing import Final

from airflow_kombo.statuses import Status

STACKED: Final = tuple(Status)
"""Statuses from the bottom of a bar to its top: from best to worst."""
HEIGHT: Final = 160
"""Height of the chart, in units of the SVG."""
BAR: Final = 16
"""Width of a bar, in units of the SVG."""
STEP: Final = 20
"""Distance from one bar to the next, in units of the SVG."""

_MIN_HEIGHT: Final = 3
"""Least height of a segment: a single row of a hundred thousand is visible, and a link."""


@dataclass(frozen=True)
class Segment:
    """One status of one day."""

    status: Status
    rows: int
    y: float
    height: float


@dataclass(frozen=True)
class Bar:
    """One day."""

    day: date
    x: int
    segments: Sequence[Segment]
    counts: Counter[str]


@dataclass(frozen=True)
class Chart:
    """All days.

    :param top: The number of rows at the upper edge.
    """

    bars: Sequence[Bar]
    top: int

    @property
    def width(self) -> int:
        """Width of the chart, in units of the SVG."""
        return STEP * len(self.bars)

    @property
    def statuses(self) -> list[Status]:
        """Statuses of all rows in the chart."""
        return [one for one in STACKED if any(bar.counts[one] for bar in self.bars)]


def chart(days: Mapping[date, Counter[str]]) -> Chart:
    """Build the chart: stack the rows of each day."""
    top = _round_up(max((counts.total() for counts in days.values()), default=0))
    bars = [
        Bar(day, number * STEP, _segments(counts, top), counts)
        for number, (day, counts) in enumerate(sorted(days.items()))
    ]
    return Chart(bars, top)


def _segments(counts: Counter[str], top: int) -> list[Segment]:
    heights = {
        status: max(_MIN_HEIGHT, HEIGHT * counts[status] / top)
        for status in STACKED
        if counts[status]
    }
    # The largest segment gives up the height that the smallest gained: the bar keeps its height.
    excess = sum(heights.values()) - HEIGHT * counts.total() / top if heights else 0
    if heights:
        largest = max(heights, key=lambda status: heights[status])
        heights[largest] = max(_MIN_HEIGHT, heights[largest] - excess)
    segments, y = [], float(HEIGHT)
    for status, height in heights.items():
        y -= height
        segments.append(Segment(status, counts[status], round(y, 2), round(height, 2)))
    return segments


def _round_up(rows: int) -> int:
    """Return the next number of one digit and zeros, such as 300 for 217."""
    unit = 10 ** int(log10(rows)) if rows else 1
    return max(1, ceil(rows / unit) * unit)
