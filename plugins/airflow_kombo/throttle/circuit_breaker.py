"""Circuit breaker: pause a failing integration, probe it with one call, then give it up.

Each further call to such an integration would put a row in doubt or use up one of its tries.
"""

from __future__ import annotations

from math import inf
from typing import Final

from airflow_kombo.kombo_api.verdicts import Verdict

FAILURES: Final = 5
"""Failed calls in a row after which the breaker opens."""
COOL_DOWN_SECONDS: Final = 30.0
"""Time between the opening of the breaker and the probe."""

PATIENCE_SECONDS: Final = 900.0
"""Longest series of limits before the integration is given up.

Kombo's windows last about a minute, so a series of 15 minutes is an outage. Waiting for a limit
uses up no try: without this bound, the run would wait for the outage to end.
"""

_FAILED: Final = frozenset({Verdict.UNKNOWN, Verdict.RETRY})


class CircuitBreaker:
    """Circuit breaker of one integration.

    Closed, it lets every call pass. Open, it lets one call pass after the cool-down, the probe.
    Given up, it lets no call pass any more.

    :param failures: Failed calls in a row after which the breaker opens.
    :param cool_down: Seconds between opening and the probe.
    """

    def __init__(self, failures: int = FAILURES, cool_down: float = COOL_DOWN_SECONDS) -> None:
        self.given_up = False
        self._most = failures
        self._cool_down = cool_down
        self._failures = 0
        self._probe_at: float | None = None
        self._probing = False
        self._limited_since: float | None = None

    def pause(self, now: float) -> float:
        """Return the seconds until the probe may pass; 0 while the breaker is closed."""
        return 0.0 if self._probe_at is None else max(0.0, self._probe_at - now)

    @property
    def allowance(self) -> float:
        """Return the calls that may pass at the end of the pause: all of them, or the probe."""
        if self._probe_at is None:
            return inf
        return 0 if self._probing else 1

    def allows(self, now: float) -> bool:
        """Return True if a call may pass."""
        if self.given_up or self._probe_at is None:
            return not self.given_up
        return not self._probing and now >= self._probe_at

    def record_request(self) -> bool:
        """Record a request; return True if this request is the probe."""
        self._probing = self._probe_at is not None
        return self._probing

    def record_verdict(self, verdict: Verdict, now: float, *, probe: bool) -> None:
        """Record the verdict of a call; while the breaker is open, only the probe's counts.

        :param probe: Whether the call was the probe.
        """
        failed = verdict in _FAILED
        if verdict is not Verdict.WAIT:
            self._limited_since = None
        elif self._limited_since is None:
            self._limited_since = now
        elif now - self._limited_since >= PATIENCE_SECONDS:
            self.given_up = True
            return
        if probe:
            self._probing = False
            self.given_up = failed
            self._probe_at = self._probe_at if failed else None
            self._failures = 0
        elif self._probe_at is None and verdict is not Verdict.WAIT:
            self._failures = self._failures + 1 if failed else 0
            if self._failures >= self._most:
                self._probe_at = now + self._cool_down
