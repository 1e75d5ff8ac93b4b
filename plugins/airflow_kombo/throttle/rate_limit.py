"""Rate limiter: spread the requests of one integration until the rate limit is reset.

Kombo does not document whether a limit is per key or per integration. The limiter does not need to
know. Each response names the requests that are left of the window, for everybody who shares the
window. So a sender can measure its own share of the use, and sends at that share of the rate.
Senders, tasks and other tools that share a limit adapt to each other without communication. A
sender that has the limit to itself measures a share of 100 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Final

from airflow_kombo.kombo_api.limits import number_in, seconds_in

_ROUNDING_SECONDS: Final = 1.0
"""`ratelimit-reset` comes in whole seconds: 0 means less than one, and no window is shorter."""
_OBSERVED_SECONDS: Final = 0.5
_OBSERVED_REQUESTS: Final = 5
"""Time and use of a window after which a sender's share is measured again."""
_LEAST_SHARE: Final = 0.01


class RateLimiter:
    """Rate limit of one sender; all times are seconds of one clock.

    :param senders: Senders of this run that may share the limit: the first guess of the share.
    """

    def __init__(self, senders: int = 1) -> None:
        self._limit = inf
        self._left = inf
        self._resets_at = -inf
        self._window = 0.0
        self._share = 1 / senders
        self._sent = 0
        self._next_at = -inf
        self._measured: tuple[float, int, float] | None = None
        """Time, number of the request and rest of the window at the last measurement."""

    def pause(self, now: float) -> float:
        """Return the seconds until the next request may be sent."""
        if self._window and now >= self._resets_at:
            # Everybody may send once a window: without a response no share is measured again.
            self._left, self._measured = max(self._limit, 1 / self._share), None
            self._next_at = min(self._next_at, now)
            self._resets_at += self._window * (1 + (now - self._resets_at) // self._window)
        opens_at = self._next_at if self._left >= 1 / self._share else self._resets_at
        return max(0.0, min(opens_at, self._resets_at) - now)

    def allowance(self, now: float, seconds: float) -> float:
        """Return the requests that may leave in the next seconds: one at least, after the pause."""
        if self._left == inf:
            return inf
        gap = self._gap(now)
        return 1 + max(0.0, seconds - self.pause(now)) // gap if gap > 0 else inf

    def record_request(self, now: float) -> int:
        """Record a request; return the number of the request."""
        self._sent += 1
        if self._left < inf:
            gap = self._gap(now)
            self._next_at = max(self._next_at, now - gap) + gap  # makes up for a late timer
            self._left -= 1 / self._share  # the others send meanwhile, too
        return self._sent

    def observe(self, now: float, number: int, headers: Mapping[str, str]) -> None:
        """Adapt to the headers of a response.

        :param number: Number of the request, from `record_request`.
        """
        limit = number_in(headers, "ratelimit-limit")
        remaining = number_in(headers, "ratelimit-remaining")
        reset = seconds_in(headers, "ratelimit-reset")
        if limit is None or remaining is None or reset is None or limit < 1:
            return
        remaining, reset = min(remaining, limit), max(reset, _ROUNDING_SECONDS)
        self._limit, self._window = limit, max(self._window, reset)
        if now + reset >= self._resets_at + _ROUNDING_SECONDS:  # a new window
            self._resets_at, self._measured = now + reset, None
        self._resets_at = min(self._resets_at, now + reset)
        self._measure_share(now, number, remaining)
        self._left = max(0.0, remaining - (self._sent - number) / self._share)

    def _gap(self, now: float) -> float:
        """Return the seconds between two requests until the limit is reset."""
        return (self._resets_at - now) / max(1.0, self._left * self._share)

    def _measure_share(self, now: float, number: int, remaining: float) -> None:
        """Measure our share of the requests used since the last measurement."""
        if self._measured is None:
            self._measured = (now, number, remaining)
            return
        since, first, before = self._measured
        used = before - remaining
        if now - since >= _OBSERVED_SECONDS and used >= _OBSERVED_REQUESTS:
            ours = min(1.0, max(_LEAST_SHARE, (number - first) / used))
            self._share = (self._share + ours) / 2
            self._measured = (now, number, remaining)
