"""The accidents of a plan, as they befall the world."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final, Protocol

from tools.nights.plan import Accident, Plan
from tools.nights.process import Process
from tools.nights.world import EVENING, CommitFate, Point, World

_LONGEST_WAIT_SECONDS: Final = 60.0


class Stoppable(Protocol):
    """A run that SIGTERM can stop."""

    def stop(self, reason: str) -> None:
        """Stop the run."""


class Accidents:
    """The accidents of a plan."""

    world: World

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._chance = Random(f"{plan.seed}/database")
        self._started = 0
        self._points: dict[str, set[int]] = {}

    def begin(self) -> None:
        """Let the clock jump when it is time."""
        for accident in self._plan.accidents:
            if accident.kind == "clock":
                self.world.at(EVENING + accident.at, partial(self._jump, accident.seconds))

    def befall(self, process: Process, run: Callable[[], Stoppable | None]) -> None:
        """Let the plan's accidents of a process come, which starts now."""
        own = [one for one in self._plan.accidents if one.process == self._started]
        self._started += 1
        points = {one.point for one in own if one.kind == "kill" and one.point is not None}
        self._points[process.name] = points
        for one in own:
            when = self.world.now + one.at
            if one.kind == "kill" and one.point is None:
                self.world.at(when, process.kill)
            elif one.kind in {"stand still", "suspend"}:
                self.world.at(when, partial(self._stand_still, process, one))
            elif one.kind == "stop":
                self.world.at(when, partial(self._stop, process, run, one))

    def dies(self, process: Process, point: Point) -> bool:  # noqa: ARG002 - the protocol's
        """Return True if a process dies at the point that it has come to."""
        return process.points in self._points.get(process.name, ())

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

    def _jump(self, seconds: float) -> None:
        self.world.note(f"the database's clock jumps by {seconds:.0f} s")
        self.world.database_is_ahead += seconds

    def _stand_still(self, process: Process, accident: Accident) -> None:
        if process.has_ended or process.is_dead:
            return
        self.world.note(f"{process.name}: {accident.kind} for {accident.seconds:.0f} s")
        process.stand_still(accident.seconds, suspended=accident.kind == "suspend")

    def _stop(
        self, process: Process, run: Callable[[], Stoppable | None], accident: Accident
    ) -> None:
        stoppable = run()
        if stoppable is None or process.has_ended or process.is_dead:
            return
        self.world.note(f"{process.name} gets a SIGTERM")
        stoppable.stop("SIGTERM")
        self.world.at(self.world.now + accident.seconds, process.kill)
