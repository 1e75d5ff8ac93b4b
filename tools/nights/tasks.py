"""Tasks of dag runs: processes that are tried again as Airflow does."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from greenlet import GreenletExit

from airflow_kombo.exceptions import ConfigurationError, KomboError
from airflow_kombo.planning.shards import PlannedShard
from tools.nights.accidents import Accidents
from tools.nights.plan import PlannedRun
from tools.nights.process import Process
from tools.nights.story import Story, Try
from tools.nights.world import World


@dataclass
class Task:
    """Task of a dag run.

    :param name: Name in the night; each try has it with a number.
    :param work: Builds the coroutine of a try.
    :param then: Called with the last try when no other follows.
    :param shard: The shard that it delivers; None for a task without shards.
    :param map_index: Place of the shard.
    :param planned_at: Time at which the division of the day began, in seconds.
    :param tries: Tries so far.
    :param most: Tries at most.
    """

    planned: PlannedRun
    name: str
    work: Callable[[Try], Coroutine[Any, Any, None]]
    then: Callable[[Try], None]
    shard: PlannedShard | None = None
    map_index: int = -1
    planned_at: float = 0.0
    tries: int = 0
    most: int = 0

    @property
    def is_of_a_morning(self) -> bool:
        """Return True for a task with nothing wrong around it."""
        return self.planned.name.startswith("morning")


class Tasks:
    """The tasks of a night, as Airflow starts them.

    :param look: Called with a name of the moment, whenever a process has ended.
    """

    def __init__(
        self, world: World, accidents: Accidents, story: Story, look: Callable[[str], None]
    ) -> None:
        self._world = world
        self._accidents = accidents
        self._story = story
        self._look_at = look
        self._chance = random.Random(f"{story.plan.seed}/airflow")

    def start(self, task: Task) -> None:
        """Start a task, which may have been started before."""
        task.most = task.tries + task.planned.tries
        self._try(task)

    def _try(self, task: Task) -> None:
        task.tries += 1
        name = f"{task.name}.{task.tries}"
        self._world.record(f"{name} starts")

        def end(error: BaseException | None) -> None:
            self._ended(task, self._story.tries[name], error)

        process = Process(self._world, name, lambda: task.work(self._story.tries[name]), end)
        one = Try(task.planned, process, task.tries, self._world.now)
        one.shard, one.map_index, one.planned_at = task.shard, task.map_index, task.planned_at
        self._story.tries[name] = one
        if not task.is_of_a_morning:
            replace = partial(self._replace, task, one)
            self._accidents.befall(process, lambda: one.stoppable, replace)

    def _replace(self, task: Task, one: Try) -> None:
        """Try again beside a silent try, as Airflow does."""
        if not (one.has_ended or one.is_replaced) and task.tries < task.most:
            one.is_replaced = True
            self._try(task)

    def _ended(self, task: Task, one: Try, error: BaseException | None) -> None:
        """Keep the end of a try, and try again or go on."""
        story, name = self._story, one.process.name
        one.error, one.has_ended = error, True
        cause = f": {type(error).__name__}: {error}" if error else ""
        self._world.record(f"{name} ends{cause}")
        if error and not isinstance(error, (KomboError, GreenletExit)):
            story.bugs.append(f"{name} ended with {type(error).__name__}: {error}")
        story.bugs += [f"{name}: {context}" for context in one.process.loop.errors]
        self._look_at(f"after {name}")
        if error and task.is_of_a_morning:
            story.bugs.append(f"{name}, with nothing wrong, ended with {error}")
        if one.is_replaced:
            return
        lasting = isinstance(error, ConfigurationError)
        if error and not lasting and task.tries < task.most:
            wait = self._chance.choice([1.0, 20.0, 70.0])
            self._world.at(self._world.now + wait, partial(self._try, task))
        else:
            task.then(one)
