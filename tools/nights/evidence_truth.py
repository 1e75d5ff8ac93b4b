"""The truth about decisions by evidence: the request behind each link, and the time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tools.nights.kombo import Sent
from tools.nights.looks import BY
from tools.nights.story import Story

_TRUSTED_SECONDS: Final = 120.0
"""Seconds to within which the rule of evidence trusts the ledger's clock."""
_BEFORE_SECONDS: Final = 60.0
"""Time from a run's claim or last heartbeat to its request, at most."""


def decided_by_evidence(story: Story, word: str) -> Iterator[Any]:
    """Yield the decisions about attempts by evidence, with a word."""
    for one in story.resolutions:
        if one["resolved_by"] == BY and one["resolution"] == word:
            yield one


def sent_of(story: Story, result_id: str, attempt: int) -> Sent | None:
    """Return the request of an attempt; None if none has left."""
    found = (one for one in story.sent if (one.result_id, one.attempt) == (result_id, attempt))
    return next(found, None)


def is_clock_trusted(story: Story, begin: float, end: float) -> bool:
    """Return True if the ledger's clock kept to the bounds trusted by the rule of evidence."""
    earlier = [seconds for at, seconds in story.jumps if at <= begin - _BEFORE_SECONDS]
    within = [seconds for at, seconds in story.jumps if begin - _BEFORE_SECONDS < at <= end]
    ahead = [*earlier[-1:], *within]
    return max(ahead) - min(ahead) <= _TRUSTED_SECONDS


def is_denied(story: Story, sent: Sent, by: float) -> bool:
    """Return True if evidence has denied a request as allowed, up to a time."""
    return any(
        (one["result_id"], one["attempt"]) == (sent.result_id, sent.attempt)
        and sent.at <= one["at"] <= by
        and (sent.made_at is None or is_excused(story, sent, one["at"]))
        for one in decided_by_evidence(story, "not created")
    )


def is_excused(story: Story, sent: Sent, at: float) -> bool:
    """Return True if evidence may deny a link really made.

    The link was deleted before, or the ledger's clock was not to be trusted.
    """
    kept = story.ats.kept(sent)
    return bool(kept and kept.deleted_at <= at) or not may_compare_times(story, sent, at)


def may_compare_times(story: Story, sent: Sent, at: float) -> bool:
    """Return True if the ledger's times of a request and of all possible later links compare.

    After a jump back a link looks later although its request left before.
    """
    group = [one.at for one in story.sent if one.target[:2] == sent.target[:2]]
    return is_clock_trusted(story, min(group), at)


def excused_results(story: Story) -> set[str]:
    """Return the results with links denied by evidence, as allowed."""
    return {
        one.result_id
        for one in story.sent
        if one.made_at is not None and is_denied(story, one, float("inf"))
    }
