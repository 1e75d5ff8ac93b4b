"""Targets of the bench: a measured figure, and the limit for this figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One measured figure and the target.

    :param n: The number of rows in the measurement.
    :param others: The share of the machine that other programs used meanwhile, if it is known.
    """

    what: str
    measured: str
    target: str
    met: bool
    n: int
    others: str = ""


def at_least(
    what: str, value: float, least: float, n: int, *, note: str, percent: bool = False
) -> Finding:
    """Build the finding of a figure with a lower limit."""
    return Finding(
        what,
        f"{_figure(value, percent)} ({note})",
        f"≥ {_figure(least, percent)}",
        value >= least,
        n,
    )


def at_most(
    what: str, value: float, most: float, n: int, *, note: str, percent: bool = False
) -> Finding:
    """Build the finding of a figure with an upper limit."""
    return Finding(
        what, f"{_figure(value, percent)} ({note})", f"≤ {_figure(most, percent)}", value <= most, n
    )


def exactly(what: str, value: int, expected: int, n: int, *, note: str) -> Finding:
    """Build the finding of a count with one right value."""
    return Finding(what, f"{value:,} ({note})", f"{expected:,}", value == expected, n)


def in_all_rounds(figures: Sequence[float]) -> str:
    """Return the figures of all rounds, for the note of their median."""
    return "in all rounds " + ", ".join(f"{figure:.3g}" for figure in figures)


def _figure(value: float, percent: bool) -> str:  # noqa: FBT001 - ours only
    return f"{value:.2%}" if percent else f"{value:.3g}"
