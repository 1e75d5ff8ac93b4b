"""Share of an integration's slots, among senders that do not know of each other.

Each of Kombo's responses names the integration's limit (`Concurrency-Limit`) and the slots that
nobody uses (`Concurrency-Remaining`). All senders read the same numbers, so one rule is enough.
Once a round trip, each sender

- takes 0.3 slots for each slot that was left, but leaves one to whoever comes (additive increase);
- gives back 2 % of the slots that it has (multiplicative decrease).

What is left is the same for all, and what is given back grows with what a sender has. So a sender
with many slots loses some, a sender with few gains some, and all of them end with equally many.
This is AIMD (Chiu and Jain, 1989). Its signal is the number of slots left, not a refusal.

Beside the rule:

- A refusal (429) takes 30 % of the slots, once a round trip.
- A limit that falls takes the same share from each sender, at once.
- A sender that sees nobody else doubles its slots up to the limit. In every fourth round trip, of a
  limit below 8 more rarely, it leaves one slot open, through which others come in.
- A sender with one slot that never sees one left pauses at times. So more senders than slots take
  turns.

What is assumed of `Concurrency-Remaining`: it counts the calls in flight either when the request
was let in, or when the response was sent. The least number of a round trip fits both readings. It
may be rounded, because each step is small. It may be wrong: it is never believed to be more than
our own calls leave. If it names no slot for long although nobody is refused, it is not believed
until the next refusal.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

_RISE: Final = 0.3
"""Slots taken in a round trip for each slot left."""
_MOST_RISE: Final = 1.0
"""Slots taken in a round trip at most."""
_GIVEN_BACK: Final = 0.02
"""Share of the slots given back in a round trip."""
_REFUSED: Final = 0.3
"""Share of the slots given back after a refusal."""

_SPARED: Final = 1.0
"""Slots that are left to whoever comes."""
_SPARED_FROM: Final = 16
"""Limit from which a slot is spared: of a smaller limit, one slot would be too large a part."""
_FEW: Final = 2
_SPARED_BY_FEW: Final = 0.35
"""Part of a slot that a sender with one slot spares of a small limit: the last free slot may be the
only one of another sender."""

_OPEN_EVERY: Final = 4
_OPEN_SLOTS: Final = 32
"""A sender that is alone leaves one slot open once in 4 round trips, of a limit below 8 once in 32
slots: one slot of few is much."""
_ALONE_AFTER: Final = 30
"""Round trips without a sign of others after which a sender counts as alone."""
_DOUBTED_AFTER: Final = 50
"""Round trips without a slot left and without a refusal, after which the header is not believed."""
_TURN_RESPONSES: Final = 20
_TURN_SECONDS: Final = 60.0
"""Turn of a sender with one slot: responses in a row without a slot left, and seconds at most."""


@dataclass
class _RoundTrip:
    """Facts of a round trip, which ends with the first response to a request sent in it.

    :param least_left: The fewest slots that were left.
    :param own: The most calls in flight of this sender.
    :param was_full: Whether all slots were in use. Slots that are not used prove nothing.
    """

    began: float
    least_left: float = inf
    own: int = 0
    was_full: bool = False


class SlotShare:
    """Slots of one sender; all times are seconds of one clock.

    :param slots: Slots at first.
    :param limit: The limit of all senders together, as a header has it.
    :param most: Most slots that the sender may have, whatever a header says.
    """

    def __init__(self, slots: int, limit: float, most: int) -> None:
        self._most = most
        self._limit = self._bounded(limit)
        self.slots = float(min(slots, self._limit))
        self._lowered_at = -inf
        """Time of the last fall or refusal: older requests show the use before it."""
        self._awaits_recent = False
        self._round = self._round_before = _RoundTrip(-inf)
        self._rounds = 0
        self._others_for = 0
        """Round trips for which others are reckoned with, also if they are not seen."""
        self._none_left_for = 0
        """Round trips in a row without a slot left and without a refusal."""
        self._turn = 0
        """Responses in a row without a slot left, while there is one slot."""
        self._turn_began = -inf

    def ends_turn(self, now: float) -> bool:
        """Return True if the sender should leave its only slot to others for a while."""
        is_over = self._turn >= _TURN_RESPONSES or now - self._turn_began >= _TURN_SECONDS
        return self._turn > 0 and is_over

    def begin_turn(self) -> None:
        """Count the responses of the next turn."""
        self._turn = 0

    def fill(self) -> None:
        """Record that all slots are in use."""
        self._round.was_full = True

    def restart(self, slots: int) -> None:
        """Begin again with few slots, after a time in which nothing was heard."""
        self.slots = min(self.slots, float(slots))

    def follow_limit(self, now: float, sent_at: float, limit: float) -> None:
        """Adapt to the named limit: a limit that falls takes the same share from each sender.

        :param sent_at: Time at which the request left. A request that left before the limit fell
            cannot raise it again.
        """
        named = self._bounded(limit)
        if named < self._limit:
            self._lower(now, named / self._limit)
            self._limit = named
        elif sent_at >= self._lowered_at:
            self._limit = named

    def observe(self, now: float, sent_at: float, left: float, own: int) -> None:
        """Adapt to a response that names the slots left.

        :param left: The slots that nobody uses.
        :param own: Our calls in flight, with this one.
        """
        if sent_at < self._lowered_at:
            return
        if self._awaits_recent:
            self._awaits_recent = False
            self._begin(now)
        left = max(0.0, min(left, self._limit - own))
        seen = self._round
        seen.least_left, seen.own = min(seen.least_left, left), max(seen.own, own)
        others = self._limit - seen.least_left - max(seen.own, self._round_before.own)
        if others >= 1:
            self._others_for = _ALONE_AFTER
        self._count_turn(now, left)
        if sent_at >= seen.began:
            self._end_round(now)

    def refuse(self, now: float, sent_at: float) -> None:
        """Lower the slots after a refusal, once a round trip."""
        self._others_for, self._none_left_for = _ALONE_AFTER, 0
        if sent_at >= self._lowered_at:
            self._lower(now, 1 - _REFUSED)

    def _count_turn(self, now: float, left: float) -> None:
        if not (self._others_for and self.slots < _FEW and left < 1):
            self._turn = 0
            return
        if not self._turn:
            self._turn_began = now
        self._turn += 1

    def _bounded(self, limit: float) -> int:
        return int(max(1.0, min(limit, self._most)))

    def _end_round(self, now: float) -> None:
        self._rounds += 1
        if self._others_for:
            self._others_for -= 1
            self._share()
        else:
            is_open = self._rounds % max(_OPEN_EVERY, _OPEN_SLOTS // self._limit) == 0
            self.slots = max(1.0, min(2 * self.slots, self._limit - is_open))
        self._begin(now)

    def _share(self) -> None:
        """Take a part of what was left, and give back a part of what we have."""
        left = self._round.least_left
        self._none_left_for = self._none_left_for + 1 if left < 1 else 0
        if self._none_left_for > _DOUBTED_AFTER:
            step = _RISE
        else:
            taken = _RISE * (left - self._spared)
            step = min(_MOST_RISE, taken - _GIVEN_BACK * self.slots)
        if step < 0 or self._round.was_full:
            self.slots = max(1.0, min(self.slots + step, self._limit))

    @property
    def _spared(self) -> float:
        if self._limit >= _SPARED_FROM:
            return _SPARED
        return _SPARED_BY_FEW if self.slots < _FEW else 0.0

    def _lower(self, now: float, part: float) -> None:
        self.slots = max(1.0, self.slots * part)
        self._lowered_at, self._awaits_recent = now, True

    def _begin(self, now: float) -> None:
        self._round_before, self._round = self._round, _RoundTrip(now)
