"""How fast one integration may send, so that the rate limit lasts until it is reset.

Whether a limit is per key or per integration is not documented. It need not be: each answer tells
what is left of the window for whoever shares it, so a lane sees which share of the use is its own,
and sends at that share of the rate. Lanes, tasks and other tools that share a limit so come to
terms without a word; a lane that has the limit to itself finds that its share is the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Final

from airflow_kombo.kombo_api.limits import number_in, seconds_in

_ROUNDING_SECONDS: Final = 1.0
"""`ratelimit-reset` comes in whole seconds: a 0 is less than one, and no window is shorter."""
_COUNTS: Final = ("limit", "remaining")
_OBSERVED_SECONDS: Final = 0.5
_OBSERVED_REQUESTS: Final = 5
"""How much of a window is looked at before a lane's share is judged anew."""
_LEAST_SHARE: Final = 0.01


class RateLimiter:
    """What one lane knows of the limit; all times are of one clock, in seconds.

    :param lanes: How many lanes of this run may share the limit; where they do not, it shows soon.
    """

    def __init__(self, senders: int = 1) -> None:
        self._limit = inf
        self._left = inf
        self._resets_at = -inf
        self._window = 0.0
        self._share = 1 / senders
        self._sent = 0
        self._next_at = -inf
        self._mark: tuple[float, int, float] | None = None

    def pause(self, now: float) -> float:
        """Return the seconds until the next request may be sent."""
        if self._window and now >= self._resets_at:
            # Everybody may send once a window: without an answer a share is never judged anew.
            self._left, self._mark = max(self._limit, 1 / self._share), None
            self._next_at = min(self._next_at, now)
            self._resets_at += self._window * (1 + (now - self._resets_at) // self._window)
        opens_at = self._next_at if self._left >= 1 / self._share else self._resets_at
        return max(0.0, min(opens_at, self._resets_at) - now)

    def sent(self, now: float) -> int:
        """Note a request, and give its number."""
        self._sent += 1
        if self._left < inf:
            mine = max(1.0, self._left * self._share)
            gap = (self._resets_at - now) / mine
            self._next_at = max(self._next_at, now - gap) + gap  # a late timer is caught up with
            self._left -= 1 / self._share  # the others go on sending, too
        return self._sent

    def observe(self, now: float, number: int, headers: Mapping[str, str]) -> None:
        """Learn from the answer to a request."""
        limit, remaining = (number_in(headers, f"ratelimit-{name}") for name in _COUNTS)
        reset = seconds_in(headers, "ratelimit-reset")
        if limit is None or remaining is None or reset is None or limit < 1:
            return
        remaining, reset = min(remaining, limit), max(reset, _ROUNDING_SECONDS)
        self._limit, self._window = limit, max(self._window, reset)
        if now + reset >= self._resets_at + _ROUNDING_SECONDS:  # a window that we did not know of
            self._resets_at, self._mark = now + reset, None
        self._resets_at = min(self._resets_at, now + reset)
        self._judge(now, number, remaining)
        self._left = max(0.0, remaining - (self._sent - number) / self._share)

    def _judge(self, now: float, number: int, remaining: float) -> None:
        """See which share of what was used since we last looked is ours."""
        if self._mark is None:
            self._mark = (now, number, remaining)
            return
        since, first, before = self._mark
        used = before - remaining
        if now - since >= _OBSERVED_SECONDS and used >= _OBSERVED_REQUESTS:
            ours = min(1.0, max(_LEAST_SHARE, (number - first) / used))
            self._share = (self._share + ours) / 2
            self._mark = (now, number, remaining)
