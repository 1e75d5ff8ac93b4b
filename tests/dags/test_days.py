"""The day of a run, in real Airflow: scheduler, dag processor, API server and commands.

One Airflow serves the module. It has the shipped dag, and two copies with another time zone, as a
user sets it. Each dag has a warehouse of its own, and each test has days of its own.
"""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack, contextmanager
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from pendulum import parse
from sqlalchemy import create_engine
from support.airflow_stage import Stage
from support.harness import KEY, ROOT, all_of, fill, make_source_table, row

from airflow_kombo.ledger.tables import Tables
from tools.demo.airflow import DAG, Airflow
from tools.kombo_standin import client

ZONES = {DAG: "UTC", "auckland": "Pacific/Auckland", "los_angeles": "America/Los_Angeles"}
YEAR = [date(2026, 1, 1) + timedelta(days=number) for number in range(600)]


def a_row_a_day(dag):
    return [
        row(str(day), assessment_date=day, candidate_id=str(day), integration_id=f"ats:{dag}")
        for day in YEAR
    ]


def write_dags(place):
    """Write the shipped dag, and a copy for each time zone of a user."""
    shipped = (ROOT / "dags" / f"{DAG}.py").read_text()
    (place / "dags").mkdir()
    (place / "include").symlink_to(ROOT / "include")
    for dag, zone in ZONES.items():
        changed = shipped.replace('"UTC"', f'"{zone}"')
        changed = changed.replace(f'dag_id="{DAG}"', f'dag_id="{dag}"')
        changed = changed.replace(
            "KomboResultLinkGroup(", f'KomboResultLinkGroup(warehouse_conn_id="{dag}", group_id='
        )
        (place / "dags" / f"{dag}.py").write_text(changed)


@contextmanager
def staged(place):
    with ExitStack() as stack:
        standin = stack.enter_context(client.running())
        write_dags(place)
        kombo = {"conn_type": "http", "host": standin.url, "password": KEY}
        settings = {
            "AIRFLOW_CONN_KOMBO_DEFAULT": json.dumps(kombo),
            "AIRFLOW__CORE__DAGS_FOLDER": str(place / "dags"),
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "True",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        }
        engines, tables = {}, {}
        for dag in ZONES:
            file = place / f"{dag}.db"
            engines[dag] = create_engine(f"sqlite:///{file}")
            stack.callback(engines[dag].dispose)
            tables[dag] = make_source_table(engines[dag])
            fill(engines[dag], tables[dag], a_row_a_day(dag))
            settings[f"AIRFLOW_CONN_{dag.upper()}"] = f"sqlite:///{file}"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        airflow = Airflow(place / "home", place / "airflow.log", settings, port)
        airflow.migrate()
        stage = Stage(airflow, standin, engines, tables)
        stack.callback(stage.close)
        process = stack.enter_context(airflow.standalone())
        airflow.wait_until_ready(process, lambda _: None)
        stage.log_in()
        for dag in ZONES:
            stage.unpause(dag)
        for dag in ZONES:
            stage.ended(dag, "scheduled")
        yield stage


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """Yield a running Airflow after the nightly run of each dag."""
    with staged(tmp_path_factory.mktemp("days")) as stage:
        yield stage


@pytest.mark.parametrize("dag", ZONES)
def test_the_nightly_run_delivers_yesterday_in_the_dag_s_time_zone(stage, dag):
    """The scheduled run, at 02:00 there, takes the day before there, and looks back 7 days."""
    (run,) = stage.runs(dag, "scheduled")
    night = parse(run["run_after"]).astimezone(ZoneInfo(ZONES[dag]))
    yesterday = night.date() - timedelta(days=1)
    assert (night.hour, run["partition_key"], run["state"]) == (2, str(yesterday), "success")
    ledger = {link.assessment_date for link in all_of(stage.engines[dag], Tables.named().links)}
    assert sorted(stage.delivered(dag)) == [yesterday - timedelta(days=n) for n in range(7, -1, -1)]
    assert ledger >= set(stage.delivered(dag))


