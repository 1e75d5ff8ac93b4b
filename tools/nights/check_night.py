"""Check a night by its number, and find the shortest history that shows a failure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final, NamedTuple, cast

from tools.nights.checks import Checks
from tools.nights.findings import Finding
from tools.nights.night import Night
from tools.nights.plan import Plan
from tools.nights.plans import plan_of
from tools.nights.stage import Stage
from tools.nights.story import Story

_PARTS: Final = ("accidents", "clears", "looks", "runs", "decisions", "rows")
_LEFT_OUT: Final = frozenset({"accidents", "clears", "looks", "decisions"})
"""Parts without which a night is one still."""


class CheckedNight(NamedTuple):
    """A night with all findings."""

    story: Story
    findings: list[Finding]


def check_night(plan: Plan, stage: Stage) -> CheckedNight:
    """Let a night pass, and compare every row with what was made."""
    checks = Checks()
    story = Night(plan, stage, checks.look).pass_()
    checks.end(story)
    return CheckedNight(story, checks.findings)


def shortest(plan: Plan, stage: Stage) -> CheckedNight:
    """Leave out parts of a failing plan while a kind of the findings stays."""
    kinds = {one.kind for one in check_night(plan, stage).findings}
    goes_on = True
    while goes_on:
        goes_on = False
        for smaller in _smaller(plan):
            if kinds & {one.kind for one in check_night(smaller, stage).findings}:
                plan, goes_on = smaller, True
                break
    return check_night(plan, stage)


def history(seed: int, stage: Stage) -> Iterator[str]:
    """Yield the shortest history of a failing night, a line at a time."""
    story, findings = shortest(plan_of(seed), stage)
    results = {one.result_id for one in findings if one.result_id}
    others = {row.result_id for row in story.plan.rows} - results
    yield f"night {seed}, with {', '.join(map(str, story.plan.accidents)) or 'no accident'}:"
    first = story.log[0][0] if story.log else 0.0
    for time, text in story.log:
        if not others.intersection(text.replace("'", " ").split()):
            yield f"{time - first:12.4f} s  {text}"
    for kind, result_id, text in findings:
        yield f"  {kind}: {result_id or 'a run'}: {text}"


def _smaller(plan: Plan) -> Iterator[Plan]:
    """Yield the plan without some of its parts, the most at first."""
    for name in _PARTS:
        parts = getattr(plan, name)
        size = len(parts)
        while size:
            for start in range(0, len(parts), size):
                left = (*parts[:start], *parts[start + size :])
                if left or name in _LEFT_OUT:
                    yield replace(plan, **cast("Any", {name: left}))
            size //= 2
