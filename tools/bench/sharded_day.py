"""A day in shards: a process for the plan, one for each shard, and one for the account."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from time import monotonic

from tools.bench import process
from tools.bench.measurement import Bench
from tools.bench.orders import Orders
from tools.bench.process import Took
from tools.bench.quota import Quota
from tools.bench.stage import BenchError, Run
from tools.bench.tasks import Task
from tools.bench.warehouse import DAY


@dataclass(frozen=True)
class ShardedDay:
    """Result of a day in shards.

    :param run: The whole day, from the plan's begin to the account's end.
    :param shards: The shards' time and memory, in the order of the plan.
    """

    run: Run
    plan: Took
    shards: Sequence[Took]
    account: Took

    @property
    def apart(self) -> float:
        """Return the part of the last shard's time by which the first one ended earlier."""
        times = [one.seconds for one in self.shards]
        return 1 - min(times) / max(times)

    @property
    def cpu(self) -> float:
        """Return the CPU milliseconds per row: of plan, shards and account, without imports."""
        return 1e3 * self.run.cpu / self.run.rows


@dataclass(frozen=True)
class _Tasks:
    """The tasks of a day, one after the other.

    :param quota: The quota of each process; None for no quota.
    """

    bench: Bench
    rows: int
    shards: int
    quota: Quota | None

    def run(self) -> tuple[Took, list[Took], Took]:
        """Run the plan, then all shards at once, then the account."""
        plan = self._ended("plan_shards", Task(self.rows, self.shards))
        parts = plan.result
        with ExitStack() as stack:
            pipes = [
                stack.enter_context(
                    self._started("deliver_shard", Task(self.rows, self.shards, number, part))
                )
                for number, part in enumerate(parts)
            ]
            shards = [_result(pipe) for pipe in pipes]
        return plan, shards, self._ended("account", Task(self.rows, len(parts)))

    def _ended(self, client: str, task: Task) -> Took:
        with self._started(client, task) as pipe:
            return _result(pipe)

    @contextmanager
    def _started(self, client: str, task: Task) -> Iterator[Connection]:
        environment = {**self.bench.stage.connections(), **task.environment}
        with ExitStack() as stack:
            running, pipe = stack.enter_context(process.client(client, DAY, None, environment))
            if self.quota:
                stack.enter_context(self.quota.holding(running.pid))
                stack.callback(running.join)  # a cgroup with a process cannot be removed
                stack.callback(running.kill)
            yield pipe


def deliver(
    bench: Bench, orders: Orders, rows: int, shards: int, quota: Quota | None = None
) -> ShardedDay:
    """Deliver the rows of the warehouse in shards.

    :param rows: Rows of the day.
    :param quota: The quota of each process; None for no quota.
    :raises BenchError: if a task fails, or if not each row is sent once and counted once.
    """
    tasks = _Tasks(bench, rows, shards, quota)
    parts: list[tuple[Took, list[Took], Took]] = []

    def run() -> Took:
        began = monotonic()
        parts.append(tasks.run())
        return _sum(monotonic() - began, *parts[0])

    what = f"{shards} shards" if shards > 1 else "1 shard"
    observed = bench.observe(what, orders, rows=rows, deliver=run)
    plan, each, account = parts[0]
    if len(each) != shards:
        raise BenchError(f"The plan has {len(each)} shards instead of {shards}.")
    return ShardedDay(observed, plan, each, account)


def _sum(seconds: float, plan: Took, shards: Sequence[Took], account: Took) -> Took:
    """Return the figures of a whole day; the counts are the account's."""
    each = [plan, *shards, account]
    return Took(
        seconds,
        sum(one.cpu for one in each),
        sum(one.cpu_before for one in each),
        max(one.peak_mb for one in each),
        account.counts,
    )


def _result(pipe: Connection) -> Took:
    try:
        took: Took = pipe.recv()
    except EOFError:
        raise BenchError(f"A task of the day failed: see {process.LOG}") from None
    return took
