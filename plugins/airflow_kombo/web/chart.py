"""The chart of days by status, as the geometry of an SVG: the template draws it, no script does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import ceil, log10
from typing import Final

from airflow_kombo.statuses import Status

STACKED: Final = tuple(Status)
"""From the bottom: from best to worst."""
HEIGHT: Final = 160
BAR: Final = 16
STEP: Final = 20
"""Of the SVG's own units, from one bar to the next."""

_LEAST: Final = 3
"""So high is a single row among a hundred thousand: it must be seen, and can be clicked."""


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
        """Of the SVG, in its own units."""
        return STEP * len(self.bars)

    @property
    def statuses(self) -> list[Status]:
        """Those that it shows."""
        return [one for one in STACKED if any(bar.counts[one] for bar in self.bars)]


def chart(days: Mapping[date, Counter[str]]) -> Chart:
    """Stack the rows of each day."""
    top = _round_up(max((counts.total() for counts in days.values()), default=0))
    bars = [
        Bar(day, number * STEP, _segments(counts, top), counts)
        for number, (day, counts) in enumerate(sorted(days.items()))
    ]
    return Chart(bars, top)


def _segments(counts: Counter[str], top: int) -> list[Segment]:
    heights = {
        status: max(_LEAST, HEIGHT * counts[status] / top) for status in STACKED if counts[status]
    }
    # What the smallest were given is taken from the largest, so that the sum is still true.
    over = sum(heights.values()) - HEIGHT * counts.total() / top if heights else 0
    if heights:
        largest = max(heights, key=lambda status: heights[status])
        heights[largest] = max(_LEAST, heights[largest] - over)
    segments, y = [], float(HEIGHT)
    for status, height in heights.items():
        y -= height
        segments.append(Segment(status, counts[status], round(y, 2), round(height, 2)))
    return segments


def _round_up(rows: int) -> int:
    """Give the next number that begins with one digit and goes on with zeros."""
    unit = 10 ** int(log10(rows)) if rows else 1
    return max(1, ceil(rows / unit) * unit)