@pytest.mark.parametrize(
    ("dag", "first", "last"),
    [
        (DAG, date(2026, 10, 24), date(2026, 10, 26)),
        ("auckland", date(2026, 9, 26), date(2026, 9, 28)),  # on the 27th clocks go forward
        ("los_angeles", date(2026, 10, 31), date(2026, 11, 2)),  # on the 1st they go back
    ],
)
def test_a_backfill_delivers_exactly_the_days_that_it_names(stage, dag, first, last):
    """`airflow backfill create` delivers from the first to the last day, several at once."""
    named = [first + timedelta(days=number) for number in range(3)]
    stage.standin.set_latency(default=(8, 8))
    with stage.delivers(dag) as made:
        assert stage.backfill(dag, first, last) == [str(day) for day in named]
    stage.standin.set_latency()
    assert made.days == named
    runs = [run for run in all_of(stage.engines[dag], Tables.named().runs) if run.success]
    runs = [run for run in runs if run.assessment_date in named]
    assert len(runs) == 3
    assert max(run.started_at for run in runs) < min(run.ended_at for run in runs)


def test_a_backfill_from_the_ui_delivers_the_days_of_its_form(stage):
    """The UI sends midnights of the user's time zone as moments in UTC."""
    zone = ZoneInfo(ZONES["auckland"])
    bounds = [datetime(2026, 8, day, tzinfo=zone).astimezone(timezone.utc) for day in (1, 2)]
    stage.free_for_a_backfill("auckland")
    with stage.delivers("auckland") as made:
        stage.call(
            "POST",
            "backfills",
            dag_id="auckland",
            from_date=bounds[0].isoformat(),
            to_date=bounds[1].isoformat(),
        )
        stage.ended("auckland", "backfill")
    assert made.days == [date(2026, 8, 1), date(2026, 8, 2)]


@pytest.mark.parametrize("dag", ZONES)
def test_a_manual_run_delivers_the_day_that_its_parameter_names(stage, dag):
    """A run with `assessment_date` in the trigger form delivers this day, and no other."""
    with stage.delivers(dag) as made:
        assert stage.trigger(dag, conf={"assessment_date": "2026-03-08"})["state"] == "success"
    assert made.days == [date(2026, 3, 8)]


@pytest.mark.parametrize(
    ("dag", "moment", "day"),
    [
        (DAG, "2026-04-07T13:30:00Z", date(2026, 4, 7)),
        ("auckland", "2026-04-07T13:30:00Z", date(2026, 4, 8)),
        ("los_angeles", "2026-04-07T03:30:00Z", date(2026, 4, 6)),
    ],
)
def test_a_manual_run_without_it_delivers_the_day_of_its_logical_date(stage, dag, moment, day):
    """The UI's form sets a moment as the logical date, and the dag's time zone has the day."""
    with stage.delivers(dag) as made:
        assert stage.trigger(dag, logical_date=moment)["state"] == "success"
    assert made.days == [day]


def test_a_manual_run_of_a_partition_delivers_that_day(stage):
    """A partition key names the day."""
    with stage.delivers("auckland") as made:
        run = stage.trigger("auckland", partition_key="2026-05-01")
    assert (run["state"], made.days) == ("success", [date(2026, 5, 1)])


def test_a_manual_run_that_names_no_day_at_all_is_refused(stage):
    """`airflow dags trigger` alone names no day: the task fails once, and names the parameter."""
    with stage.delivers(DAG) as made:
        run = stage.trigger(DAG)
    assert (run["state"], made.days) == ("failed", [])
    task = f"dags/{DAG}/dagRuns/{run['dag_run_id']}/taskInstances/deliver.plan"
    assert stage.call("GET", task)["try_number"] == 1
    assert "set the parameter assessment_date" in str(stage.call("GET", f"{task}/logs/1"))


@pytest.mark.parametrize("dag", ["auckland", "los_angeles"])
def test_dags_test_delivers_the_date_that_was_typed(stage, dag):
    """`airflow dags test … DATE` delivers the typed date, east and west of UTC."""
    with stage.paused(dag), stage.delivers(dag) as made:
        stage.airflow.run("dags", "test", dag, "2026-06-01")
    assert made.days == [date(2026, 6, 1)]


def test_clearing_an_old_run_sends_only_what_was_never_delivered(stage):
    """A cleared run delivers late rows, and posts no other row again."""
    day = date(2026, 7, 1)
    stage.backfill(DAG, day, day)
    (run,) = [run for run in stage.runs(DAG, "backfill") if run["partition_key"] == str(day)]
    stage.add(DAG, assessment_date=day, candidate_id="2027-12-31")
    with stage.delivers(DAG) as made:
        stage.call("POST", f"dags/{DAG}/dagRuns/{run['dag_run_id']}/clear", dry_run=False)
        stage.ended(DAG, "backfill")
    assert made.days == [date(2027, 12, 31)]
