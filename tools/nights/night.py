"""One night: runs, decisions and accidents of a plan, and the mornings after."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any, Final

from tools.nights.accidents import Accidents
from tools.nights.deliveries import delivery_of
from tools.nights.kombo import LONGEST_SECONDS, Kombo
from tools.nights.looks import Looks
from tools.nights.person import Person
from tools.nights.plan import (
    DAY,
    NIGHT_SECONDS,
    Plan,
    PlannedClear,
    PlannedDecision,
    PlannedRun,
    SourceRow,
)
from tools.nights.planned_evidence import LAST_LOOK
from tools.nights.process import Process
from tools.nights.replaced import replaced
from tools.nights.sharded_day import ShardedDay
from tools.nights.stage import Stage
from tools.nights.story import Story, Try
from tools.nights.tasks import Task, Tasks
from tools.nights.world import EVENING, World

_TABLES: Final = {
    "attempts": "kombo_result_link_attempts",
    "claims": "night_claims",
    "runs": "kombo_result_link_runs",
    "evidence": "night_evidence",
    "resolutions": "night_resolutions",
}
"""Tables that the story has, by its own names."""
_LOOK_SECONDS: Final = 60.0
"""Time between two looks for the end of the night's last run."""
_UNTIL_LAST_LOOK_SECONDS: Final = 3900.0
"""Time after which each link has been synced, and no request is carried out any more."""
_MORNINGS: Final = 3
_CLEARED_UP: Final = 2
"""Mornings after which nothing may wait any more but a person's decision."""


