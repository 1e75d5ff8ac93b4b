"""Dag run of a day in shards: a plan, shards side by side, and their account."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from tools.nights.deliveries import account_of, delivery_of, divide_day
from tools.nights.plan import PlannedRun
from tools.nights.process import Process
from tools.nights.stage import Stage
from tools.nights.story import Account, Story, Try
from tools.nights.tasks import Task, Tasks
from tools.nights.world import World


class ShardedDay:
    """Dag run of a day in shards.

    :param then: Called when its last task has ended.
    """

    def __init__(
        self,
        planned: PlannedRun,
        *,
        stage: Stage,
        world: World,
        story: Story,
        tasks: Tasks,
        then: Callable[[], None],
    ) -> None:
        self._planned = planned
        self._stage = stage
        self._world = world
        self._story = story
        self._tasks = tasks
        self._then = then
        self._plan = Task(planned, f"{planned.name}.plan", self._divide, self._start_shards)
        self._account = Task(planned, f"{planned.name}.account", self._count, self._end)
        self._shards: dict[int, Task] = {}
        self._places = range(0)
        self._last: dict[int, Try] = {}
        self._is_busy = False

    def begin(self) -> None:
        """Start the plan, and all that follows."""
        self._is_busy = True
        self._plan.planned_at = self._world.now
        self._tasks.start(self._plan)

    def clear(self, shard: int | None) -> None:
        """Clear a shard with the account, or all tasks, unless one of them runs.

        :param shard: Place of the shard; None for all tasks.
        """
        if self._is_busy or (shard is not None and shard not in self._last):
            return
        self._world.record(f"{self._planned.name} is cleared: {shard}")
        if shard is None:
            self.begin()
        else:
            self._is_busy = True
            del self._last[shard]
            self._tasks.start(self._shards[shard])

    async def _divide(self, one: Try) -> None:
        one.planned_at = self._world.now
        divide_day(self._stage, one)
        shards = [shard.as_xcom() for shard in one.shards]
        self._world.record(f"{one.process.name} divides the day: {shards}")

    def _start_shards(self, plan: Try) -> None:
        if plan.error:  # Airflow starts no shard, and no account
            self._end(plan)
            return
        self._last.clear()
        for place, shard in enumerate(plan.shards):
            name = f"{self._planned.name}.shard{place}"
            task = Task(self._planned, name, self._deliver, self._keep)
            if place in self._shards:
                task.tries = self._shards[place].tries
            task.shard, task.map_index, task.planned_at = shard, place, plan.planned_at
            self._shards[place] = task
        self._places = range(len(plan.shards))
        for place in self._places:
            self._tasks.start(self._shards[place])

    async def _deliver(self, one: Try) -> None:
        one.run = delivery_of(self._stage, one)
        await one.run.deliver()

    def _keep(self, shard: Try) -> None:
        """Keep the end of a shard, and start the account after the last one."""
        self._last[shard.map_index] = shard
        if len(self._last) == len(self._places):
            self._tasks.start(self._account)

    async def _count(self, one: Try) -> None:
        living = [process for process in self._world.processes if _lives(process)]
        one.account = account_of(self._stage, one, len(self._places))
        report = await one.account.report("kombo.example")
        counts = {name: Counter(counts) for name, counts in report.senders.items()}
        is_alone = living == [one.process] and self._world.processes[-1] is one.process
        shards = [self._last[place] for place in sorted(self._last)]
        account = Account(one, shards, counts, report.day.in_doubt, is_alone)
        self._story.accounts.append(account)
        self._world.record(f"{one.process.name} counts {counts}")

    def _end(self, _last: Try) -> None:
        self._is_busy = False
        self._then()


def _lives(process: Process) -> bool:
    return not (process.is_dead or process.has_ended)
