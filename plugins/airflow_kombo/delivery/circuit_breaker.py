"""When an integration keeps failing, it is left alone for a while, asked once more, and given up.

Each further call would leave a row in doubt, or use up a try, for nothing.
"""

from __future__ import annotations

from typing import Final

from airflow_kombo.kombo_api.verdicts import Verdict

FAILURES: Final = 5
"""Calls in a row that bring no answer of use before the breaker opens."""
COOL_DOWN_SECONDS: Final = 30.0
"""How long an open breaker waits before its one probe."""

PATIENCE_SECONDS: Final = 900.0
"""How long nothing but limits may be met. Windows are of a minute: what lasts longer is an outage
that looks like a limit, and waiting for it costs no try."""

_FAILED: Final = frozenset({Verdict.UNKNOWN, Verdict.RETRY})


class CircuitBreaker:
    """Closed, calls pass; open, none does until its probe; given up, none does any more.

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
        """Give the seconds until the next call may pass; it may at 0, unless a probe is out."""
        return 0.0 if self._probe_at is None else max(0.0, self._probe_at - now)

    def allows(self, now: float) -> bool:
        """Say whether a call may pass."""
        if self.given_up or self._probe_at is None:
            return not self.given_up
        return not self._probing and now >= self._probe_at

    def sent(self) -> bool:
        """Note that a call was sent, and say whether it is the probe."""
        self._probing = self._probe_at is not None
        return self._probing

    def record_verdict(self, verdict: Verdict, now: float, *, probe: bool) -> None:
        """Learn from a call's outcome; while the breaker is open, only the probe's counts."""
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
