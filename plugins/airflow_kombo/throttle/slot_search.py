"""Search for the number of slots, as long as no response names what is left of a limit.

The number grows by one slot a round trip and is halved by a 429, which is the only sign of others.
If responses name a limit without what is left, the number doubles until the first 429, up to the
limit.
"""

from __future__ import annotations

from math import inf
from typing import Final

from airflow_kombo.kombo_api.response import KomboResponse
from airflow_kombo.kombo_api.verdicts import CONCURRENCY_LIMIT, Verdict

FIRST_SLOTS: Final = 5
"""Slots until the first response."""
DOCUMENTED_LIMIT: Final = 30
"""Kombo's documented limit: slots grow up to here while no response names a limit."""

DONE: Final = frozenset({Verdict.CREATED, Verdict.REFUSED})
"""Verdicts of an integration that had room for the call and works."""


class SlotSearch:
    """Slots of one sender that knows of others by refusals only.

    :param most: Most slots that the sender may have.
    """

    def __init__(self, most: int) -> None:
        self.slots = min(FIRST_SLOTS, most)
        self._most = most
        self._limit: int | None = None
        self._was_full = False
        self._proven = 0
        """Calls that succeeded since all slots were in use."""
        self._lowered_at = -inf
        self._was_refused = False

    def fill(self) -> None:
        """Record that all slots are in use: an unused slot proves nothing."""
        self._was_full = True

    def observe(
        self, now: float, sent_at: float, response: KomboResponse, limit: float | None
    ) -> None:
        """Adapt to a response.

        :param sent_at: Time at which the request left. A response to a request that left before
            the slots were lowered changes nothing.
        :param limit: The limit that the response names, if any.
        """
        is_recent = sent_at >= self._lowered_at
        if limit is not None:
            self._follow_limit(now, limit, is_recent=is_recent)
        if not is_recent:
            return
        if response.error_code == CONCURRENCY_LIMIT:
            self._was_refused = True
            self._lower(max(1, self.slots // 2), now)
        elif self._was_full and response.verdict in DONE:
            self._grow()

    def _follow_limit(self, now: float, limit: float, *, is_recent: bool) -> None:
        named = int(max(1.0, min(limit, self._most)))
        if self._limit is None or named < self._limit or is_recent:
            self._limit = named
        if self._limit < self.slots:
            self._lower(self._limit, now)

    def _grow(self) -> None:
        self._proven += 1
        most = min(self._limit or DOCUMENTED_LIMIT, self._most)
        if self._proven >= self.slots < most:
            doubles = self._limit is not None and not self._was_refused
            self._change(min(2 * self.slots if doubles else self.slots + 1, most))

    def _lower(self, slots: int, now: float) -> None:
        self._change(slots)
        self._lowered_at = now

    def _change(self, slots: int) -> None:
        self.slots, self._was_full, self._proven = slots, False, 0
