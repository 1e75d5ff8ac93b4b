"""Accidents of a plan."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final, Protocol

from tools.nights.plan import Accident, Plan
from tools.nights.planned_evidence import PlannedLook
from tools.nights.process import Process
from tools.nights.world import EVENING, CommitFate, Point, World

_LONGEST_WAIT_SECONDS: Final = 60.0
_SILENT_SECONDS: Final = 100.0
"""Time without a heartbeat after which Airflow takes a task for dead; by default it is 300 s."""


class Stoppable(Protocol):
    """A run with a stop for SIGTERM."""

    def stop(self, reason: str) -> None:
        """Stop the run."""


class Accidents:
    """The accidents of a plan."""

    world: World

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._chance = Random(f"{plan.seed}/database")
        self._started = 0
        self._at_points: dict[tuple[str, Point, int], Callable[[], None]] = {}

    def begin(self) -> None:
        """Plan the jumps of the clock."""
        for accident in self._plan.accidents:
            if accident.kind == "clock":
                self.world.at(EVENING + accident.at, partial(self.world.jump, accident.seconds))

    def befall(
        self,
        process: Process,
        run: Callable[[], Stoppable | None],
        on_silence: Callable[[], None],
    ) -> None:
        """Plan the accidents of a process from now on.

        :param run: Returns the run of the process, which SIGTERM stops.
        :param on_silence: Called when the process has stood still for so long that Airflow takes
            the task for dead.
        """
        own = [one for one in self._plan.accidents if one.process == self._started]
        self._started += 1
        for one in own:
            accidents: dict[str, Callable[[], None]] = {
                "kill": process.kill,
                "stop": partial(self._stop, process, run, one),
                "stand still": partial(self._stand_still, process, one, on_silence),
                "suspend": partial(self._stand_still, process, one, on_silence),
            }
            happen = accidents.get(one.kind)
            if happen and one.point is not None:
                self._at_points[(process.name, *one.point)] = happen
            elif happen:
                self.world.at(self.world.now + one.at, happen)

    def befall_look(self, process: Process, planned: PlannedLook) -> None:
        """Plan the accident of a look from now on."""
        still = Accident("stand still", seconds=planned.still)
        accidents: dict[str, Callable[[], None]] = {
            "kill": process.kill,
            "stand still": partial(self._stand_still, process, still, lambda: None),
        }
        happen = accidents.get(planned.end)
        if happen and planned.point is not None:
            self._at_points[(process.name, *planned.point)] = happen
        elif happen:
            self.world.at(self.world.now + planned.seconds, happen)

    def strike(self, process: Process, point: Point) -> None:
        """Let the accident of a process at a point happen."""
        if happen := self._at_points.get((process.name, point, process.passed[point])):
            happen()

    def begins(self) -> tuple[float, bool]:
        """Return the seconds until a transaction begins, and whether it can."""
        seconds = self._plan.commit_seconds * self._chance.random() / 4
        if self._is_on("fail") and self._chance.random() < 0.5:  # noqa: PLR2004 - half of them
            return seconds + self._chance.choice([0.0, _LONGEST_WAIT_SECONDS]), False
        return seconds, True

    def commits(self) -> tuple[float, CommitFate]:
        """Return the seconds that a commit takes, and its end."""
        seconds = self._plan.commit_seconds * (0.5 + self._chance.random())
        if self._is_on("slow"):
            seconds += self._chance.choice([0.5, 5.0, 50.0])
        if self._is_on("fail"):
            return seconds, self._chance.choice(list(CommitFate))
        return seconds, CommitFate.DONE

    def _is_on(self, kind: str) -> bool:
        now = self.world.now - EVENING
        return any(
            one.kind == kind and one.at <= now < one.at + one.seconds
            for one in self._plan.accidents
        )

    def _stand_still(
        self, process: Process, accident: Accident, on_silence: Callable[[], None]
    ) -> None:
        if process.has_ended or process.is_dead:
            return
        self.world.record(f"{process.name}: {accident.kind} for {accident.seconds:.0f} s")
        process.stand_still(accident.seconds, suspended=accident.kind == "suspend")
        if accident.seconds > _SILENT_SECONDS:
            self.world.at(self.world.now + _SILENT_SECONDS, on_silence)

    def _stop(
        self, process: Process, run: Callable[[], Stoppable | None], accident: Accident
    ) -> None:
        stoppable = run()
        if stoppable is None or process.has_ended or process.is_dead:
            return
        self.world.record(f"{process.name} gets a SIGTERM")
        stoppable.stop("SIGTERM")
        self.world.at(self.world.now + accident.seconds, process.kill)
