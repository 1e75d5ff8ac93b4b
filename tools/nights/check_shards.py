"""Checks of days in shards: each row in one shard's way, and no target by chance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from tools.nights.findings import LIE, LOST, TWICE, Finding
from tools.nights.plan import PlannedRun, SourceRow
from tools.nights.story import Account, Story, Try
from tools.nights.world import EVENING

SECOND_TARGET: Final = "duplicate_result_id"
"""Error of a row whose result has another target in the same run."""


def results_with_targets(rows: Iterable[Any]) -> set[str]:
    """Return the results that were refused because they have two targets."""
    return {row["result_id"] for row in rows if row["error_code"] == SECOND_TARGET}


def check_shards(story: Story) -> Iterator[Finding]:
    """Yield the findings about divisions, and about the requests of shards."""
    for one in story.tries.values():
        if one.shards:
            yield from _check_division(story, one)
    for sent in story.sent:
        one = story.tries[sent.run]
        if one.shard and not one.shard.has(sent.target[0]):
            yield Finding(LIE, sent.result_id, f"{sent.run} sends a row of another shard")
    yield from _check_targets(story)
    for run in story.plan.runs:
        yield from _check_limit(story, run)


def check_reached(story: Story, account: Account, rows: Sequence[Any]) -> Iterator[Finding]:
    """Yield the rows that no shard of a day has read, if each shard ended well.

    Rows that came after a shard began are not looked at.
    """
    if any(shard.error for shard in account.shards):
        return
    began = min(shard.started_at for shard in account.shards)
    found = {row["result_id"] for row in rows}
    for row in story.plan.rows:
        if _is_there(row, account.one, began) and row.result_id not in found:
            text = f"no shard of {account.one.planned.name} had it: {row.integration_id}"
            yield Finding(LOST, row.result_id, text)


def _check_division(story: Story, plan: Try) -> Iterator[Finding]:
    """Check that each integration is in one shard, also one that nobody knew."""
    known = {row.integration_id or "" for row in story.plan.rows}
    for name in sorted({*known, "nobody:knows"}):
        shards = sum(shard.has(name) for shard in plan.shards)
        if shards != 1:
            kind = TWICE if shards else LOST
            yield Finding(kind, None, f"{plan.process.name} has {name} in {shards} shards")


def _check_limit(story: Story, run: PlannedRun) -> Iterator[Finding]:
    """Check that all shards together keep the limit of a day, if each had one try."""
    own = {name: one for name, one in story.tries.items() if one.planned.name == run.name}
    plans = [one for one in own.values() if one.shards]
    shards = sum(one.shard is not None for one in own.values())
    if run.spare is None or len(plans) != 1 or shards != len(plans[0].shards):
        return
    most = plans[0].most_rows
    sent = {one.result_id for one in story.sent if one.run in own}
    if most is not None and len(sent) > most:
        yield Finding(LIE, None, f"{run.name} sends {len(sent)} rows, and may send {most}")


def _check_targets(story: Story) -> Iterator[Finding]:
    """Check that no result is sent whose first run saw two targets.

    A claim binds a result to its target, also one that was never sent.
    """
    first = {sent.result_id: sent.run for sent in reversed(story.sent)}
    claimed = {row["result_id"]: row["run_id"] for row in story.attempts if row["attempt"] == 1}
    for result_id, sent_by in first.items():
        name = claimed.get(result_id, sent_by)
        one = story.tries[name]
        began = one.planned_at if one.shard else one.started_at
        targets = {
            row.integration_id
            for row in story.plan.rows
            if row.result_id == result_id and _is_there(row, one, began)
        }
        if len(targets) > 1:
            yield Finding(LIE, result_id, f"{name} sends it, of {sorted(map(str, targets))}")


def _is_there(row: SourceRow, one: Try, time: float) -> bool:
    """Return True if the source had a row of a run's days before a time."""
    first, last = one.planned.days
    return EVENING + row.at < time and first <= row.day <= last
