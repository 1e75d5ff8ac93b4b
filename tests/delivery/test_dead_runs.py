"""Rows of dead runs: when a run settles them, and which of them it counts."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from threading import Barrier

import pytest
from support.harness import (
    DAY,
    all_of,
    by_result,
    delivery,
    fill,
    make_run,
    row,
    run_day,
    silence,
    statuses,
)

from airflow_kombo.delivery.run_context import Settings
from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.outcomes import AttemptOutcome, RowOutcome
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.planning.row_limit import RowLimit
from airflow_kombo.statuses import Status

DAY_BEFORE = DAY - timedelta(days=1)
TASK = {"dag_id": "dag", "dag_run_id": "night", "task_id": "deliver", "map_index": -1}
SOON = {"dead_after": 1.0, "settings": Settings(heartbeat=0.2, first_retry=0.01)}


class Dead:
    """Runs with claimed rows, dead before the end."""

    def __init__(self, engine, tables):
        self.runs, self.ledger = Runs(engine, tables), Ledger(engine, tables)

    def claim(self, run_id, *names, day=DAY, run_day=DAY, silent=61, **task):
        """Claim rows of a day for a run, and let the run be silent since."""
        self.runs.start(Run(run_id, assessment_date=run_day, **task))
        made = [delivery(name, target_id=f"candidate-{name}") for name in names]
        requests = [RowRequest(one.key, day, one.url, one.body) for one in made]
        claims = self.ledger.claim(run_id, requests).won
        silence(self.runs, run_id, silent)
        return {claim.key.result_id: claim for claim in claims}

    def answer(self, claim, status):
        """Record the outcome of an attempt, and leave its row `sending`."""
        self.ledger.record_attempts([AttemptOutcome(claim, RowOutcome(Status(status), "CODE"))])


@pytest.fixture
def dead(warehouse, tables):
    return Dead(warehouse, tables)


def account(report):
    """Return the counts of a run, whose sum has to be the number of planned rows."""
    assert report.planned == report.counts.total()
    return report.counts


def test_at_its_start_a_run_settles_dead_runs_of_any_day(
    warehouse, tables, source_table, standin, dead
):
    """A refused run has settled the dead runs of all days before, and counts none."""
    dead.claim("long ago", "a", day=date(2025, 1, 1), run_day=date(2025, 1, 1))
    dead.claim("ended", "b", day=DAY_BEFORE, run_day=DAY_BEFORE, silent=0)
    dead.runs.finish("ended", {"planned": 1}, "the ledger was gone")
    fill(warehouse, source_table, [row("r1")])
    with pytest.raises(ConfigurationError, match="1 rows would be sent"):
        run_day(warehouse, tables, guard=RowLimit(0, "a test"))
    assert statuses(warehouse, tables) == {"unknown": 2}
    assert account(run_day(warehouse, tables)) == {"success": 1}


def test_a_silent_run_of_another_day_makes_nobody_wait(
    warehouse, tables, source_table, standin, dead, caplog
):
    """A perhaps living run of another day is left to the runs of the same day."""
    caplog.set_level("INFO")
    dead.claim("silent", "a", day=DAY_BEFORE, run_day=DAY_BEFORE, silent=30)
    fill(warehouse, source_table, [row("r1")])
    assert account(run_day(warehouse, tables)) == {"success": 1}
    assert by_result(warehouse, tables)["a"].status == "sending"
    assert "Waiting" not in caplog.text


@pytest.mark.parametrize(
    ("day", "its_runs_day"),
    [(DAY, DAY_BEFORE), (None, DAY), (DAY_BEFORE, DAY_BEFORE), (None, DAY_BEFORE)],
    ids=["its row", "its run", "looked back to", "its run looked back to"],
)
def test_a_silent_run_of_the_day_is_waited_for(
    warehouse, tables, source_table, standin, dead, day, its_runs_day
):
    """A run waits for silent runs of its days and of its look back, and counts their rows."""
    dead.claim("silent", "a", day=day, run_day=its_runs_day, silent=0)
    fill(warehouse, source_table, [row("r1")])
    report = run_day(warehouse, tables, lookback_days=int(its_runs_day != DAY), **SOON)
    assert account(report) == {"success": 1, "unknown": 1}
    assert report.settled == {"workday:one": {"unknown": 1}}
    assert by_result(warehouse, tables)["a"].status == "unknown"


def test_a_retry_counts_what_its_killed_try_left_in_doubt(
    warehouse, tables, source_table, standin, dead
):
    """Rows of the earlier try are counted, also if a run of another day has settled them."""
    claims = dead.claim("first", "a", "b", **TASK, try_number=1)
    dead.ledger.record([AttemptOutcome(claims["b"], RowOutcome(Status.UNKNOWN, "CODE"))])
    fill(warehouse, source_table, [row("r1"), row("a"), row("b")])
    other = run_day(warehouse, tables, day=DAY_BEFORE)
    assert statuses(warehouse, tables) == {"unknown": 2}
    assert account(other) == {}
    retry = Run("second", **TASK, try_number=2, assessment_date=DAY)
    report = run_day(warehouse, tables, run=retry)
    assert account(report) == {"success": 1, "unknown": 2}
    (of_run,) = [one for one in all_of(warehouse, tables.runs) if one.run_id == "second"]
    assert (of_run.planned, of_run.success, of_run.unknown) == (3, 1, 2)


def test_a_run_of_another_dag_run_does_not_count_them_again(
    warehouse, tables, source_table, standin, dead
):
    """Rows that were settled before are not counted by later dag runs: they settled nothing."""
    dead.claim("first", "a", **TASK)
    fill(warehouse, source_table, [row("r1")])
    assert account(run_day(warehouse, tables)) == {"success": 1, "unknown": 1}
    later = Run("later", **TASK | {"dag_run_id": "by hand"}, assessment_date=DAY)
    assert account(run_day(warehouse, tables, run=later)) == {}


@pytest.mark.parametrize(
    ("status", "counts"),
    [
        ("success", {"success": 2}),
        ("retryable", {"success": 2}),
        ("failed", {"success": 2}),  # this run makes another request of it
        ("unknown", {"success": 1, "unknown": 1}),
    ],
)
def test_a_row_that_its_attempt_settles_at_the_start_is_counted_once(
    warehouse, tables, source_table, standin, dead, status, counts
):
    """A proven status is counted, unless this run reads the row and counts it itself."""
    fill(warehouse, source_table, [row("r1"), row("a")])
    claims = dead.claim("first", "a")
    dead.answer(claims["a"], status)
    assert account(run_day(warehouse, tables)) == counts


@pytest.mark.parametrize("status", ["success", "retryable", "failed", "unknown"])
def test_a_row_that_its_attempt_settles_at_the_end_is_counted(
    warehouse, tables, source_table, standin, dead, status
):
    """The rows of a run are counted: silent at the start, dead at the end."""
    claims = dead.claim("first", "a", silent=0)
    dead.answer(claims["a"], status)
    fill(warehouse, source_table, [row("r1"), row("a")])
    report = run_day(warehouse, tables, **SOON)
    assert account(report) == Counter(["success", status])


def test_a_settled_row_that_is_sent_again_is_counted_once(
    warehouse, tables, source_table, standin, dead
):
    """With `redeliver`, a row that was in doubt has the outcome of its new attempt."""
    dead.claim("first", "a")
    fill(warehouse, source_table, [row("r1"), row("a")])
    report = run_day(warehouse, tables, redeliver=frozenset({"unknown"}))
    assert account(report) == {"success": 2}


def test_a_run_that_is_stopped_counts_what_it_settled(
    warehouse, tables, source_table, standin, dead
):
    """A run that Kombo stops in the middle has the rows of dead runs in its account."""
    dead.claim("first", "a")
    standin.add_rule({"kind": "answer", "status": 401, "code": "PLATFORM.AUTHENTICATION_INVALID"})
    fill(warehouse, source_table, [row("r1")])

    async def stopped():
        run = await make_run(warehouse, tables)()
        with pytest.raises(ConfigurationError, match="refuses this key"):
            await run.deliver()
        return run.report

    assert account(asyncio.run(stopped())) == {"retryable": 1, "unknown": 1}


def test_many_runs_may_settle_a_dead_run_at_once(warehouse, tables, source_table, standin, dead):
    """Runs of other days that start at the same moment settle each row, and none fails."""
    dead.claim("first", *(f"a{number}" for number in range(40)))
    days = [DAY + timedelta(days=number) for number in range(1, 7)]
    fill(warehouse, source_table, [row(f"r{day}", assessment_date=day) for day in days])
    start = Barrier(len(days))

    def deliver(day):
        start.wait()
        return run_day(warehouse, tables, day=day).counts

    with ThreadPoolExecutor(len(days)) as threads:
        assert list(threads.map(deliver, days)) == [{"success": 1}] * len(days)
    assert statuses(warehouse, tables) == {"unknown": 40, "success": 6}
