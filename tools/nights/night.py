"""One night: runs, decisions and accidents of a plan, and the mornings after."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any, Final

from greenlet import GreenletExit

from airflow_kombo.delivery.run import DeliveryRun
from airflow_kombo.delivery.run_context import RunParts, Settings
from airflow_kombo.exceptions import ConfigurationError, KomboError
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.rows.mapped_rows import MappedRows
from airflow_kombo.rows.query_source import QuerySource, parameters_of
from airflow_kombo.rows.source import Selection
from tools.nights.accidents import Accidents
from tools.nights.kombo import LONGEST_SECONDS, Kombo
from tools.nights.person import Person
from tools.nights.plan import DAY, NIGHT_SECONDS, Plan, PlannedDecision, PlannedRun, SourceRow
from tools.nights.process import Process
from tools.nights.replaced import replaced
from tools.nights.stage import Stage
from tools.nights.story import Story, Try
from tools.nights.world import EVENING, World

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
        kombo = Kombo(
            self._world,
            plan.seed,
            mood=lambda: plan.mood_at(self._world.now - EVENING),
            patience=plan.patience,
            slots=plan.slots,
            on_sent=self._must_live,
        )
        self._world.server = kombo
        self.story = Story(plan, kombo.sent, log=self._world.log)
        self._person = Person(self._world, stage, self.story)
        self._chance = random.Random(f"{plan.seed}/airflow")

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
            world.at(EVENING + run.at, partial(self._start, run, 1))
        for decision in plan.decisions:
            world.at(EVENING + decision.at, partial(self._person.decide, decision))
        self._accidents.begin()
        world.at(EVENING + plan.nights * NIGHT_SECONDS, partial(self._morning, 1))
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
                " VALUES (?, ?, ?, ?, ?, 'Coding', ?)",
                (
                    row.result_id,
                    row.day.isoformat(),
                    row.integration_id,
                    row.candidate_id,
                    row.application_id,
                    f"https://results.example/{row.result_id}?v={row.version}",
                ),
            )
        self._world.record(f"the source has {row}")

    # Runs ---------------------------------------------------------------------------------------

    def _start(self, planned: PlannedRun, number: int) -> None:
        name = f"{planned.name}.{number}"
        self._world.record(f"{name} starts")

        def end(error: BaseException | None) -> None:
            self._ended(name, number, error)

        process = Process(self._world, name, lambda: self._deliver(name, number), end)
        self.story.tries[name] = Try(planned, process)
        if not _morning_of(planned):
            one = self.story.tries[name]
            self._accidents.befall(process, lambda: one.run, partial(self._replace, one, number))

    def _replace(self, one: Try, number: int) -> None:
        """Try again beside a silent try, as Airflow does."""
        if not (one.has_ended or one.is_replaced) and number < one.planned.tries:
            one.is_replaced = True
            self._start(one.planned, number + 1)

    async def _deliver(self, name: str, number: int) -> None:
        one = self.story.tries[name]
        planned, stage = one.planned, self._stage
        selection = Selection(
            result_ids=planned.result_ids,
            redeliver=planned.redeliver,
            limit=planned.limit,
            by_hand=planned.name.startswith("hand"),
        )
        source = QuerySource(
            stage.engine,
            stage.tables,
            stage.sql,
            parameters_of(planned.day, planned.lookback_days),
            selection=selection,
        )
        parts = RunParts(
            Run(name, "kombo_result_links", planned.name, "deliver", -1, number, planned.day),
            mapped=MappedRows(source, stage.mapping, selection),
            selection=selection,
            hook=stage.hook,
            ledger=Ledger(stage.engine, stage.tables),
            runs=Runs(stage.engine, stage.tables),
            settings=Settings(),
        )
        one.run = DeliveryRun(parts)
        await one.run.deliver()

    def _ended(self, name: str, number: int, error: BaseException | None) -> None:
        """Keep the end of a try, and try again as Airflow does."""
        one = self.story.tries[name]
        one.error, one.has_ended = error, True
        cause = f": {type(error).__name__}: {error}" if error else ""
        self._world.record(f"{name} ends{cause}")
        if error and not isinstance(error, (KomboError, GreenletExit)):
            self.story.bugs.append(f"{name} ended with {type(error).__name__}: {error}")
        self.story.bugs += [f"{name}: {context}" for context in one.process.loop.errors]
        self._snapshot(f"after {name}")
        if planned_morning := _morning_of(one.planned):
            if error:
                self.story.bugs.append(f"{name}, with nothing wrong, ended with {error}")
            self._world.soon(partial(self._after_morning, planned_morning))
        elif error and self._is_tried_again(one, number):
            wait = self._chance.choice([1.0, 20.0, 70.0])
            self._world.at(self._world.now + wait, partial(self._start, one.planned, number + 1))

    def _is_tried_again(self, one: Try, number: int) -> bool:
        lasting = isinstance(one.error, ConfigurationError)
        return not (lasting or one.is_replaced) and number < one.planned.tries

    def _must_live(self, name: str) -> None:
        """Refuse requests of a run after others have declared the run dead."""
        if any(one.kind == "clock" for one in self._plan.accidents):
            return  # a run cannot know what another clock says
        with closing(self._stage.look()) as connection:
            query = "SELECT ended_at FROM kombo_result_link_runs WHERE run_id = ?"
            (ended_at,) = connection.execute(query, (name,)).fetchone()
        if ended_at is not None:
            self.story.bugs.append(f"{name} sends, and was declared dead")

    # The mornings -------------------------------------------------------------------------------

    def _morning(self, number: int) -> None:
        """Run once more, with nothing wrong any more."""
        self._start(PlannedRun(f"morning-{number}", 0, DAY, lookback_days=5, tries=1), 1)

    def _after_morning(self, number: int) -> None:
        if number == _CLEARED_UP:
            self._snapshot("before the last decisions")
            then = partial(self._morning, number + 1)
            self._world.at(
                self._world.now + LONGEST_SECONDS + 60,
                partial(self._person.decide, PlannedDecision(0.0), then),
            )
        elif number < _MORNINGS:
            self._morning(number + 1)

    # Looks --------------------------------------------------------------------------------------

    def _snapshot(self, moment: str) -> None:
        with closing(self._stage.look()) as connection:
            rows = connection.execute("SELECT * FROM kombo_result_links").fetchall()
            attempts = connection.execute("SELECT * FROM kombo_result_link_attempts").fetchall()
        self.story.attempts = attempts
        self._look_at(self.story, moment, rows)

    def _end(self) -> None:
        """Look at the end, and unwind dead processes."""
        self._snapshot("at the end")
        for name, one in self.story.tries.items():
            if not one.has_ended and not one.process.is_dead:
                self.story.bugs.append(f"{name} never ended")
        for process in self._world.processes:
            process.unwind()


def _morning_of(planned: PlannedRun) -> int | None:
    kind, _, number = planned.name.partition("-")
    return int(number) if kind == "morning" else None
