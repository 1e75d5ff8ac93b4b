"""Plan of a night, drawn from a number: rows, runs, decisions and accidents.

A plan is data, so that a part of it can be left out to find the shortest history of a failure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random
from typing import Final

from tools.nights.answers import BAD, CALM, DOUBT, USUAL
from tools.nights.planned_evidence import PlannedAts, PlannedLook, PlannedRecipe
from tools.nights.world import Point

DAY: Final = date(2026, 11, 3)
NIGHT_SECONDS: Final = 7200.0
"""Time from one night to the next: the days between are cut short."""

_KINDS: Final = (
    *("kill", "kill", "stop", "stand still", "stand still", "suspend"),
    *("slow", "fail", "fail", "clock", "mood"),
)
"""Kinds of accidents, as often as they come."""


@dataclass(frozen=True)
class SourceRow:
    """A row of the source, from some time on.

    :param at: Seconds after the first evening.
    :param version: Number of the URL, so that the request changes with it.
    :param link: The result whose address it has; None for an address of its own.
    """

    result_id: str
    at: float
    day: date
    integration_id: str | None
    candidate_id: str | None
    application_id: str | None = None
    version: int = 0
    link: str | None = None

    @property
    def url(self) -> str:
        """Return the address of the result."""
        return f"https://results.example/{self.link or self.result_id}?v={self.version}&as=x"


@dataclass(frozen=True)
class PlannedRun:
    """Dag run, with further tries after a failure or a death.

    :param at: Seconds after the first evening.
    :param tries: Tries of each task at most.
    :param shards: Shards at most; 0 for a day that is one task.
    :param spare: Rows that a day in shards may send beyond the planned ones; None for no limit.
    """

    name: str
    at: float
    day: date
    lookback_days: int = 0
    result_ids: frozenset[str] = frozenset()
    redeliver: frozenset[str] = frozenset()
    limit: int | None = None
    tries: int = 3
    shards: int = 0
    spare: int | None = None

    @property
    def days(self) -> tuple[date, date]:
        """Return the first day and the last one."""
        return self.day - timedelta(days=self.lookback_days), self.day


@dataclass(frozen=True)
class PlannedDecision:
    """Decision of a person about all `unknown` rows at a time.

    :param careless: None for the truth by Kombo's logs, or the word of somebody who has not looked.
    """

    at: float
    careless: str | None = None


@dataclass(frozen=True)
class PlannedClear:
    """Clear of a day in shards, by a person.

    :param at: Seconds after the first evening.
    :param run: Name of the dag run.
    :param shard: Place of the shard that runs again, and the account after it; None for all tasks.
    """

    at: float
    run: str
    shard: int | None


@dataclass(frozen=True)
class Accident:
    """An accident.

    :param kind: `kill`, `stop`, `stand still`, `suspend`: of the process that starts as number
        `process`; `slow`, `fail`: of the database; `clock`: a jump of the database's clock; `mood`,
        `doubt`: of Kombo.
    :param at: Seconds after the process's start or the first evening.
    :param seconds: How long it lasts; how far the clock jumps.
    :param point: For an accident of a process: the point of danger at which it comes instead of
        `at`, and how many such points the process has passed then.
    """

    kind: str
    at: float = 0.0
    seconds: float = 0.0
    process: int = 0
    point: tuple[Point, int] | None = None


@dataclass(frozen=True)
class Plan:
    """All of a night.

    :param shards: Shards of each morning; 0 for mornings that are one task.
    :param looks: Looks for the links of rows in doubt; with none, the mornings have none either.
    :param atss: The ATSs, one for each integration; none on a night without looks.
    """

    seed: int
    rows: tuple[SourceRow, ...]
    runs: tuple[PlannedRun, ...]
    decisions: tuple[PlannedDecision, ...]
    accidents: tuple[Accident, ...]
    patience: tuple[float, float]
    slots: int
    commit_seconds: float
    clears: tuple[PlannedClear, ...] = ()
    shards: int = 0
    looks: tuple[PlannedLook, ...] = ()
    atss: tuple[PlannedAts, ...] = ()
    recipes: tuple[PlannedRecipe, ...] = ()

    @property
    def nights(self) -> int:
        """Return the number of evenings with a run by schedule."""
        return 1 + max(int(run.at // NIGHT_SECONDS) for run in self.runs)

    def has(self, *kinds: str) -> bool:
        """Return True if there is an accident of one of these kinds."""
        return any(one.kind in kinds for one in self.accidents)

    def mood_at(self, seconds: float) -> Mapping[str, float]:
        """Return the weights of Kombo's answers at a time.

        :param seconds: Seconds after the first evening.
        """
        if seconds >= self.nights * NIGHT_SECONDS:
            return CALM
        on = {one.kind for one in self.accidents if one.at <= seconds < one.at + one.seconds}
        return DOUBT if "doubt" in on else BAD if "mood" in on else USUAL


def plan_without_shards(seed: int) -> Plan:
    """Draw the plan of a night from a number; `plan_of` adds shards and looks on some nights."""
    chance = Random(f"{seed}/plan")
    nights = chance.choice([1, 1, 2, 2, 3])
    rows = tuple(_rows(chance, nights))
    runs = tuple(_runs(chance, nights, sorted({row.result_id for row in rows})))
    return Plan(
        seed,
        rows,
        runs,
        decisions=tuple(_decisions(chance, nights)),
        accidents=tuple(accidents(chance, len(runs), nights)),
        patience=chance.choice([(0.001, 0.01), (0.1, 0.3), (0.05, 5.0), (1.0, 90.0)]),
        slots=chance.choice([1, 2, 5, 30]),
        commit_seconds=chance.choice([0.0005, 0.01, 0.1, 1.0]),
    )


def _rows(chance: Random, nights: int) -> Iterator[SourceRow]:
    integrations = ["workday:one", "lever:two", "icims:three"][: chance.randint(1, 3)]
    size = chance.choice([3, 12, 40])
    for number in range(chance.randint(size // 3, size)):
        night = chance.randrange(nights)
        row = _row(
            chance,
            f"r{number}",
            integrations,
            at=-1.0 if night == 0 else night * NIGHT_SECONDS - 60,
        )
        yield row
        for version in range(1, 3):
            if chance.random() < 0.15:  # noqa: PLR2004 - some rows change
                yield _changed(chance, row, version, nights)
    if chance.random() < 0.2:  # noqa: PLR2004 - some nights have bad rows
        yield SourceRow("bad", -1.0, DAY, integrations[0], None)


def _row(chance: Random, result_id: str, integrations: list[str], at: float) -> SourceRow:
    own = f"x{chance.randrange(40)}"
    as_application = chance.random() < 0.5  # noqa: PLR2004 - half of them
    return SourceRow(
        result_id,
        at,
        DAY - timedelta(days=chance.choice([0, 0, 0, 1])),
        chance.choice(integrations),
        candidate_id=own,
        application_id=own if as_application else None,  # a candidate may have the same id
    )


def _changed(chance: Random, row: SourceRow, version: int, nights: int) -> SourceRow:
    """Return a later form of a row: another URL, or another target."""
    at = chance.uniform(0, nights * NIGHT_SECONDS)
    moves = chance.random() < 0.5  # noqa: PLR2004 - half of them
    return SourceRow(
        row.result_id,
        at,
        row.day,
        row.integration_id,
        candidate_id=f"moved{version}" if moves else row.candidate_id,
        application_id=None if moves else row.application_id,
        version=0 if moves else version,
    )


def _runs(chance: Random, nights: int, result_ids: list[str]) -> Iterator[PlannedRun]:
    for night in range(nights):
        at = night * NIGHT_SECONDS
        yield PlannedRun(f"night-{night}", at, DAY, lookback_days=2)
        for number in range(chance.choice([0, 1, 1, 2])):
            some = frozenset(chance.sample(result_ids, chance.randint(1, len(result_ids))))
            words = ["success", "unknown", "changed", "failed", "blocked"]
            yield PlannedRun(
                f"hand-{night}-{number}",
                at + chance.choice([0.0, chance.uniform(0, 5), chance.uniform(60, 300)]),
                DAY - timedelta(days=chance.choice([0, 0, 1])),
                result_ids=chance.choice([frozenset(), some]),
                redeliver=frozenset(chance.sample(words, chance.choice([0, 1, 2, 3]))),
                limit=chance.choice([None, None, 3]),
            )


def _decisions(chance: Random, nights: int) -> Iterator[PlannedDecision]:
    for _ in range(chance.choice([0, 1, 2])):
        yield PlannedDecision(
            chance.uniform(0, nights * NIGHT_SECONDS),
            chance.choice([None, None, None, "created", "not created"]),
        )


def accidents(chance: Random, runs: int, nights: int) -> Iterator[Accident]:
    """Draw accidents of processes, the database and Kombo.

    :param runs: Number of processes that may be hit, at least.
    """
    for _ in range(chance.choice([0, 2, 3, 5, 8])):
        kind = chance.choice(_KINDS)
        process = chance.choice([0, chance.randrange(runs + 2)])
        soon = chance.choice([chance.uniform(0, 2), chance.uniform(0, 60), chance.uniform(0, 900)])
        number = chance.choice([chance.randint(1, 4), chance.randint(1, 30)])
        point = chance.choice([None, (chance.choice(list(Point)), number)])
        evening = chance.randrange(nights) * NIGHT_SECONDS
        if kind == "kill":
            yield Accident(kind, soon, process=process, point=point)
        elif kind == "stop":
            seconds = chance.choice([5.0, 60.0, 1e9])
            yield Accident(kind, soon, seconds, process, point)
        elif kind in {"stand still", "suspend"}:
            seconds = chance.choice([10.0, 70.0, 150.0, 400.0])
            on_the_wire = (Point.SENT, chance.randint(1, 6))
            yield Accident(kind, soon, seconds, process, chance.choice([point, on_the_wire]))
        elif kind == "clock":
            jump = chance.choice([-3600.0, -30.0, 30.0, 61.0, 3600.0])
            yield Accident(kind, evening + soon, jump)
        else:
            yield Accident(kind, evening + soon, chance.choice([1.0, 20.0, 60.0, 400.0]))
