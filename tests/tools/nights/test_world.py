"""The world of a simulated night: what it replaces, and how its time passes."""

import ast
import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools.nights import world
from tools.nights.check_night import check_night
from tools.nights.plans import plan_of
from tools.nights.process import Process, ThreadPool
from tools.nights.replaced import REPLACED, replaced
from tools.nights.stage import stage
from tools.nights.world import CommitFate, World
from tools.nights.world import sleep as let_pass

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "plugins" / "airflow_kombo"
CLOCKS, THREADS, WIRE = (
    {
        "airflow_kombo.database.idle_connections.monotonic",
        "airflow_kombo.delivery.calls.monotonic",
        "airflow_kombo.delivery.held_outcomes.monotonic",
        "airflow_kombo.delivery.integration_sender.monotonic",
        "airflow_kombo.delivery.request_queue.monotonic",
        "airflow_kombo.ledger.held_rows.monotonic",
        "airflow_kombo.reconciliation.integration_reader.monotonic",
        "airflow_kombo.delivery.liveness.clock",
        "tenacity.time",
    },
    {"airflow_kombo.delivery.threads.ThreadPoolExecutor"},
    {"aiohttp.ClientSession", "aiohttp.TCPConnector"},
)
# Uses of time and threads that a night leaves as they are, each with the reason.
LEFT = {
    "database.dialects.sqlite": "the time limit of the page's queries; no night shows the page",
    "kombo_api.limits": "a date in Retry-After without a Date beside it; no answer has one",
    "ledger.safety": "the trial of the tables, made before the first night",
    "delivery.liveness": "it reads the clock in `clock`, which is replaced",
    "rows.query_reader": "an event that nobody waits for unless a query is cancelled",
    "rows.hook_source": "as rows.query_reader",
    "rows.result_targets": "a lock that one thread at a time wants",
    "rows.row_buffer": "a lock that one thread at a time wants",
}
NOW = {"datetime.now", "datetime.utcnow", "date.today"}
OUTSIDE = {"operators", "web", "timetables", "hooks", "airflow_compat.py"}


class NoAccident:
    """A fate without an accident."""

    def strike(self, _process, _point):
        pass

    def begins(self):
        return 0.0, True

    def commits(self):
        return 0.0, CommitFate.DONE


async def pass_(seconds):
    """Wait for a time of the loop."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    loop.call_later(seconds, done.set_result, None)
    await done


def run(main, *, before=lambda _process: None):
    """Run a coroutine function in a process of a new world, and return world and end."""
    ends = []
    one = World(1, NoAccident())
    process = Process(one, "p", main, ends.append)
    before(process)
    with replaced():
        one.run()
        process.unwind()
    return one, ends


def test_a_night_replaces_clocks_threads_and_the_wire_alone():
    """A night replaces this list; everything else is the shipped code."""
    assert REPLACED.keys() == CLOCKS | THREADS | WIRE


def _uses(path):
    """Return the names of the clocks and threads in a module."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module in {
            "time",
            "threading",
            "concurrent.futures",
        }:
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names} & {"time", "threading", "socket", "queue"}
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in NOW:
            found.add(node.attr)
    return found


def test_no_other_clock_or_thread_is_in_a_night():
    """A module that nights run with a clock or a thread is replaced, or named."""
    unknown = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        module = ".".join(parts)
        if parts[0] in OUTSIDE or module in LEFT:
            continue
        unknown |= {
            f"{module}.{name}"
            for name in _uses(path)
            if f"airflow_kombo.{module}.{name}" not in REPLACED
        }
    assert unknown == set()


def test_an_hour_takes_no_time():
    """Time passes as fast as nothing happens."""

    async def sleep():
        await pass_(3600)

    began = time.monotonic()
    after, ends = run(sleep)
    assert ends == [None]
    assert after.now - world.EVENING == pytest.approx(3600, abs=1)
    assert time.monotonic() - began < 60


def test_a_killed_process_runs_nothing_more():
    """No code of a killed process runs, not even a finally block, and others are told."""
    ran = []

    async def main():
        try:
            await pass_(10)
        finally:
            ran.append("finally")

    def kill(process):
        process.world.at(process.world.now + 5, lambda: (process.kill(), ran.append("killed")))

    _, ends = run(main, before=kill)
    assert ran == ["killed", "finally"]  # the second when the night is unwound
    assert [type(end).__name__ for end in ends] == ["GreenletExit"]


@pytest.mark.parametrize(("suspended", "seconds"), [(False, 30), (True, 40)])
def test_a_process_that_stands_still_wakes_later(suspended, seconds):
    """A stopped process misses its timer; a suspended machine's monotonic clock stops too."""
    woke = []

    async def main():
        await pass_(10)
        woke.append(world.running().process.world.now - world.EVENING)

    def stand_still(process):
        process.world.at(
            process.world.now + 0.5, lambda: process.stand_still(29.5, suspended=suspended)
        )

    run(main, before=stand_still)
    assert woke == [pytest.approx(seconds, abs=1)]


def test_a_thread_works_while_the_loop_goes_on():
    """A function in a thread and the loop's tasks share the time of the process."""
    seen = []

    async def main():
        pool = ThreadPool(1)
        loop = asyncio.get_running_loop()
        slow = loop.run_in_executor(pool, lambda: let_pass(5))
        await pass_(1)
        seen.append(slow.done())
        pool.shutdown()
        await slow
        seen.append(loop.time() - world.EVENING)

    run(main)
    assert seen == [False, pytest.approx(5, abs=0.1)]


def test_a_number_gives_the_same_night_again():
    """Two nights of one number have one history, to the last digit."""
    with stage() as one:
        logs = [check_night(plan_of(seed), one).story.log for seed in (6, 7, 6, 7)]
    assert logs[:2] == logs[2:]
    assert logs[0] != logs[1]


def test_a_night_is_the_same_in_another_process():
    """The order of Python's sets, which differs between processes, changes nothing."""
    code = (
        "import hashlib\n"
        "from tools.nights.check_night import check_night\n"
        "from tools.nights.plans import plan_of\n"
        "from tools.nights.stage import stage\n"
        "with stage() as one:\n"
        "    logs = [check_night(plan_of(seed), one).story.log for seed in range(1, 11)]\n"
        "print(hashlib.sha256(repr(logs).encode()).hexdigest())\n"
    )
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "plugins")))
    digests = {
        subprocess.run(  # noqa: S603 - ours
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": paths, "PYTHONHASHSEED": seed},
        ).stdout.split()[-1]
        for seed in ("1", "2")
    }
    assert len(digests) == 1
