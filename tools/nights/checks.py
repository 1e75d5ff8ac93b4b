"""Comparison of every row with the links of the simulated Kombo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from tools.nights.answers import ANSWERS, Proof
from tools.nights.check_accounts import check_account
from tools.nights.check_evidence import check_evidence
from tools.nights.check_orders import check_orders
from tools.nights.check_settled import MOMENT, check_settled
from tools.nights.check_shards import (
    SECOND_TARGET,
    check_reached,
    check_shards,
    results_with_targets,
)
from tools.nights.evidence_truth import excused_results
from tools.nights.findings import LIE, LOST, Finding
from tools.nights.story import Story

_OVER: Final = {
    "before the last decisions": {"success", "failed", "invalid", "unknown"},
    "at the end": {"success", "failed", "invalid"},
}
"""Moments at which all is done, with the statuses that rows may have then."""
_SEEMS_DEAD: Final = frozenset({"stand still", "suspend", "clock", "slow", "fail"})
"""Accidents after which a run seems dead that goes on later."""
_HINDERS: Final = frozenset({"slow", "fail"})
"""Accidents in which the ledger cannot be written."""
_SURELY_TRIED_SECONDS: Final = 100.0
_NOT_MADE: Final = frozenset({"failed", "invalid", "blocked", "retryable"})


class Checks:
    """The checks of one night."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def look(self, story: Story, moment: str, rows: list[Any]) -> None:
        """Check all status rows at a moment."""
        self._check_rows(story, moment, rows)
        for finding in check_evidence(story, rows):
            self._found(*finding)
        for finding in check_settled(story, rows) if moment == MOMENT else ():
            self._found(*finding)
        if moment in _OVER:
            self._check_all_done(story, rows, _OVER[moment])
        for account in story.accounts:
            if moment == f"after {account.one.process.name}":
                reached = check_reached(story, account, rows)
                self.findings += [*check_account(story, account, rows), *reached]

    def _check_rows(self, story: Story, moment: str, rows: list[Any]) -> None:
        links = [one for one in story.sent if one.made_at is not None]
        made = {one.result_id for one in links}
        made_on = {(*one.target, one.result_id) for one in links}
        careless = {one.result_id for one in story.decided if one.is_careless}
        excused = excused_results(story)
        in_doubt = {
            one["result_id"] for one in story.attempts if one["status"] in {None, "unknown"}
        }
        for row in rows:
            result_id, status = row["result_id"], row["status"]
            if result_id in careless:
                continue
            if status == "success" and result_id not in made:
                self._found(LIE, result_id, f"{moment} it is success, and was not made")
            is_second = row["error_code"] == SECOND_TARGET
            is_made = tuple(row)[:4] in made_on if is_second else result_id in made
            if status in _NOT_MADE and is_made and result_id not in excused:
                self._found(LIE, result_id, f"{moment} it is {status}, and was made")
            if status == "failed" and not _was_refused(story, result_id):
                self._found(LIE, result_id, f"{moment} it is failed, and was not refused")
            if status == "unknown" and result_id not in in_doubt:
                self._found(LIE, result_id, f"{moment} it is unknown, and its attempts know")
            is_over = moment in _OVER
            if status == "unknown" and not _is_doubtful(story, result_id, is_over=is_over):
                self._found(LIE, result_id, f"{moment} it is unknown, and every response came")
        shown = {row["result_id"] for row in rows if row["status"] not in _NOT_MADE}
        for result_id in sorted(results_with_targets(rows) & made - shown - careless - excused):
            self._found(LIE, result_id, f"{moment} it was made, and no row says so")

    def end(self, story: Story) -> None:
        """Check the requests, the history, and the ends of the runs."""
        for bug in story.bugs:
            self._found(LIE, None, bug)
        for finding in (*check_orders(story), *check_shards(story)):
            self._found(*finding)
        self._check_history(story)
        self._check_counts(story)

    def _check_all_done(self, story: Story, rows: Iterable[Any], done: set[str]) -> None:
        found = Counter({row["result_id"]: 0 for row in rows})
        found.update(row["result_id"] for row in rows if row["error_code"] != SECOND_TARGET)
        for result_id in sorted({row.result_id for row in story.plan.rows} - found.keys()):
            self._found(LOST, result_id, "it has no status at all")
        for result_id, number in found.items():
            if number > 1:
                self._found(LIE, result_id, f"it has {number} status rows")
        second = results_with_targets(rows)  # a row of a target of before has to wait
        for row in rows:
            if row["status"] not in done and row["result_id"] not in second:
                text = f"it is {row['status']} after all is well: {row['error_message']}"
                self._found(LOST, row["result_id"], text)

    def _check_history(self, story: Story) -> None:
        """Check the attempts of each run and result against its requests."""
        sent, made = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        for one in story.sent:
            sent[one.run, one.result_id] += 1
            made[one.run, one.result_id] += one.made_at is not None
        attempts = Counter((one["run_id"], one["result_id"]) for one in story.attempts)
        success = _count(story.attempts, {"success"})
        may_be = _count(story.attempts, {"success", "unknown", None})
        for key, number in sent.items():
            if attempts[key] < number:
                self._found(
                    LIE, key[1], f"{key[0]} sent it {number} times: {attempts[key]} attempts"
                )
            if made[key] > may_be[key]:
                self._found(LIE, key[1], f"{key[0]} made it, and no attempt says so")
        for key, number in success.items():
            if number > made[key]:
                self._found(LIE, key[1], f"{key[0]} did not make it, and an attempt says so")

    def _check_counts(self, story: Story) -> None:
        """Check the counts of each run without an error against its attempts."""
        last: dict[tuple[str, str], str | None] = {}
        for one in sorted(story.attempts, key=lambda one: int(one["attempt"])):
            last[one["run_id"], one["result_id"]] = one["status"]
        found = Counter((run, status) for (run, _), status in last.items())
        for name, ended in story.tries.items():
            if ended.run is None or ended.error or not ended.has_ended:
                continue
            counts = sum(ended.run.report.senders.values(), Counter[str]())
            for status in ("success", "failed", "unknown"):
                if counts[status] != found[name, status]:
                    text = f"{name} counts {counts[status]} {status} of {found[name, status]}"
                    self._found(LIE, None, text)

    def _found(self, kind: str, result_id: str | None, text: str) -> None:
        finding = Finding(kind, result_id, text)
        if finding not in self.findings:
            self.findings.append(finding)


