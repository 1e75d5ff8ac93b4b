"""Checks after the last look: rows with links to be seen, or surely not, are settled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import Any, Final

from tools.nights.answers import Proof
from tools.nights.check_evidence import recipe_of
from tools.nights.findings import LOST, Finding
from tools.nights.kombo import LONGEST_SECONDS, Sent
from tools.nights.planned_evidence import LAST_LOOK, PlannedAts
from tools.nights.story import Look, Story

MOMENT: Final = f"after {LAST_LOOK.name}"
_LATER_SECONDS: Final = 2 * LONGEST_SECONDS + 240
"""Time after which a link is surely sent later than one in doubt was: no response came for 300 s,
Kombo carried the request out for as long, and 2 minutes, for both the run and the rule."""
_OTHERS: Final = 2
"""Entries of a record beside links."""
_PAGES: Final = 20
"""Pages that a look reads at most."""


def check_settled(story: Story, rows: Sequence[Any]) -> Iterator[Finding]:
    """Yield the rows left in doubt, though the last look could settle them."""
    (last,) = [one for one in story.looks if one.planned is LAST_LOOK]
    for row in rows:
        sent = _only(story, row) if row["status"] == "unknown" else None
        if sent is None or last.error or _was_left_for_the_next(story, last, row):
            continue
        kept = story.ats.kept(sent)
        if kept and kept.seen_from < last.started_at < kept.seen_until:
            if _is_seen(story, sent):
                yield Finding(LOST, sent.result_id, "it is unknown, and its link is to be seen")
        elif sent.made_at is None and _can_be_denied(story, rows, last, sent):
            yield Finding(LOST, sent.result_id, "it is unknown, and its link is surely absent")


def _was_left_for_the_next(story: Story, last: Look, row: Any) -> bool:
    """Return True if the last look did not read a row, as when the time was over."""
    began = datetime.fromtimestamp(last.started_at, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    looks = [one["evidence_at"] for one in story.attempts if one["result_id"] == row["result_id"]]
    was_read = any(at is not None and at >= began for at in looks)
    return bool(last.counts["unreadable"]) and not was_read


def _only(story: Story, row: Any) -> Sent | None:
    """Return the request of a row if no other one may have made a link with the address."""
    own = [one for one in story.sent if one.result_id == row["result_id"]]
    in_doubt = [one for one in own if not _was_refused(one)]
    attempts = [one for one in story.attempts if one["result_id"] == row["result_id"]]
    doubtful = [one for one in attempts if one["status"] in {None, "unknown"}]
    if [one.attempt for one in in_doubt] != [one["attempt"] for one in doubtful]:
        return None  # such as a claim that died before the request, beside a delivery
    if len(in_doubt) != 1:
        return None
    (sent,) = in_doubt
    others = {one.result_id for one in story.plan.rows if one.url == sent.url}
    is_here = sent.target == (row["integration_id"], row["target_type"], row["target_id"])
    return sent if is_here and others == {sent.result_id} else None


def _was_refused(sent: Sent) -> bool:
    return sent.answer.proof is Proof.NOT_MADE and sent.received_at is not None


def _is_seen(story: Story, sent: Sent) -> bool:
    """Return True if the recipe of a request's target shows what the ATS keeps of it."""
    recipe = recipe_of(story, sent.target[:2])
    ats = story.ats.plans[sent.target[0]]
    return (
        recipe is not None
        and recipe.has_next
        and recipe.reads is ats.kept_as
        and ats.may_read
        and ats.hides != sent.target[1]
        and not (ats.untracked or ats.broken)
        and len(_entries(story, ats)) + _OTHERS < _PAGES * ats.page_size
    )


def _entries(story: Story, ats: PlannedAts) -> list[Sent]:
    return [one for one in story.sent if one.target[0] == ats.integration_id]


def _can_be_denied(story: Story, rows: Sequence[Any], last: Look, sent: Sent) -> bool:
    """Return True if a row's absence is proved by each link sent later."""
    recipe = recipe_of(story, sent.target[:2])
    if recipe is None or not recipe.may_deny or story.plan.has("clock"):
        return False
    if not (_is_seen(story, sent) and story.ats.plans[sent.target[0]].is_plain):
        return False
    group = [one for one in story.sent if one.target[:2] == sent.target[:2]]
    unknown = {row["result_id"] for row in rows if row["status"] == "unknown"}
    newest = max(one.at for one in group if one.result_id in unknown)
    return any(
        later.at > newest + _LATER_SECONDS
        for row in rows
        if row["status"] == "success" and row["attempts"] == 1
        for later in group
        if later.result_id == row["result_id"] and _is_control(story, later, last)
    )


def _is_control(story: Story, later: Sent, last: Look) -> bool:
    """Return True if a link is to be seen, and has an address of its own."""
    others = {one.result_id for one in story.plan.rows if one.url == later.url}
    kept = story.ats.kept(later)
    is_answered = later.answer.proof is Proof.MADE and later.received_at is not None
    is_seen = kept is not None and kept.seen_from < last.started_at < kept.seen_until
    return is_answered and is_seen and others == {later.result_id}
