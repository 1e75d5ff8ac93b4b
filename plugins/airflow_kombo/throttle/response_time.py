"""Response time of one integration: a growing one asks for fewer calls at once.

Too many writes at once make an ATS slow until writes time out, and then nobody knows whether they
were made. So the usual response time is compared with the least one, as TCP Vegas and gradient
limiters do. Up to twice the least is the spread of any server. Beyond that, the calls in flight are
lowered in proportion, to a quarter at least: an integration that is slow by itself is not starved.

The usual time is a geometric mean, which single slow calls hardly move.
"""

from __future__ import annotations

from math import exp, log
from typing import Final

_WEIGHT: Final = 1 / 32
"""Weight of one response in the usual time."""
_FIRST: Final = 16
"""Responses before the usual time says something."""
_TOLERANCE: Final = 2.0
_LEAST_PART: Final = 0.25
_SHORTEST_SECONDS: Final = 0.25
"""Least response time that is compared with: growth below it is no load of an ATS."""
_FORGOTTEN_SECONDS: Final = 600.0
"""Seconds in which the least time doubles, so that a server that became slower is not held back for
the rest of a run."""


class ResponseTime:
    """Usual and least response time of one integration, in seconds."""

    def __init__(self) -> None:
        self._count = 0
        self._log = 0.0
        self._least = 0.0
        self._least_at = 0.0

    @property
    def usual(self) -> float | None:
        """Return the usual response time in seconds; None before the first response."""
        return exp(self._log) if self._count else None

    @property
    def part(self) -> float:
        """Return the part of the slots that the response time allows, from a quarter to 1."""
        if self._count < _FIRST:
            return 1.0
        allowed = _TOLERANCE * max(self._least, _SHORTEST_SECONDS)
        return max(_LEAST_PART, min(1.0, allowed / exp(self._log)))

    def record(self, now: float, seconds: float) -> None:
        """Record the time of a call that wrote its row.

        :param now: Time of the response, in seconds of one clock.
        """
        self._count += 1
        self._log += (log(max(seconds, 0.001)) - self._log) * max(_WEIGHT, 1 / self._count)
        if self._count >= _FIRST:
            self._least = self._least_time(now, exp(self._log))
            self._least_at = now

    def _least_time(self, now: float, usual: float) -> float:
        if self._count == _FIRST:
            return usual
        forgotten = 2 ** ((now - self._least_at) / _FORGOTTEN_SECONDS)
        return float(min(usual, self._least * forgotten))
