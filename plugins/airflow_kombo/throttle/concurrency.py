"""Concurrency limiter: the number of calls in flight of one integration.

Each of Kombo's responses to an action names the integration's limit and the slots that are left.
From these numbers, senders share the limit (`slot_share`). As long as no response names both, the
number of calls is searched for (`slot_search`). In either case, a growing response time lowers it
(`response_time`).
"""

from __future__ import annotations

import random
from math import inf
from typing import Final

from airflow_kombo.kombo_api.limits import LIMIT_PAUSE_SECONDS, number_in, pause_of
from airflow_kombo.kombo_api.response import KomboResponse
from airflow_kombo.kombo_api.verdicts import CONCURRENCY_LIMIT, Verdict
from airflow_kombo.throttle.response_time import ResponseTime
from airflow_kombo.throttle.slot_search import DONE, FIRST_SLOTS, SlotSearch
from airflow_kombo.throttle.slot_share import SlotShare

_MOST_SLOTS: Final = 100
"""Most slots that a header may grant if the user sets no cap: three times what is documented."""
_STALE_SECONDS: Final = 10.0
"""Seconds without a call after which others may have taken what was left."""
_REST_ROUND_TRIPS: Final = 10
_LONGEST_REST_SECONDS: Final = 15.0
"""Pause of a sender that leaves its only slot to others, in round trips, and at most."""
_FIRST_REST_SECONDS: Final = 2.0
"""The same, of a sender that does not know the response time yet."""

_AT_WORK: Final = DONE | {Verdict.WAIT}
"""Verdicts of an integration that works. Another one gets no more calls than it has."""


class ConcurrencyLimiter:
    """Slots of one integration: each call in flight takes one.

    :param cap: Most calls in flight, whatever the responses allow; None for no cap of ours.
    """

    def __init__(self, cap: int | None = None) -> None:
        self._cap = cap or _MOST_SLOTS
        self._search = SlotSearch(self._cap)
        self._share: SlotShare | None = None
        """The share of the limit, once a response has named what is left."""
        self._response_time = ResponseTime()
        self._in_flight = 0
        self._heard_at = -inf
        self._paused_until = 0.0

    @property
    def slots(self) -> int:
        """Return the most calls that may be in flight now; pauses do not count."""
        slots = self._share.slots if self._share else self._search.slots
        return max(1, min(int(slots * self._response_time.part), self._cap))

    @property
    def free(self) -> int:
        """Return the number of slots that no call of ours uses."""
        return max(0, self.slots - self._in_flight)

    def take(self, now: float) -> bool:
        """Take a slot; return False if none is free."""
        if self._share and not self._in_flight and now - self._heard_at > _STALE_SECONDS:
            self._share.restart(FIRST_SLOTS)
        if self._in_flight >= self.slots or now < self._paused_until:
            return False
        self._in_flight += 1
        if not self.free:
            (self._share or self._search).fill()
        return True

    def give_back(self, now: float, sent_at: float, response: KomboResponse | None) -> None:
        """Return a slot and adapt the number of slots to the response.

        :param sent_at: Time at which the request left. A response to a request that left before
            the limit fell may not raise the limit again.
        :param response: The response, or None if none arrived.
        """
        own = self._in_flight
        self._in_flight -= 1
        if response is None:
            return
        self._heard_at = now
        if response.verdict is Verdict.CREATED:
            self._response_time.record(now, now - sent_at)
        self._adapt(now, sent_at, response, own)
        if pause := pause_of(response, self._limit_pause(response)):
            self._pause(now, pause)
        elif self._share and not self._in_flight and self._share.ends_turn(now):
            self._share.begin_turn()
            self._pause(now, self._rest() * random.uniform(0.5, 1.5))  # noqa: S311 - jitter

    def pause(self, now: float) -> float:
        """Return the seconds until slots may be taken again."""
        return max(0.0, self._paused_until - now)

    def _adapt(self, now: float, sent_at: float, response: KomboResponse, own: int) -> None:
        limit = number_in(response.headers, "Concurrency-Limit")
        left = number_in(response.headers, "Concurrency-Remaining")
        if self._share is None and limit is not None and left is not None:
            self._share = SlotShare(self._search.slots, limit, self._cap)
        if self._share is None:
            self._search.observe(now, sent_at, response, limit)
            return
        if limit is not None:
            self._share.follow_limit(now, sent_at, limit)
        if response.error_code == CONCURRENCY_LIMIT:
            self._share.refuse(now, sent_at)
        elif left is not None and response.verdict in _AT_WORK:
            self._share.observe(now, sent_at, left, own)

    def _limit_pause(self, response: KomboResponse) -> float:
        """Return the usual seconds to wait after a 429 that names no time.

        A slot becomes free within a round trip. A sender without any waits for its turn.
        """
        if self._share is None or response.error_code != CONCURRENCY_LIMIT:
            return LIMIT_PAUSE_SECONDS
        if not self._in_flight and self.slots == 1:
            return self._rest()
        return min(LIMIT_PAUSE_SECONDS, self._response_time.usual or LIMIT_PAUSE_SECONDS)

    def _rest(self) -> float:
        """Return the seconds for which a sender leaves its only slot to others."""
        usual = self._response_time.usual
        if usual is None:
            return _FIRST_REST_SECONDS
        return min(_REST_ROUND_TRIPS * usual, _LONGEST_REST_SECONDS)

    def _pause(self, now: float, seconds: float) -> None:
        self._paused_until = max(self._paused_until, now + seconds)
