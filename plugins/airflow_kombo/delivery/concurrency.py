"""How many calls of one integration may be in flight, as its answers say.

Every answer of Kombo's to an action tells the integration's limit in `Concurrency-Limit`. While no
answer has told one, the number of calls grows slowly, and is halved when it was too many.
"""

from __future__ import annotations

from math import inf
from typing import Final

from airflow_kombo.kombo_api.limits import HEADROOM, number_in, pause_of
from airflow_kombo.kombo_api.response import KomboResponse
from airflow_kombo.kombo_api.verdicts import CONCURRENCY_LIMIT, Verdict

_FIRST_SLOTS: Final = 5
"""In flight until the first answer has told the limit."""
_DOCUMENTED_LIMIT: Final = 30
"""Kombo's documented limit: how far slots grow while no answer tells one."""
_MOST_SLOTS: Final = 100
"""How many slots a header may give, unless the user allows more: three times what is documented."""

_DONE: Final = frozenset({Verdict.CREATED, Verdict.REFUSED})
"""What an integration answers that had room for the call, and works."""
_AT_WORK: Final = _DONE | {Verdict.WAIT}


class ConcurrencyLimiter:
    """The slots of one integration.

    :param cap: In flight at most, whatever the answers allow; none by default.
    """

    def __init__(self, cap: int | None = None, headroom: int = HEADROOM) -> None:
        self._cap = cap or _MOST_SLOTS
        self._headroom = headroom
        self._slots = min(_FIRST_SLOTS, self._cap)
        self._knows_limit = False
        self._was_full = False
        self._proven = 0
        """Calls that were done since all slots were in use."""
        self._in_flight = 0
        self._paused_until = 0.0
        self._lowered_at = -inf

    def take(self, now: float) -> bool:
        """Take a slot if there is one."""
        if self._in_flight >= self._slots or now < self._paused_until:
            return False
        self._in_flight += 1
        self._was_full = self._was_full or self._in_flight >= self._slots
        return True

    def give_back(self, now: float, sent_at: float, answer: KomboResponse | None) -> None:
        """Return a slot, and learn from the answer that it brought, if it brought one.

        :param sent_at: When its request left: one that left before the limit fell knows no better.
        """
        self._in_flight -= 1
        if answer is None:
            return
        limit = number_in(answer.headers, "Concurrency-Limit")
        knows_better = sent_at >= self._lowered_at
        if limit is not None:
            self._knows_limit = True
            # An integration that does not work gets no more calls than it has already.
            may_rise = knows_better and answer.verdict in _AT_WORK
            self._follow(int(limit), now, may_rise=may_rise)
        elif knows_better and not self._knows_limit:
            self._try(now, answer)
        if pause := pause_of(answer):
            self._paused_until = max(self._paused_until, now + pause)

    def pause(self, now: float) -> float:
        """Return the seconds until slots may be taken again."""
        return max(0.0, self._paused_until - now)

    def _follow(self, limit: int, now: float, *, may_rise: bool) -> None:
        """Allow as many slots as an answer says, less the headroom, and always one."""
        slots = min(max(1, limit - self._headroom), self._cap)
        if slots < self._slots:
            self._lower(slots, now)
        elif may_rise:
            self._slots = slots

    def _try(self, now: float, answer: KomboResponse) -> None:
        """Find the limit that no answer tells: one slot more a round trip, half of them at a 429.

        A number of slots that were never all in use is not proven, and does not grow.
        """
        if answer.error_code == CONCURRENCY_LIMIT:
            self._lower(max(1, self._slots // 2), now)
        elif self._was_full and answer.verdict in _DONE:
            self._proven += 1
            if self._proven >= self._slots < min(_DOCUMENTED_LIMIT - self._headroom, self._cap):
                self._change(self._slots + 1)

    def _lower(self, slots: int, now: float) -> None:
        self._change(slots)
        self._lowered_at = now

    def _change(self, slots: int) -> None:
        self._slots, self._was_full, self._proven = slots, False, 0
