"""Checks of evidence: each decision by a look, beside the links really made."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from tools.nights.evidence_truth import (
    decided_by_evidence,
    is_excused,
    may_compare_times,
    sent_of,
)
from tools.nights.findings import LIE, Finding
from tools.nights.kombo import LONGEST_SECONDS
from tools.nights.looks import BY
from tools.nights.planned_evidence import PlannedRecipe
from tools.nights.story import Look, Story

_CONTROL: Final = re.compile(r"that of (\S+), sent after")
_DENIED: Final = "proved_not_created"


def check_evidence(story: Story, rows: Sequence[Any]) -> Iterator[Finding]:
    """Yield the findings about all evidence so far.

    :param rows: The status rows now.
    """
    if not story.looks:
        return
    texts = {(one["result_id"], one["attempt"]): one["evidence"] for one in story.attempts}
    targets = {
        (one["result_id"], one["attempt"]): (one["integration_id"], one["target_type"])
        for one in story.attempts
    }
    for one in decided_by_evidence(story, "created"):
        for text in _of_found(story, one):
            yield _finding(one, text)
    for one in decided_by_evidence(story, "not created"):
        key = one["result_id"], one["attempt"]
        for text in _of_denied(story, one, targets[key], texts[key] or ""):
            yield _finding(one, text)
    for one in (*story.evidence, *story.resolutions):
        if one["status"] not in {None, "unknown"} or one["resolution_before"]:
            was = one["resolution_before"] or one["status"]
            yield _finding(one, f"decides attempt {one['attempt']}, which is {was}")
    yield from _of_columns(story, rows)
    for look in story.looks:
        yield from _of_counts(story, look)


def _of_found(story: Story, one: Any) -> Iterator[str]:
    """Check that a found link was made by the very attempt, and was to be seen."""
    sent = sent_of(story, one["result_id"], one["attempt"])
    kept = story.ats.kept(sent) if sent else None
    if kept is None:
        yield f"finds the link of attempt {one['attempt']}, which made none"
    elif kept.seen_from > one["at"]:
        yield f"finds the link of attempt {one['attempt']}, which was not to be seen"


def _of_denied(story: Story, one: Any, group: tuple[str, str], text: str) -> Iterator[str]:
    """Check that a denied link was not made, and that the rule of evidence was kept."""
    name = f"attempt {one['attempt']}"
    recipe = recipe_of(story, group)
    if recipe is None or not recipe.may_deny or recipe.source == "inferred":
        yield f"denies {name} by a recipe that may not"
    sent = sent_of(story, one["result_id"], one["attempt"])
    if sent is None:
        return
    if sent.made_at is not None and not is_excused(story, sent, one["at"]):
        yield f"denies {name}, which made a link"
    if not may_compare_times(story, sent, one["at"]):
        return
    executed_by = sent.at + LONGEST_SECONDS
    if one["at"] < executed_by:
        yield f"denies {name}, which Kombo may still carry out"
    named = _CONTROL.search(text)
    if not named or not any(
        later.result_id == named[1]
        and later.target[:2] == group
        and later.made_at is not None
        and later.at >= executed_by
        for later in story.sent
    ):
        yield f"denies {name} without a later link: {text}"


def recipe_of(story: Story, group: tuple[str, str]) -> PlannedRecipe | None:
    """Return the recipe for an integration and a type of target."""
    tool = group[0].partition(":")[0]
    found = (one for one in story.plan.recipes if (one.tool, one.target_type) == (tool, group[1]))
    return next(found, None)


def _of_columns(story: Story, rows: Sequence[Any]) -> Iterator[Finding]:
    """Check the columns of evidence, and the rows by the decisions about their attempts."""
    denied = {one["result_id"] for one in decided_by_evidence(story, "not created")}
    newest = {(row["result_id"], row["attempts"]): row for row in rows if row["attempts"]}
    for one in story.attempts:
        result_id = one["result_id"]
        if (one["evidence"] is None) is not (one["evidence_at"] is None):
            yield Finding(LIE, result_id, "it has evidence without a time, or a time without it")
        if one["resolved_by"] != BY:
            continue
        if one["resolution_reason"] != one["evidence"] or not one["resolved_at"]:
            yield Finding(LIE, result_id, f"its decision is not the evidence {one['evidence']}")
        row = newest.get((result_id, one["attempt"]))
        if row is None or one["status"] not in {None, "unknown"}:
            continue
        expected = {"success"} if one["resolution"] == "created" else _NOT_IN_DOUBT
        if row["status"] not in expected:
            text = f"it is {row['status']}, and evidence says {one['resolution']}"
            yield Finding(LIE, result_id, text)
    for row in rows:
        by_evidence = row["error_code"] == _DENIED
        if by_evidence and (row["status"] != "retryable" or row["result_id"] not in denied):
            text = f"it is {row['status']}, {_DENIED}, without evidence"
            yield Finding(LIE, row["result_id"], text)


_NOT_IN_DOUBT: Final = frozenset({"success", "retryable", "blocked", "invalid", "failed"})


def _of_counts(story: Story, look: Look) -> Iterator[Finding]:
    """Check the counts of a look without an error against the decisions of the look."""
    if look.error or not look.has_ended:
        return
    own = {
        (one["result_id"], one["resolution"])
        for one in story.resolutions
        if one["process"] == look.process.name
    }
    written = Counter(word for _, word in own)
    counts = Counter() if look.planned.dry_run else look.counts
    for word in ("created", "not created"):
        if counts[word] != written[word]:
            text = f"{look.process.name} counts {counts[word]} {word} of {written[word]}"
            yield Finding(LIE, None, text)


def _finding(one: Any, text: str) -> Finding:
    return Finding(LIE, one["result_id"], f"{one['process']} {text}")
