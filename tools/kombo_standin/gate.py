"""Kombo's limits, enforced: actions in flight per integration, and requests per window."""

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tools.kombo_standin.outcomes import KomboError
from tools.kombo_standin.scenario import Limits


@dataclass
class _Window:
    """A fixed window of the rate limit."""

    ends: float  # seconds of the monotonic clock
    used: int = 0


class Gate:
    """Counter of requests that refuses those beyond the limits.

    :param limits: The first limits; ``limits`` may be replaced at any time.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.in_flight: Counter[str] = Counter()
        self.max_in_flight: Counter[str] = Counter()
        self._windows: dict[str, _Window] = {}

    def restart(self, limits: Limits) -> None:
        """Begin new windows under new limits; requests in flight stay in flight."""
        self.limits = limits
        self._windows.clear()

    def refusal(self, integration_id: str) -> KomboError | None:
        """Count one action against the rate limit; return an error if a limit is reached."""
        if limited := self.rate_refusal(integration_id):
            return limited
        if self.in_flight[integration_id] >= self.limits.slots(integration_id):
            return _too_many("PLATFORM.CONCURRENCY_LIMIT_EXCEEDED", {})
        return None

    def rate_refusal(self, integration_id: str) -> KomboError | None:
        """Count one request against the rate limit; return an error beyond the limit."""
        window = self._window(integration_id)
        window.used += 1
        if window.used > self.limits.rate:
            return _too_many("PLATFORM.RATE_LIMIT_EXCEEDED", self._retry_after(window))
        return None

    @contextmanager
    def slot(self, integration_id: str) -> Iterator[None]:
        """Hold one of the integration's slots until the response is sent."""
        self.in_flight[integration_id] += 1
        now = self.in_flight[integration_id]
        self.max_in_flight[integration_id] = max(now, self.max_in_flight[integration_id])
        try:
            yield
        finally:
            self.in_flight[integration_id] -= 1

    def headers(self, integration_id: str) -> dict[str, str]:
        """Return Kombo's limit headers of an action."""
        slots = self.limits.slots(integration_id)
        return {
            "Concurrency-Limit": str(slots),
            "Concurrency-Remaining": str(max(0, slots - self.in_flight[integration_id])),
            **self.rate_headers(integration_id),
        }

    def rate_headers(self, integration_id: str) -> dict[str, str]:
        """Return Kombo's headers of the rate limit; the reset is in whole seconds."""
        limits, window = self.limits, self._window(integration_id)
        return {
            "ratelimit-limit": str(limits.rate),
            "ratelimit-remaining": str(max(0, limits.rate - window.used)),
            "ratelimit-reset": str(_whole_seconds_left(window)),
        }

    def _window(self, integration_id: str) -> _Window:
        """Return the current window of a request; the first request opens the window."""
        scope = integration_id if self.limits.rate_scope == "integration" else ""
        window = self._windows.get(scope)
        if window is None or window.ends <= time.monotonic():
            window = self._windows[scope] = _Window(time.monotonic() + self.limits.window)
        return window

    def _retry_after(self, window: _Window) -> dict[str, str]:
        return {"Retry-After": str(_whole_seconds_left(window))} if self.limits.retry_after else {}


def _whole_seconds_left(window: _Window) -> int:
    """Return the rest of the window, rounded up to whole seconds."""
    return math.ceil(window.ends - time.monotonic())


def _too_many(code: str, headers: dict[str, str]) -> KomboError:
    message = "Too many requests. Nothing was sent to the ATS."
    return KomboError(status=429, code=code, message=message, headers=headers)
