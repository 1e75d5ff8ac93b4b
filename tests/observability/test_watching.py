"""Signals of a run in real Airflow: asset events, notifiers, metrics.

One Airflow serves the module. It has the shipped dag and the dags of docs/monitoring.md.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from contextlib import ExitStack, contextmanager
from datetime import date, datetime, timedelta, timezone

import pytest
from sqlalchemy import create_engine
from support.airflow_stage import Stage as _Stage
from support.harness import KEY, ROOT, fill, make_source_table, row
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from tools.demo.airflow import DAG, Airflow
from tools.kombo_standin import client

ALERTS, CONSUMER, UPSTREAM = "published_results", "report_links", "load_results"
TRIGGERED = "triggered"
PLUGIN = """
from pathlib import Path
from airflow.sdk import BaseNotifier

class SlackNotifier(BaseNotifier):
    template_fields = ("text",)

    def __init__(self, *, text):
        super().__init__()
        self.text = text

    def notify(self, context):
        place = Path({place!r}, context["run_id"].replace("/", "_"))
        place.write_text(self.text)
"""
# The last night began at 02:00, for the day before: until then it is not the night of today.
LAST_NIGHT = datetime.now(timezone.utc) - timedelta(hours=2)
YESTERDAY = LAST_NIGHT.date() - timedelta(days=1)
BAD = [date(2026, 2, 20), date(2026, 5, 1)]
"""Days with a refused row, which is more than the dag allows."""
GOOD, LOADED = date(2026, 4, 1), date(2026, 6, 15)
IN_SHARDS, SHARDED = date(2026, 7, 1), ["ats:s1", "ats:s2", "ats:s3"]
NO_KEY = {"kind": "answer", "status": 401}
DAYS = [YESTERDAY, *BAD, GOOD, LOADED, *(date(2026, 2, number) for number in range(1, 4))]


class Stage(_Stage):
    """Airflow with the dags, and with the metrics and messages of the runs."""

    metrics: list[str]
    place = None

    @retry(
        wait=wait_fixed(0.5), stop=stop_after_delay(120), retry=retry_if_exception_type(ValueError)
    )
    def waiter_ran(self, day):
        """Return the run triggered by the asset event of a day, after the run has ended."""
        for run in self.runs(CONSUMER, "asset_triggered"):
            if run["partition_key"] == str(day) and run["state"] == "success":
                return run
        raise ValueError(self.runs(CONSUMER, "asset_triggered"))

    @retry(wait=wait_fixed(0.2), stop=stop_after_delay(60), retry=retry_if_exception_type(OSError))
    def notified(self, run):
        """Return the message of a notifier about a run."""
        return (self.place / "messages" / run["dag_run_id"].replace("/", "_")).read_text()


@contextmanager
def statsd(metrics):
    """Collect metrics as a StatsD server does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))

        def listen():
            while data := receiver.recv(65_536):
                metrics.extend(data.decode().splitlines())

        listener = threading.Thread(target=listen)
        listener.start()
        yield receiver.getsockname()[1]
        receiver.sendto(b"", receiver.getsockname())
        listener.join()


def write_dags(place):
    """Write the shipped dag, the same dag triggered by an asset, and the dags of the docs."""
    document = (ROOT / "docs" / "monitoring.md").read_text()
    alerts, waiter, schedule, upstream = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
    shipped = (ROOT / "dags" / f"{DAG}.py").read_text()
    by_asset = re.search(r"schedule=(.+)\)\n", schedule).group(1)
    changes = {
        "NightlyTimetable(HOUR, TIMEZONE)": by_asset,
        "import DAG, Asset\n": "import DAG, Asset, PartitionedAssetTimetable\n",
        f'dag_id="{DAG}"': f'dag_id="{TRIGGERED}"',
        'Asset("kombo_result_links")': 'Asset("from_triggered")',
    }
    assert all(code in shipped for code in changes)
    triggered = shipped
    for code, changed in changes.items():
        triggered = triggered.replace(code, changed)
    for folder in ("dags", "messages"):
        (place / folder).mkdir()
    (place / "include").symlink_to(ROOT / "include")
    (place / "dags" / "file_notifier.py").write_text(PLUGIN.format(place=str(place / "messages")))
    for name, code in {
        DAG: shipped,
        TRIGGERED: triggered,
        ALERTS: alerts.replace("airflow.providers.slack.notifications.slack", "file_notifier"),
        CONSUMER: waiter,
        UPSTREAM: upstream,
    }.items():
        (place / "dags" / f"{name}.py").write_text(code)


