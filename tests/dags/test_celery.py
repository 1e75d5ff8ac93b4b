"""A day and a backfill on the Celery executor, with two workers of which one dies.

Redis, PostgreSQL and Airflow are real, and run as docker-compose.yaml deploys them. Two times are
shorter than in a deployment, so that the tests take minutes: `task_instance_heartbeat_timeout` and
the dag's `retry_delay` are 15 s instead of 300 s.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timezone

import pytest
from sqlalchemy import MetaData, Table, create_engine, select
from support.airflow_stage import Stage as _Stage
from support.celery_cluster import WORKERS, celery_cluster
from support.debian_servers import ABSENT, IS_INSTALLED
from support.harness import ROOT, all_of, by_result, fill, row
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from airflow_kombo.ledger.tables import Tables
from tools.demo.airflow import DAG
from tools.kombo_standin import client

pytestmark = pytest.mark.skipif(not IS_INSTALLED, reason=ABSENT)

SOON = 15  # seconds
SHARD, ACCOUNT = "deliver.shard", "deliver.account"
INTEGRATIONS, ROWS = 20, 20
CONCURRENCY = 4  # tasks of a worker: all shards of the backfill run at once
DAY = date(2026, 3, 2)
BACKFILL = [date(2026, 3, number) for number in range(3, 7)]
TABLES = Tables.named()
IN_THE_MIDDLE = 300
"""Requests of the backfill before a worker dies, of 1,600."""


def rows_of(day):
    return [
        row(
            f"{day}-{integration}-{number}",
            assessment_date=day,
            completed_at=datetime(2026, 3, 1, tzinfo=timezone.utc),
            integration_id=f"ats:{integration}",
        )
        for integration in range(INTEGRATIONS)
        for number in range(ROWS)
    ]


def write_dag(place):
    """Write the shipped dag with a shorter pause before another try."""
    shipped = (ROOT / "dags" / f"{DAG}.py").read_text()
    changed = shipped.replace("timedelta(minutes=5)", f"timedelta(seconds={SOON})")
    assert changed != shipped
    (place / "dags").mkdir()
    (place / "include").symlink_to(ROOT / "include")
    (place / "dags" / f"{DAG}.py").write_text(changed)


class Stage(_Stage):
    """Airflow with two workers, the stand-in, and the ledger on PostgreSQL."""

    @property
    def engine(self):
        return self.engines[DAG]

    @retry(
        wait=wait_fixed(0.2), stop=stop_after_delay(90), retry=retry_if_exception_type(ValueError)
    )
    def in_the_middle(self, posts):
        """Wait until the stand-in has seen enough posts, and all backfilled days are on the way."""
        sending = {link.assessment_date for link in self.rows_with("sending")}
        seen = self.standin.stats()["received"] - posts
        if seen < IN_THE_MIDDLE or sending < set(BACKFILL):
            raise ValueError(seen, sending)

    def rows_with(self, status):
        links = TABLES.links
        with self.engine.connect() as connection:
            return connection.execute(select(links).where(links.c.status == status)).all()

    def shards(self, run):
        """Return the task instances of a dag run's shards."""
        path = f"dags/{DAG}/dagRuns/{run['dag_run_id']}/taskInstances?limit=100"
        return [one for one in self.call("GET", path)["task_instances"] if one["task_id"] == SHARD]

    def counts(self, run):
        """Return the counts of a dag run, from the XCom of its account."""
        task = f"dags/{DAG}/dagRuns/{run['dag_run_id']}/taskInstances/{ACCOUNT}"
        return self.call("GET", f"{task}/xcomEntries/return_value")["value"]

    def check(self, day):
        """Compare all rows of a day with the stand-in's record, and return their statuses."""
        made = Counter({link["url"]: link["count"] for link in self.standin.links()})
        links = by_result(self.engine, TABLES)
        statuses = {}
        for one in rows_of(day):
            name, times = one["result_id"], made[one["result_url"]]
            statuses[name] = links[name].status if name in links else None
            found = (statuses[name], times)
            assert found in {("success", 1), ("unknown", 0), ("unknown", 1)}, (name, *found)
        return statuses