def _count(attempts: Iterable[Any], statuses: set[str | None]) -> Counter[tuple[str, str]]:
    return Counter(
        (one["run_id"], one["result_id"]) for one in attempts if one["status"] in statuses
    )


def _was_refused(story: Story, result_id: str) -> bool:
    return any(
        one.result_id == result_id and one.answer in ANSWERS["refused"] for one in story.sent
    )


def _is_doubtful(story: Story, result_id: str, *, is_over: bool) -> bool:
    """Return True if the end of a request may be unrecorded.

    :param is_over: Whether every process has ended.
    """
    own = [one for one in story.sent if one.result_id == result_id]
    if any(one.answer.proof is Proof.NONE or one.received_at is None for one in own):
        return True
    if any(one.was_killed for one in story.tries.values()):
        return True
    kinds = {one.kind for one in story.plan.accidents}
    if kinds & _SEEMS_DEAD and not is_over:
        return True
    hinders = kinds & _HINDERS and ("stop" in kinds or _lasts_long(story))
    return bool(hinders) and any(one.error for one in story.tries.values())


def _lasts_long(story: Story) -> bool:
    """Return True if the ledger failed for longer than a run surely tries to write.

    Two failures, and a run that stands still for long meanwhile, are as one long failure.
    """
    accidents = story.plan.accidents
    hindered = [one.seconds for one in accidents if one.kind in _HINDERS]
    stills = [one.seconds for one in accidents if one.kind == "stand still"]
    stands_still = max(stills, default=0.0) > _SURELY_TRIED_SECONDS
    seconds = sum(hindered) if stands_still else max(hindered, default=0.0)
    return seconds > _SURELY_TRIED_SECONDS
