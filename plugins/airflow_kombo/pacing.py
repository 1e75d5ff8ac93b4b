"""How many calls of one integration may be in flight, as its answers say.

Every answer to an action tells the integration's limits in its headers (`Concurrency-Limit`,
`ratelimit-remaining`, `ratelimit-reset`), so no number of Kombo's is assumed here for long.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from math import inf
from typing import Final

from airflow_kombo.errors import Verdict
from airflow_kombo.models import Answer

HEADROOM: Final = 2
"""Slots of an integration's limit that are left to the customer's other tools."""
_FIRST_SLOTS: Final = 5
"""In flight until the first answer has told the limit."""
_LIMIT_PAUSE_SECONDS: Final = 1.0
"""Before sending again after a 429 that names no time."""
_LONGEST_PAUSE_SECONDS: Final = 300.0


_AT_WORK: Final = frozenset({Verdict.CREATED, Verdict.REFUSED, Verdict.WAIT})


class Pace:
    """The slots of one integration.

    :param cap: In flight at most, whatever the answers allow; none by default.
    """

    def __init__(self, cap: int | None = None, headroom: int = HEADROOM) -> None:
        self._cap = cap
        self._headroom = headroom
        self._slots = min(_FIRST_SLOTS, cap or _FIRST_SLOTS)
        self._in_flight = 0
        self._paused_until = 0.0
        self._lowered_at = -inf

    def take(self, now: float) -> bool:
        """Take a slot if there is one."""
        if self._in_flight >= self._slots or now < self._paused_until:
            return False
        self._in_flight += 1
        return True

    def give_back(self, now: float, sent_at: float, answer: Answer | None) -> None:
        """Return a slot, and learn from the answer that it brought, if it brought one.

        :param sent_at: When its request left: one that left before the limit fell knows no better.
        """
        self._in_flight -= 1
        if answer is None:
            return
        limit = number_in(answer.headers, "Concurrency-Limit")
        if limit is not None:
            allowed = max(1, int(limit) - self._headroom)
            allowed = min(allowed, self._cap or allowed)
            if allowed < self._slots:
                self._slots, self._lowered_at = allowed, now
            # An integration that does not work gets no more calls than it has already.
            elif answer.verdict in _AT_WORK and sent_at >= self._lowered_at:
                self._slots = allowed
        pause = _pause_of(answer)
        if pause:
            self._paused_until = max(self._paused_until, now + min(pause, _LONGEST_PAUSE_SECONDS))

    def pause(self, now: float) -> float:
        """Give the seconds until slots may be taken again."""
        return max(0.0, self._paused_until - now)


def _pause_of(answer: Answer) -> float:
    """Give the seconds that an answer asks to wait before the next request."""
    if answer.verdict is not Verdict.WAIT:
        return 0.0
    spent = number_in(answer.headers, "ratelimit-remaining") == 0
    reset = number_in(answer.headers, "ratelimit-reset") if spent else None
    asked = number_in(answer.headers, "Retry-After") or reset
    return asked or random.uniform(0.5, 1.5) * _LIMIT_PAUSE_SECONDS  # noqa: S311 - jitter


def number_in(headers: Mapping[str, str], name: str) -> float | None:
    """Read a header that is a number, or None where it is absent, a date or nonsense."""
    try:
        number = float(headers.get(name, ""))
    except ValueError:  # absent, or a Retry-After that is a date
        return None
    return number if 0 <= number < float("inf") else None
