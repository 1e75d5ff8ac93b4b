"""Throttle: permit the next request of one integration now, or name the pause."""

from __future__ import annotations

from airflow_kombo.kombo_api.response import KomboResponse
from airflow_kombo.kombo_api.verdicts import Verdict
from airflow_kombo.throttle.circuit_breaker import CircuitBreaker
from airflow_kombo.throttle.concurrency import ConcurrencyLimiter
from airflow_kombo.throttle.rate_limit import RateLimiter


class Throttle:
    """Concurrency limiter, rate limiter and circuit breaker of one integration, as one gate.

    All times are seconds of one clock. No method waits.

    :param cap: Most calls in flight, below Kombo's limit; None for no cap of ours.
    :param senders: Senders of this run that may share the rate limit.
    :param cool_down: Seconds without a call after an integration kept failing.
    """

    def __init__(self, cap: int | None, senders: int, cool_down: float) -> None:
        self._concurrency = ConcurrencyLimiter(cap)
        self._rate = RateLimiter(senders)
        self._breaker = CircuitBreaker(cool_down=cool_down)
        self._probe = 0
        """Number of the circuit breaker's last probe; 0 before the first."""

    @property
    def given_up(self) -> bool:
        """Return True if the integration is given up for this run."""
        return self._breaker.given_up

    @property
    def slots(self) -> int:
        """Return the most calls that may be in flight now; pauses do not count."""
        return self._concurrency.slots

    @property
    def free(self) -> int:
        """Return the number of slots that no call of ours uses."""
        return self._concurrency.free

    def take(self, now: float) -> int:
        """Take the right to send one request now.

        :returns: The number of the request, from 1; 0 if no request may be sent now.
        """
        if (
            not self._breaker.allows(now)
            or self._rate.pause(now)
            or not self._concurrency.take(now)
        ):
            return 0
        number = self._rate.record_request(now)
        if self._breaker.record_request():
            self._probe = number
        return number

    def allowance(self, now: float, seconds: float) -> float:
        """Return the requests that may leave in the next seconds if slots are free."""
        if self.pause(now) > seconds:
            return 0
        return min(self._breaker.allowance, self._rate.allowance(now, seconds))

    def pause(self, now: float) -> float:
        """Return the seconds until a request may be sent; 0 if only a free slot is missing."""
        return max(self._concurrency.pause(now), self._breaker.pause(now), self._rate.pause(now))

    def limit_pause(self, now: float) -> float:
        """Return the rest of the pause of a response after a limit, in seconds."""
        return self._concurrency.pause(now)

    def is_limited(self, now: float) -> bool:
        """Return True if one of Kombo's limits allows no request now."""
        return bool(self._concurrency.pause(now) or self._rate.pause(now))

    def is_cooling_down(self, now: float) -> bool:
        """Return True if the integration is paused after failures."""
        return bool(self._breaker.pause(now))

    def record_result(
        self,
        number: int,
        now: float,
        sent_at: float,
        response: KomboResponse | None,
        verdict: Verdict,
    ) -> None:
        """Record the end of a call and adapt to the response.

        :param number: Number of the request, from `take`.
        :param sent_at: Time at which the request left.
        :param response: The response, or None if none arrived.
        """
        self._concurrency.give_back(now, sent_at, response)
        if response:
            self._rate.observe(now, number, response.headers)
        self._breaker.record_verdict(verdict, now, probe=number == self._probe)
