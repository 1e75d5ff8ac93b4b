"""Days in shards on some nights, drawn from a stream of their own.

So the other nights stay as they are drawn without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Final

from tools.nights.plan import (
    DAY,
    NIGHT_SECONDS,
    Accident,
    Plan,
    PlannedClear,
    PlannedRun,
    SourceRow,
    accidents,
)
from tools.nights.world import Point

_SHARE: Final = 0.4
"""Share of the nights that have shards."""
_INTEGRATIONS: Final = (
    *("workday:one", "lever:two", "icims:three", "greenhouse:four", "ashby:five"),
    "teamtailor:six",
)
_LATE: Final = "personio:late"
"""Integration whose rows all come late."""


def with_shards(plan: Plan) -> Plan:
    """Add shards to the plans of some nights."""
    chance = Random(f"{plan.seed}/shards")
    return _with_shards(plan, chance) if chance.random() < _SHARE else plan


def _with_shards(plan: Plan, chance: Random) -> Plan:
    runs = tuple(_divided(chance, plan))
    rows = (*plan.rows, *_rows(chance, runs))
    tasks = sum(run.shards + 1 for run in runs)
    more = (*accidents(chance, tasks, plan.nights), *_deaths(chance, tasks))
    return replace(
        plan,
        rows=(*rows, *_second_targets(chance, rows)),
        runs=runs,
        accidents=(*plan.accidents, *more),
        clears=tuple(_clears(chance, runs)),
        shards=chance.choice([1, 2, 4]),
    )


def _divided(chance: Random, plan: Plan) -> Iterator[PlannedRun]:
    """Yield the runs, with shards where Airflow would divide the day."""
    for run in plan.runs:
        is_whole = not run.result_ids and run.limit is None
        if run.name.startswith("night") or (is_whole and chance.random() < 0.6):  # noqa: PLR2004 - most
            shards, spare = chance.choice([2, 3, 3, 5]), chance.choice([None, None, 0, 2, 9])
            yield replace(run, shards=shards, spare=spare)
        else:
            yield run


def _rows(chance: Random, runs: tuple[PlannedRun, ...]) -> Iterator[SourceRow]:
    """Yield rows of many integrations, some of them after a day was divided."""
    some = _INTEGRATIONS[: chance.randint(2, len(_INTEGRATIONS))]
    for number in range(chance.randint(2, 24)):
        target = f"s{chance.randrange(60)}"
        yield SourceRow(f"s{number}", -1.0, DAY, chance.choice(some), target)
    for run in runs:
        for number in range(chance.choice([0, 0, 1, 4]) if run.shards else 0):
            at = run.at + chance.choice([chance.uniform(0, 0.1), chance.uniform(0, 3)])
            integration = chance.choice([_LATE, *some])
            yield SourceRow(f"{run.name}-l{number}", at, DAY, integration, f"l{number}")


def _second_targets(chance: Random, rows: tuple[SourceRow, ...]) -> Iterator[SourceRow]:
    """Yield rows of the same results in another integration."""
    share = chance.choice([0.0, 0.03, 0.15])
    for row in rows:
        if row.candidate_id and row.version == 0 and chance.random() < share:
            others = [one for one in _INTEGRATIONS if one != row.integration_id]
            at = chance.choice([row.at, row.at, max(0.0, row.at) + chance.uniform(0, 3)])
            yield SourceRow(row.result_id, at, row.day, chance.choice(others), "second")


def _deaths(chance: Random, tasks: int) -> Iterator[Accident]:
    """Yield deaths and silences of shards with requests on the wire."""
    for _ in range(chance.choice([0, 1, 2])):
        kind, seconds = chance.choice(["kill", "stand still"]), chance.choice([150.0, 400.0])
        point = (Point.SENT, chance.randint(1, 6))
        yield Accident(kind, 0.0, seconds, chance.randrange(1, tasks + 1), point)


def _clears(chance: Random, runs: tuple[PlannedRun, ...]) -> Iterator[PlannedClear]:
    divided = [run for run in runs if run.shards]
    for _ in range(chance.choice([0, 1, 1, 2])):
        run = chance.choice(divided)
        at = run.at + chance.choice([chance.uniform(5, 100), chance.uniform(5, NIGHT_SECONDS)])
        yield PlannedClear(at, run.name, chance.choice([None, *range(run.shards)]))
