"""Concurrency limiter: the number of calls in flight of one integration.

Each of Kombo's responses to an action names the integration's limit in `Concurrency-Limit`. As long
as no response has named a limit, the number of calls grows slowly and is halved by a 429.
"""

from __future__ import annotations

from math import inf
from typing import Final

from airflow_kombo.kombo_api.limits import HEADROOM, number_in, pause_of
from airflow_kombo.kombo_api.response import KomboResponse
from airflow_kombo.kombo_api.verdicts import CONCURRENCY_LIMIT, Verdict

_FIRST_SLOTS: Final = 5
"""Slots until the first response has named the limit."""
_DOCUMENTED_LIMIT: Final = 30
"""Kombo's documented limit: slots grow up to here while no response names a limit."""
_MOST_SLOTS: Final = 100
"""Most slots that a header may grant if the user sets no cap: three times what is documented."""

_DONE: Final = frozenset({Verdict.CREATED, Verdict.REFUSED})
"""Verdicts of an integration that had room for the call and works."""
_AT_WORK: Final = _DONE | {Verdict.WAIT}


class ConcurrencyLimiter:
    """Slots of one integration: each call in flight takes one.

    :param cap: Most calls in flight, whatever the responses allow; None for no cap of ours.
    :param headroom: Slots of the integration's limit that are left to other tools.
    """

    def __init__(self, cap: int | None = None, headroom: int = HEADROOM) -> None:
        self._cap = cap or _MOST_SLOTS
        self._headroom = headroom
        self._slots = min(_FIRST_SLOTS, self._cap)
        self._knows_limit = False
        self._was_full = False
        self._proven = 0
        """Calls that succeeded since all slots were in use."""
        self._in_flight = 0
        self._paused_until = 0.0
        self._lowered_at = -inf

    @property
    def slots(self) -> int:
        """Return the most calls in flight, as far as it is known."""
        return self._slots

    @property
    def free(self) -> int:
        """Return the number of free slots."""
        return max(0, self._slots - self._in_flight)

    def take(self, now: float) -> bool:
        """Take a slot; return False if none is free."""
        if self._in_flight >= self._slots or now < self._paused_until:
            return False
        self._in_flight += 1
        self._was_full = self._was_full or self._in_flight >= self._slots
        return True

    def give_back(self, now: float, sent_at: float, response: KomboResponse | None) -> None:
        """Return a slot and adapt the number of slots to the response.

        :param sent_at: Time at which the request left. A response to a request that left before
            the limit fell may not raise the limit again.
        :param response: The response, or None if none arrived.
        """
        self._in_flight -= 1
        if response is None:
            return
        limit = number_in(response.headers, "Concurrency-Limit")
        is_recent = sent_at >= self._lowered_at
        if limit is not None:
            self._knows_limit = True
            # An integration that does not work gets no more calls than it has already.
            may_rise = is_recent and response.verdict in _AT_WORK
            self._follow(int(limit), now, may_rise=may_rise)
        elif is_recent and not self._knows_limit:
            self._probe(now, response)
        if pause := pause_of(response):
            self._paused_until = max(self._paused_until, now + pause)

    def pause(self, now: float) -> float:
        """Return the seconds until slots may be taken again."""
        return max(0.0, self._paused_until - now)

    def _follow(self, limit: int, now: float, *, may_rise: bool) -> None:
        """Set the slots to the named limit less the headroom, but to one at least."""
        slots = min(max(1, limit - self._headroom), self._cap)
        if slots < self._slots:
            self._lower(slots, now)
        elif may_rise:
            self._slots = slots

    def _probe(self, now: float, response: KomboResponse) -> None:
        """Search for an unnamed limit: add one slot per round trip, halve the slots at a 429.

        The slots grow only after all of them were in use: an unused slot proves nothing.
        """
        if response.error_code == CONCURRENCY_LIMIT:
            self._lower(max(1, self._slots // 2), now)
        elif self._was_full and response.verdict in _DONE:
            self._proven += 1
            if self._proven >= self._slots < min(_DOCUMENTED_LIMIT - self._headroom, self._cap):
                self._change(self._slots + 1)

    def _lower(self, slots: int, now: float) -> None:
        self._change(slots)
        self._lowered_at = now

    def _change(self, slots: int) -> None:
        self._slots, self._was_full, self._proven = slots, False, 0