class Night:
    """A night on a stage.

    :param look: Called with the story and a name of the moment, whenever a process has ended.
    """

    def __init__(
        self, plan: Plan, stage: Stage, look: Callable[[Story, str, list[Any]], None]
    ) -> None:
        self._plan = plan
        self._stage = stage
        self._look_at = look
        accidents = Accidents(plan)
        self._world = World(plan.seed, accidents)
        accidents.world = self._world
        self._accidents = accidents
        kombo = Kombo(self._world, plan, on_sent=self._attempt_of)
        self._world.server = kombo
        self.story = Story(plan, kombo.sent, kombo.ats, self._world.jumps, log=self._world.log)
        self._person = Person(self._world, stage, self.story)
        self._tasks = Tasks(self._world, accidents, self.story, look=self._snapshot)
        self._looks = Looks(self._world, stage, self.story, accidents, look=self._snapshot)
        self._days: dict[str, ShardedDay] = {}

    def pass_(self) -> Story:
        """Let the night and the mornings pass."""
        plan, world = self._plan, self._world
        self._stage.clear()
        random.seed(plan.seed)
        for row in plan.rows:
            if row.at < 0:
                self._write_source(row)
            else:
                world.at(EVENING + row.at, partial(self._write_source, row))
        for run in plan.runs:
            world.at(EVENING + run.at, partial(self._start, run, _nothing))
        for decision in plan.decisions:
            world.at(EVENING + decision.at, partial(self._person.decide, decision))
        for look in plan.looks:
            world.at(EVENING + look.at, partial(self._looks.start, look))
        for clear in plan.clears:
            world.at(EVENING + clear.at, partial(self._clear, clear))
        self._accidents.begin()
        world.at(EVENING + plan.nights * NIGHT_SECONDS, self._first_morning)
        logging.disable()
        try:
            with replaced():
                world.run()
                self._end()
        finally:
            logging.disable(logging.NOTSET)
        return self.story

    def _write_source(self, row: SourceRow) -> None:
        with closing(self._stage.look()) as connection, connection:
            connection.execute(
                "INSERT OR REPLACE INTO assessment_results (result_id, assessment_date,"
                " integration_id, candidate_id, application_id, assessment_name, result_url)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    row.result_id,
                    row.day.isoformat(),
                    row.integration_id,
                    row.candidate_id,
                    row.application_id,
                    f"Coding {row.result_id}",
                    row.url,
                ),
            )
        self._world.record(f"the source has {row}")

    # Runs ---------------------------------------------------------------------------------------

    def _start(self, planned: PlannedRun, then: Callable[[], None]) -> None:
        """Start a dag run.

        :param then: Called when its last task has ended.
        """
        if planned.shards:
            day = ShardedDay(
                planned,
                stage=self._stage,
                world=self._world,
                story=self.story,
                tasks=self._tasks,
                then=then,
            )
            self._days[planned.name] = day
            day.begin()
        else:
            self._tasks.start(Task(planned, planned.name, self._deliver, lambda _: then()))

    async def _deliver(self, one: Try) -> None:
        one.run = delivery_of(self._stage, one)
        await one.run.deliver()

    def _clear(self, clear: PlannedClear) -> None:
        if day := self._days.get(clear.run):
            day.clear(clear.shard)

    def _attempt_of(self, name: str, result_id: str) -> int | None:
        """Return the number of the attempt whose request has left.

        After others have declared a run dead, its requests are refused.
        """
        with closing(self._stage.look()) as connection:
            query = (
                "SELECT ended_at, (SELECT max(attempt) FROM kombo_result_link_attempts"
                " WHERE result_id = ? AND run_id = r.run_id)"
                " FROM kombo_result_link_runs AS r WHERE run_id = ?"
            )
            ended_at, attempt = connection.execute(query, (result_id, name)).fetchone()
        # A run cannot know what another clock says.
        if ended_at is not None and not self._plan.has("clock"):
            self.story.bugs.append(f"{name} sends, and was declared dead")
        return None if attempt is None else int(attempt)

    # The mornings -------------------------------------------------------------------------------

    def _first_morning(self) -> None:
        """Begin the first morning, when the last run of the night has ended."""
        if not self._unended():
            self._morning(1)
        else:
            self._world.at(self._world.now + _LOOK_SECONDS, self._first_morning)

    def _morning(self, number: int) -> None:
        """Run once more, with nothing wrong any more."""
        planned = PlannedRun(
            f"morning-{number}", 0, DAY, lookback_days=5, tries=1, shards=self._plan.shards
        )
        self._start(planned, lambda: self._world.soon(partial(self._after_morning, number)))

    def _after_morning(self, number: int) -> None:
        if number == _CLEARED_UP:
            self._snapshot("before the last decisions")
            self._world.at(self._world.now + LONGEST_SECONDS + 60, self._look_last)
        elif number < _MORNINGS:
            self._morning(number + 1)

    def _look_last(self) -> None:
        """Look for links, and let a person decide about the rest."""
        then = partial(self._morning, _CLEARED_UP + 1)
        decide = partial(self._person.decide, PlannedDecision(0.0), then)
        if self._plan.looks:
            when = self._world.now + _UNTIL_LAST_LOOK_SECONDS
            self._world.at(when, partial(self._looks.start, LAST_LOOK, decide))
        else:
            decide()

    # Snapshots ----------------------------------------------------------------------------------

    def _snapshot(self, moment: str) -> None:
        with closing(self._stage.look()) as connection:
            rows = connection.execute("SELECT * FROM kombo_result_links").fetchall()
            of_story = {
                name: connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - ours
                for name, table in _TABLES.items()
            }
        vars(self.story).update(of_story)
        self._look_at(self.story, moment, rows)

    def _end(self) -> None:
        """Look at the end, and unwind dead processes."""
        self._snapshot("at the end")
        self.story.bugs += [f"{process.name} never ended" for process in self._unended()]
        for process in self._world.processes:
            process.unwind()

    def _unended(self) -> list[Process]:
        """Return the processes that run still."""
        tries = [one.process for one in self.story.tries.values() if not one.has_ended]
        looks = [one.process for one in self.story.looks if not one.has_ended]
        return [process for process in (*tries, *looks) if not process.is_dead]


def _nothing() -> None:
    """Do nothing after a dag run."""
