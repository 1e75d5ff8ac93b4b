"""Looks for links on most nights, drawn from a stream of their own.

So the other nights stay as they are drawn without it. On a night with looks, some rows come later
and some runs by hand begin later, because only a later link lets evidence deny one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from random import Random
from typing import Final

from tools.nights.plan import DAY, NIGHT_SECONDS, Accident, Plan, PlannedRun, SourceRow
from tools.nights.planned_evidence import (
    LONGEST_DELAY,
    KeptAs,
    PlannedAts,
    PlannedLook,
    PlannedRecipe,
)
from tools.nights.world import Point

_SHARE: Final = 0.66
"""Share of the nights that have looks."""
_LIMIT_SECONDS: Final = 420.0
"""Time after which evidence may deny a link that was never made."""
_TYPES: Final = ("application", "candidate")


def with_looks(plan: Plan) -> Plan:
    """Add looks to the plans of most nights."""
    chance = Random(f"{plan.seed}/evidence")
    return _with_looks(plan, chance) if chance.random() < _SHARE else plan


def _with_looks(plan: Plan, chance: Random) -> Plan:
    runs = tuple(_later(chance, plan))
    rows = tuple(_with_shared_links(chance, (*plan.rows, *_late_rows(chance, plan, runs))))
    names = sorted({row.integration_id for row in rows if row.integration_id})
    atss = tuple(_ats(chance, name) for name in names)
    looks = tuple(_looks(chance, plan, runs, atss))
    again = tuple(_again(chance, looks))
    return replace(
        plan,
        rows=rows,
        runs=(*runs, *again),
        accidents=(*plan.accidents, *_doubt(chance, plan, again), *_troubles(chance, plan, looks)),
        looks=looks,
        atss=atss,
        recipes=tuple(one for ats in atss for one in _recipes(chance, ats)),
    )


# Rows and runs ----------------------------------------------------------------------------------


def _later(chance: Random, plan: Plan) -> Iterator[PlannedRun]:
    """Yield the runs, most of those by hand later, and at least one late run."""
    if len(plan.runs) == 1:
        yield PlannedRun("hand-late", chance.uniform(_LIMIT_SECONDS, 3000), DAY)
    for run in plan.runs:
        if run.name.startswith("hand") and chance.random() < 0.7:  # noqa: PLR2004 - most
            later = chance.choice([(30, 300), (_LIMIT_SECONDS, 3000), (_LIMIT_SECONDS, 3000)])
            at = run.at + chance.uniform(*later)
            yield replace(run, at=at, result_ids=frozenset(), limit=None, day=DAY)
        else:
            yield run


def _late_rows(chance: Random, plan: Plan, runs: tuple[PlannedRun, ...]) -> Iterator[SourceRow]:
    """Yield rows that come before the later runs, whose links serve as later links.

    Before the mornings each integration gets one for each type of target.
    """
    names = [row.integration_id for row in plan.rows if row.integration_id]
    late = [run.at for run in runs if run not in plan.runs or run.at >= NIGHT_SECONDS]
    for place, at in enumerate(late):
        for number in range(chance.choice([2, 4])):
            yield _late_row(chance, f"late{place}-{number}", at, chance.choice(names), number % 2)
    places = product(sorted(set(names)), range(2))
    for number, (name, on_application) in enumerate(places):
        at = plan.nights * NIGHT_SECONDS
        yield _late_row(chance, f"last-{number}", at, name, on_application)


def _late_row(
    chance: Random, result_id: str, before: float, name: str, on_application: int
) -> SourceRow:
    target = f"x{chance.randrange(40)}"
    return SourceRow(result_id, before - 1, DAY, name, target, target if on_application else None)


def _with_shared_links(chance: Random, rows: tuple[SourceRow, ...]) -> Iterator[SourceRow]:
    """Yield the rows, some of them with the address of another result."""
    share = chance.choice([0.0, 0.0, 0.1, 0.3])
    for row in rows:
        if chance.random() < share:
            same = [one for one in rows if one.integration_id == row.integration_id]
            yield replace(row, link=chance.choice(same).result_id)
        else:
            yield row


def _again(chance: Random, looks: tuple[PlannedLook, ...]) -> Iterator[PlannedRun]:
    """Yield a run to send rows in doubt again beside a look, on some nights."""
    if chance.random() < 0.35:  # noqa: PLR2004 - some
        still = [look for look in looks if look.end == "stand still"]
        at = chance.choice(still or looks).at + chance.uniform(0, 20)
        yield PlannedRun("hand-again", at, DAY, redeliver=frozenset({"unknown"}))


# ATSs and recipes -------------------------------------------------------------------------------


def _ats(chance: Random, name: str) -> PlannedAts:
    kept_as = chance.choice(list(KeptAs))
    is_live = kept_as is not KeptAs.NOTES
    is_plain = chance.random() < 0.5  # noqa: PLR2004 - some without any trouble
    return PlannedAts(
        name,
        kept_as,
        hides=chance.choice(["", "", "", "", "", "", *_TYPES]),
        written_as=chance.choice(["plain", "html", "html twice", "percent"]),
        delay=chance.choice([0.0, LONGEST_DELAY]) if is_live else 0.0,
        sync_seconds=chance.choice([60.0, 600.0, 1800.0, 3600.0]),
        page_size=chance.choice([1, 1, 2, 100]),
        candidates=chance.choice(["same", "own", "few"]),
        may_read=chance.random() < 0.95,  # noqa: PLR2004 - nearly all
        untracked=0.0 if is_plain else chance.choice([0.0, 0.3]),
        broken=0.0 if is_plain else chance.choice([0.0, 0.4]),
        similar=0.0 if is_plain else chance.choice([0.0, 0.4]),
        deleted=0.0 if is_plain else chance.choice([0.0, 0.2]),
    )


def _recipes(chance: Random, ats: PlannedAts) -> Iterator[PlannedRecipe]:
    tool = ats.integration_id.partition(":")[0]
    for target_type in _TYPES:
        if chance.random() < 0.05:  # noqa: PLR2004 - few tools have none
            continue
        is_right = chance.random() < 0.9  # noqa: PLR2004 - most
        source = chance.choice(["inferred", "documented", "tried", "tried"])
        yield PlannedRecipe(
            tool,
            target_type,
            ats.kept_as if is_right else chance.choice(list(KeptAs)),
            source,
            may_deny=source != "inferred" and chance.random() < 0.85,  # noqa: PLR2004 - most
            shape=chance.randrange(2),
            has_next=chance.random() < 0.8,  # noqa: PLR2004 - most
        )


# Looks and accidents ----------------------------------------------------------------------------


def _looks(
    chance: Random, plan: Plan, runs: tuple[PlannedRun, ...], atss: tuple[PlannedAts, ...]
) -> Iterator[PlannedLook]:
    notes = [ats for ats in atss if ats.kept_as is KeptAs.NOTES]
    slow = [ats for ats in notes if ats.sync_seconds > _LIMIT_SECONDS]
    for number in range(chance.choice([1, 2, 3, 4])):
        name = f"look-{number}"
        if chance.random() < 0.2:  # noqa: PLR2004 - some
            yield _beside_sync(chance, name, chance.choice(runs), chance.choice(slow or atss))
            continue
        at = _when(chance, plan, runs)
        for twin in range(chance.choice([1, 1, 1, 2])):
            yield PlannedLook(
                f"{name}-{twin}",
                at + twin * chance.choice([0.0, 0.1, 2.0]),
                look_again=chance.random() < 0.5,  # noqa: PLR2004 - half of them
                dry_run=chance.random() < 0.05,  # noqa: PLR2004 - few
                end=chance.choice(["", "", "", "kill", "stand still", "stand still"]),
                point=chance.choice([None, (chance.choice(list(Point)), chance.randint(1, 12))]),
                seconds=chance.choice([chance.uniform(0, 1), chance.uniform(0, 30)]),
                still=chance.choice([10.0, 90.0, 500.0]),
            )


def _beside_sync(chance: Random, name: str, run: PlannedRun, ats: PlannedAts) -> PlannedLook:
    """Return a look standing still over the first sync after a run."""
    sync = ats.synced_since(run.at + chance.uniform(0, _LIMIT_SECONDS))
    return PlannedLook(
        name,
        max(0.0, sync - chance.uniform(0, 100)),
        look_again=True,
        end="stand still",
        point=(Point.SENT, chance.randint(1, 6)),
        still=400.0,
    )


def _when(chance: Random, plan: Plan, runs: tuple[PlannedRun, ...]) -> float:
    """Return a time with a chance for a look to meet something."""
    end = plan.nights * NIGHT_SECONDS
    run = chance.choice(runs).at
    times = (
        chance.uniform(0, end),
        run + chance.uniform(0, _LIMIT_SECONDS),
        run + chance.uniform(1, 60),
        run + chance.uniform(1, 60),
        run + chance.uniform(_LIMIT_SECONDS, 2 * _LIMIT_SECONDS),
    )
    return min(end, chance.choice(times))


def _doubt(chance: Random, plan: Plan, again: tuple[PlannedRun, ...]) -> Iterator[Accident]:
    """Yield times with many requests left in doubt by Kombo."""
    for run in again:
        yield Accident("doubt", run.at, chance.choice([1.0, 30.0]))
    if chance.random() < 0.9:  # noqa: PLR2004 - most nights
        at = chance.choice([0.0, 0.0, chance.choice(plan.runs).at])
        yield Accident("doubt", at, chance.choice([10.0, 60.0, 400.0]))


def _troubles(chance: Random, plan: Plan, looks: tuple[PlannedLook, ...]) -> Iterator[Accident]:
    """Yield failures of the ledger and jumps of the clock beside looks, on some nights.

    They end before the mornings, on which nothing is wrong.
    """
    if not looks or chance.random() < 0.75:  # noqa: PLR2004 - most nights have none
        return
    at = chance.choice(looks).at + chance.uniform(-2, 10)
    kind = chance.choice(["fail", "fail", "slow", "clock"])
    jump = chance.choice([-60.0, 30.0, 61.0, 100.0])
    lasting = jump if kind == "clock" else chance.choice([2.0, 20.0])
    latest = plan.nights * NIGHT_SECONDS - abs(lasting)
    yield Accident(kind, min(max(0.0, at), latest), lasting)