@contextmanager
def staged(place):
    with ExitStack() as stack:
        standin = stack.enter_context(client.running())
        write_dag(place)
        settings = {"AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(SOON)}
        cluster = stack.enter_context(
            celery_cluster(place, standin.url, settings=settings, concurrency=CONCURRENCY)
        )
        engine = create_engine(cluster.warehouse)
        stack.callback(engine.dispose)
        table = Table("assessment_results", MetaData(), autoload_with=engine)
        fill(engine, table, [one for day in [DAY, *BACKFILL] for one in rows_of(day)])
        stage = Stage(cluster, standin, {DAG: engine}, {DAG: table})
        stack.callback(stage.close)
        stack.enter_context(cluster.running())
        stage.log_in()
        stage.unpause(DAG)
        yield stage


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """Yield a running Airflow with two workers."""
    with staged(tmp_path_factory.mktemp("celery")) as stage:
        yield stage


@dataclass
class Death:
    """Death of a worker, and the end of the backfill after it.

    :param tasks: Task instances that the worker ran.
    :param in_flight: Results that were `sending` for these tasks.
    :param runs: The backfill's runs at the end.
    """

    worker: str
    tasks: set[tuple[str, int]]
    in_flight: set[str]
    runs: list[dict]


@pytest.fixture(scope="module")
def death(stage):
    """Backfill four days at once, kill a worker in the middle, and wait for the end."""
    stage.standin.set_limits(concurrency=4)
    stage.standin.set_latency((3, 5))  # long enough for all tasks to start
    posts = stage.standin.stats()["received"]
    stage.call(
        "POST",
        "backfills",
        dag_id=DAG,
        from_date=f"{BACKFILL[0]}T00:00:00Z",
        to_date=f"{BACKFILL[-1]}T00:00:00Z",
        dag_run_conf={"shards": 2},
    )
    stage.in_the_middle(posts)
    running = [
        one
        for run in stage.runs(DAG, "backfill")
        for one in stage.shards(run)
        if one["state"] == "running"
    ]
    ((worker, _),) = Counter(one["hostname"] for one in running).most_common(1)
    stage.airflow.kill(worker)
    tasks = {(one["dag_run_id"], one["map_index"]) for one in running if one["hostname"] == worker}
    dead = {
        run.run_id
        for run in all_of(stage.engine, TABLES.runs)
        if (run.dag_run_id, run.map_index) in tasks
    }
    in_flight = {link.result_id for link in stage.rows_with("sending") if link.run_id in dead}
    stage.standin.set_latency()
    return Death(worker, tasks, in_flight, stage.ended(DAG, "backfill", len(BACKFILL)))


def test_both_workers_deliver_a_day_in_shards(stage):
    """A day in 4 shards is delivered as the stand-in has it, and its account counts all rows."""
    run = stage.trigger(DAG, conf={"assessment_date": str(DAY), "shards": 4})
    assert run["state"] == "success"
    assert [one["state"] for one in stage.shards(run)] == 4 * ["success"]
    assert {one["hostname"] for one in stage.shards(run)} == set(WORKERS)
    assert Counter(stage.check(DAY).values()) == {"success": INTEGRATIONS * ROWS}
    assert stage.counts(run)["success"] == INTEGRATIONS * ROWS


def test_no_row_is_lost_and_none_is_sent_twice_if_a_worker_dies(stage, death):
    """After a kill in a backfill of four days, only rows in flight of that worker are unknown."""
    statuses = {name: status for day in BACKFILL for name, status in stage.check(day).items()}
    unknown = {name for name, status in statuses.items() if status == "unknown"}
    assert unknown
    assert unknown <= death.in_flight


def test_another_worker_tries_the_dead_worker_s_tasks_again(stage, death):
    """Airflow tries again what the dead worker ran, and nothing else."""
    (other,) = set(WORKERS) - {death.worker}
    tasks = [one for run in death.runs for one in stage.shards(run)]
    again = {(one["dag_run_id"], one["map_index"]) for one in tasks if one["try_number"] > 1}
    assert again == death.tasks
    assert {one["hostname"] for one in tasks if one["try_number"] > 1} == {other}
    assert {run["state"] for run in death.runs} == {"success"}


def test_the_rows_in_doubt_are_counted(stage, death):
    """The XCom and the asset event of each day count the rows in doubt."""
    events = stage.events(DAG)
    for run in death.runs:
        day = run["partition_key"]
        unknown = Counter(stage.check(date.fromisoformat(day)).values())["unknown"]
        assert stage.counts(run)["unknown"] == unknown
        assert (events[day]["unknown"], events[day]["unknown_of_day"]) == (unknown, unknown)