@contextmanager
def staged(place):
    metrics = []
    with ExitStack() as stack:
        standin = stack.enter_context(client.running())
        port = stack.enter_context(statsd(metrics))
        write_dags(place)
        warehouse = f"sqlite:///{place / 'warehouse.db'}"
        engine = create_engine(warehouse)
        stack.callback(engine.dispose)
        source = make_source_table(engine)
        fill(
            engine,
            source,
            [
                row(
                    f"{day}-{n}",
                    assessment_date=day,
                    integration_id="ats:1",
                    candidate_id=f"{day}-{n}",
                )
                for day in DAYS
                for n in range(3)
            ],
        )
        fill(
            engine,
            source,
            [
                row(f"s{n}", assessment_date=IN_SHARDS, integration_id=SHARDED[n % 3])
                for n in range(6)
            ],
        )
        refused = {"kind": "answer", "status": 400, "code": "ATS.JOB_CLOSED"}
        for day in BAD:
            standin.add_rule(refused, url=f"https://results.example/{day}-0")
        settings = {
            "AIRFLOW_CONN_KOMBO_DEFAULT": json.dumps(
                {"conn_type": "http", "host": standin.url, "password": KEY}
            ),
            "AIRFLOW_CONN_WAREHOUSE_DEFAULT": warehouse,
            "AIRFLOW__CORE__DAGS_FOLDER": str(place / "dags"),
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "True",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(port),
            "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
            "AIRFLOW__METRICS__METRICS_ALLOW_LIST": "kombo.result_links",
        }
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        airflow = Airflow(place / "home", place / "airflow.log", settings, port)
        airflow.migrate()
        stage = Stage(airflow, standin, {}, {})
        stage.metrics, stage.place = metrics, place
        stack.callback(stage.close)
        process = stack.enter_context(airflow.standalone())
        airflow.wait_until_ready(process, lambda _: None)
        stage.log_in()
        for dag in (CONSUMER, ALERTS, UPSTREAM, TRIGGERED, DAG):
            stage.unpause(dag)
        yield stage


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """Run an Airflow with the dags."""
    with staged(tmp_path_factory.mktemp("watch")) as stage:
        yield stage


def test_the_nightly_run_triggers_dags_that_wait_for_its_day(stage):
    """A successful nightly run has an asset event with the day as partition and with counts."""
    stage.waiter_ran(YESTERDAY)
    counts = stage.events(DAG)[str(YESTERDAY)]
    assert (counts["planned"], counts["success"], counts["failed"]) == (3, 3, 0)


def test_a_run_by_hand_and_a_backfill_have_events_of_their_days(stage):
    """The requested day is the event's partition, also if the run has no partition."""
    assert stage.trigger(DAG, conf={"assessment_date": "2026-02-01"})["partition_key"] is None
    assert stage.backfill(DAG, date(2026, 2, 2), date(2026, 2, 2)) == ["2026-02-02"]
    stage.waiter_ran("2026-02-01")
    stage.waiter_ran("2026-02-02")


@pytest.mark.parametrize(
    "only",
    [
        {"dry_run": True},
        {"limit": 1},
        {"result_ids": ["2026-02-03-0"]},
        {"not_before": "2026-02-04"},
    ],
)
def test_a_run_for_a_part_of_the_day_has_no_event(stage, only):
    """A dry run and a run for some rows succeed without an asset event."""
    run = stage.trigger(DAG, conf={"assessment_date": "2026-02-03", **only})
    assert run["state"] == "success"
    assert "2026-02-03" not in stage.events(DAG)


def test_a_failed_run_has_no_event(stage):
    """A run with too many refused rows has no asset event."""
    assert stage.trigger(DAG, conf={"assessment_date": str(BAD[0])})["state"] == "failed"
    assert str(BAD[0]) not in stage.events(DAG)


def test_the_dag_can_be_triggered_by_an_asset(stage):
    """An event of an upstream asset starts a run for the day of its partition."""
    stage.trigger(UPSTREAM, conf={"day": str(LOADED)}, partition_key="any")
    (run,) = stage.ended(TRIGGERED, "asset_triggered")
    assert (run["state"], run["partition_key"]) == ("success", str(LOADED))
    assert stage.events(TRIGGERED)[str(LOADED)]["success"] == 3


@pytest.mark.parametrize(
    ("day", "state", "text"),
    [
        (GOOD, "success", "3 of 3 links"),
        (
            BAD[1],
            "failed",
            "1 refused: 1 of 3 rows are failed, and at most 5% may be. All rows were tried; see ",
        ),
    ],
)
def test_a_notifier_gets_the_counts(stage, day, state, text):
    """A notifier's template has the counts, for a successful task and for a failed one."""
    run = stage.trigger(ALERTS, logical_date=f"{day}T00:00:00Z")
    assert run["state"] == state
    assert stage.notified(run).startswith(text)


def test_metrics_come_from_the_tasks_process(stage):
    """With Airflow's own settings, metrics reach StatsD, with the integration as a tag."""
    stage.waiter_ran(YESTERDAY)
    tags = f"dag_id={DAG},task_id=deliver.shard,integration=ats_1"
    assert f"airflow.kombo.result_links.rows.success,{tags}:3|c" in stage.metrics
    assert any(f"airflow.kombo.result_links.post,{tags}:" in line for line in stage.metrics)
    assert "2026-02" not in "".join(stage.metrics)


def test_a_day_in_shards_has_one_event_when_all_of_it_is_out(stage):
    """A failed shard makes the day red. Cleared with the account, the shard runs alone."""
    stage.standin.add_rule(NO_KEY, times=1, integration_id=SHARDED[1])
    run = stage.trigger(DAG, conf={"assessment_date": str(IN_SHARDS), "shards": 3})
    assert stage.tasks(run) == {
        "deliver.plan": ("success", 1),
        "deliver.shard 0": ("success", 1),
        "deliver.shard 1": ("failed", 1),
        "deliver.shard 2": ("success", 1),
        "deliver.account": ("failed", 1),
    }
    assert str(IN_SHARDS) not in stage.events(DAG)
    assert stage.clear(run, ["deliver.shard", 1], "deliver.account") == "success"
    tasks = stage.tasks(run)
    assert (tasks["deliver.shard 0"], tasks["deliver.shard 1"]) == (("success", 1), ("success", 2))
    stage.waiter_ran(IN_SHARDS)
    counts = stage.events(DAG)[str(IN_SHARDS)]
    assert (counts["planned"], counts["success"], counts["unknown"]) == (6, 6, 0)
