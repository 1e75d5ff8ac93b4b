"""Claim window: the number of rows that the time of one and a half commits uses up.

A row that is claimed too early, or recorded too late, is in doubt after a crash though it was not
on the wire. During one commit, as many calls end as there are slots, times the commit time, divided
by the response time. A sender that asks for a claim needs these rows until it has the claim, and as
many again until it has the next one. With rows for one commit, half of what a commit uses up would
be missing on average; with rows for two, as much would wait on average. With rows for one and a
half, it is an eighth that is missing, and an eighth that waits. So many finished calls may wait to
be recorded.
"""

from __future__ import annotations

from typing import Final

MOST_ROWS: Final = 64
"""Largest window, for a server that answers at once."""
_FIRST_COMMIT_SECONDS: Final = 0.01
_FIRST_RESPONSE_SECONDS: Final = 0.2
_LEAST_SECONDS: Final = 0.0001
"""Shortest time that counts: an average of zero would divide by zero."""
_MOST_CHANGE: Final = 2.0
"""A time that is longer or shorter than the average by more than this factor counts as this."""
_COMMITS: Final = 1.5
"""Commits whose time is covered; see above."""
_WEIGHT: Final = 1 / 8
"""Weight of the latest time in the average."""


class MovingAverage:
    """Average of recent times, in which no single time counts much.

    :param first: Value before the first time was observed, in seconds.
    """

    def __init__(self, first: float) -> None:
        self.seconds = first

    def observe(self, seconds: float) -> None:
        """Move towards a time: up by an eighth at most, or down by a sixteenth."""
        least, most = max(self.seconds / _MOST_CHANGE, _LEAST_SECONDS), self.seconds * _MOST_CHANGE
        self.seconds += _WEIGHT * (min(max(seconds, least), most) - self.seconds)


class ClaimWindow:
    """Window of one sender, from the average times of its commits and responses."""

    def __init__(self) -> None:
        self.commit = MovingAverage(_FIRST_COMMIT_SECONDS)
        """Time from asking for a claim to having it, as the sender experiences it."""
        self.response = MovingAverage(_FIRST_RESPONSE_SECONDS)

    def rows(self, slots: int) -> int:
        """Return the rows that the time of one and a half commits uses up, and one.

        :param slots: Calls that may be in flight at once.
        """
        used = _COMMITS * slots * self.commit.seconds / self.response.seconds
        return int(min(used + 1, MOST_ROWS))
