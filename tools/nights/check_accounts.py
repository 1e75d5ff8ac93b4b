"""Checks of the account of a day in shards, beside the ledger's rows and Kombo's links."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from tools.nights.evidence_truth import excused_results
from tools.nights.findings import LIE, Finding
from tools.nights.story import Account, Story

_COUNTED: Final = frozenset({"success", "retryable", "blocked", "unknown", "invalid", "failed"})
_MADE_OR_IN_DOUBT: Final = ("success", "unknown")


def check_account(story: Story, account: Account, rows: Sequence[Any]) -> Iterator[Finding]:
    """Yield the findings about an account that no other process disturbed.

    :param rows: The status rows at its end.
    """
    if not account.is_alone:
        return
    if any(one.kind == "clock" for one in story.plan.accidents):
        return  # a run cannot know what another clock says of its heartbeat
    name = account.one.process.name
    for text in (
        *_beside_ledger(story, account, rows),
        *_beside_kombo(story, account),
        *_skipped(story, account, rows),
    ):
        yield Finding(LIE, None, f"{name} {text}")


def _beside_ledger(story: Story, account: Account, rows: Sequence[Any]) -> Iterator[str]:
    """Compare each integration's counts with the rows of the dag run."""
    planned = account.one.planned
    runs = [run for run in story.runs if run["dag_run_id"] == planned.name]
    names = {run["run_id"] for run in runs}
    began = min((run["started_at"] for run in runs), default="")
    first, last = (day.isoformat() for day in planned.days)
    of_days = [row for row in rows if first <= row["assessment_date"] <= last]
    in_doubt = [
        row
        for row in of_days
        if runs
        and (row["status"], row["error_code"]) == ("unknown", "run_died")
        and row["updated_at"] >= began
    ]
    own = [row for row in rows if row["run_id"] in names]
    keys = {tuple(row)[:4]: row for row in (*own, *in_doubt)}
    expected = Counter((row["integration_id"], row["status"]) for row in keys.values())
    found = {
        (integration_id, status): number
        for integration_id, counts in account.counts.items()
        for status, number in counts.items()
        if status in _COUNTED and number
    }
    for row in own:
        if row["status"] == "sending":
            yield f"leaves {row['result_id']} sending"
            del expected[row["integration_id"], "sending"]
    if found != dict(expected):
        yield f"counts {found} of {dict(expected)}"
    doubt = sum(row["assessment_date"] == last and row["status"] == "unknown" for row in rows)
    if account.in_doubt != doubt:
        yield f"has {account.in_doubt} rows in doubt of {doubt}"


def _beside_kombo(story: Story, account: Account) -> Iterator[str]:
    """Compare each integration's counts with the links that Kombo made."""
    runs = {
        name
        for name, one in story.tries.items()
        if one.shard and one.planned.name == account.one.planned.name
    }
    if any(one.is_careless for one in story.decided):
        return
    decided = {one.result_id for one in story.decided} | excused_results(story)
    others = {one["result_id"] for one in story.attempts if one["run_id"] not in runs}
    of_all, of_these = Counter[str](), Counter[str]()
    for result_id, integration_id in {
        (one.result_id, one.target[0]) for one in story.sent if one.made_at is not None
    }:
        of_all[integration_id] += 1
        of_these[integration_id] += result_id not in decided | others
    for integration_id in sorted({*of_all, *account.counts}):
        counts = account.counts.get(integration_id, Counter[str]())
        if counts["success"] > of_all[integration_id]:
            yield f"counts {counts['success']} links of {integration_id}: {of_all[integration_id]}"
        if sum(counts[status] for status in _MADE_OR_IN_DOUBT) < of_these[integration_id]:
            yield f"counts {dict(counts)} of {integration_id}: {of_these[integration_id]} are made"


def _skipped(story: Story, account: Account, rows: Sequence[Any]) -> Iterator[str]:
    """Compare the skipped rows with those of the last tries, if their ends are in the ledger.

    A row that an earlier try wrote, and that the last one skipped, is counted once. A run that was
    declared dead has no counts in the ledger, also if it went on.
    """
    fails = any(one.kind == "fail" for one in story.plan.accidents)
    names = {shard.process.name for shard in account.shards}
    died = any(run["run_id"] in names and run["error"] for run in story.runs)
    if fails or died or any(shard.error for shard in account.shards):
        return
    runs = [shard.run for shard in account.shards if shard.run]
    skipped = sum(run.report.counts["skipped"] for run in runs)
    planned, last = account.one.planned, {shard.process.name for shard in account.shards}
    earlier = {run["run_id"] for run in story.runs if run["dag_run_id"] == planned.name} - last
    read = {"failed", "invalid", *planned.redeliver} - {"retryable", "blocked"}
    if "changed" in read:
        read.add("success")
    again = sum(row["run_id"] in earlier and row["status"] in read for row in rows)
    expected = max(0, skipped - again)
    found = sum(counts["skipped"] for counts in account.counts.values())
    if found != expected:
        yield f"counts {found} skipped rows of {expected}"
