"""Checks of requests sent again: each has an order, or proof that no link was made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tools.nights.answers import Proof
from tools.nights.evidence_truth import is_denied
from tools.nights.findings import LIE, TWICE, Finding
from tools.nights.kombo import Sent
from tools.nights.story import Story


def check_orders(story: Story) -> Iterator[Finding]:
    """Yield requests without an order, where an earlier link exists or may exist."""
    by_result: dict[str, list[Sent]] = {}
    for one in story.sent:
        by_result.setdefault(one.result_id, []).append(one)
    for sent in by_result.values():
        for place, again in enumerate(sent):
            for before in sent[:place]:
                if not (_was_settled(before, again) or _is_permitted(story, before, again)):
                    both = before.made_at is not None and again.made_at is not None
                    text = f"{again.run} sends it, after {before.run} ({before.answer.name})"
                    yield Finding(TWICE if both else LIE, again.result_id, text)


def _was_settled(before: Sent, again: Sent) -> bool:
    """Return True if a response had proved that nothing was made."""
    received = before.received_at is not None and before.received_at <= again.at
    return before.answer.proof is Proof.NOT_MADE and received


def _is_permitted(story: Story, before: Sent, again: Sent) -> bool:
    """Return True if a person, evidence, or a run on purpose has a request sent again."""
    if any(
        one.result_id == again.result_id
        and one.word == "not created"
        and before.at <= one.at <= again.at
        for one in story.decided
    ):
        return True
    if is_denied(story, before, again.at):
        return True
    return any(_is_order(story, claim, before, again) for claim in story.claims)


def _is_order(story: Story, claim: Any, before: Sent, again: Sent) -> bool:
    """Return True if a claim was made on purpose, by the row's status before it.

    An `unknown` row may have been claimed before its earlier request left: its run seemed dead.
    """
    is_in_time = before.at <= claim["at"] or claim["status_before"] == "unknown"
    if claim["result_id"] != again.result_id or not (is_in_time and claim["at"] <= again.at):
        return False
    earlier, later, claiming = (
        story.tries[name].planned for name in (before.run, again.run, claim["run_id"])
    )
    status = claim["status_before"]
    has_changed = before.target != again.target or before.url != again.url
    words = {status, "changed"} if has_changed and status == "success" else {status}
    return claiming.name == later.name != earlier.name and bool(words & later.redeliver)
