"""Which day a run delivers, in real Airflow: scheduler, dag processor, API server and commands.

One Airflow serves the module. Beside the dag as it is shipped it has two whose time zone was set,
as a user sets it, each with a warehouse of its own. Each test has days of its own.
"""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack, contextmanager
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import httpx
import pytest
from harness import KEY, ROOT, all_of, fill, make_source_table, row
from pendulum import parse
from sqlalchemy import create_engine
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from airflow_kombo.tables import Tables
from demo.airflow import DAG, Airflow
from kombo_standin import client

ZONES = {DAG: "UTC", "auckland": "Pacific/Auckland", "los_angeles": "America/Los_Angeles"}
ENDED = {"success", "failed"}
YEAR = [date(2026, 1, 1) + timedelta(days=number) for number in range(600)]


class Stage:
    """Airflow with the dags, and what they read from and write to."""

    def __init__(self, airflow, standin, engines, tables):
        self.airflow = airflow
        self.standin = standin
        self.engines = engines
        self._tables = tables
        self._http = httpx.Client(base_url=airflow.url, timeout=60, trust_env=False)
        self.close = self._http.close

    def log_in(self):
        login = {"username": "admin", "password": self.airflow.password()}
        answer = self._http.post("/auth/token", json=login).raise_for_status()
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def add(self, dag, **changes):
        """Write one more row into a dag's warehouse."""
        made = row(changes["candidate_id"], integration_id=f"ats:{dag}", **changes)
        fill(self.engines[dag], self._tables[dag], [made])

    def call(self, method, path, **body):
        answer = self._http.request(method, f"/api/v2/{path}", json=body or None)
        return answer.raise_for_status().json()

    @retry(
        wait=wait_fixed(0.5),
        stop=stop_after_delay(120),
        retry=retry_if_exception_type(httpx.HTTPError),
    )
    def unpause(self, dag):
        """Switch a dag's schedule on, as soon as it was found."""
        self.call("PATCH", f"dags/{dag}", is_paused=False)

    @contextmanager
    def paused(self, dag):
        """Keep the scheduler from running what somebody else runs: it would take the task first."""
        self.call("PATCH", f"dags/{dag}", is_paused=True)
        try:
            yield
        finally:
            self.unpause(dag)

    def runs(self, dag, run_type):
        """Give a dag's runs of a type."""
        found = self.call("GET", f"dags/{dag}/dagRuns?run_type={run_type}&limit=100")
        return found["dag_runs"]

    @retry(
        wait=wait_fixed(0.5), stop=stop_after_delay(240), retry=retry_if_exception_type(ValueError)
    )
    def ended(self, dag, run_type, number=1):
        """Give a dag's runs of a type when so many of them have ended, and none goes on."""
        runs = self.runs(dag, run_type)
        if len(runs) < number or {run["state"] for run in runs} - ENDED:
            raise ValueError([(run["dag_run_id"], run["state"]) for run in runs])
        return runs

    def trigger(self, dag, **body):
        """Trigger a run, as the form does, and give it when it has ended."""
        made = self.call("POST", f"dags/{dag}/dagRuns", **{"logical_date": None} | body)
        runs = self.ended(dag, "manual")
        return next(run for run in runs if run["dag_run_id"] == made["dag_run_id"])

    def backfill(self, dag, first, last):
        """Run the command for a backfill, and give all the dag's backfilled days when they are."""
        days = ["--from-date", str(first), "--to-date", str(last)]
        self.airflow.run("backfill", "create", "--dag-id", dag, *days)
        return sorted(run["partition_key"] for run in self.ended(dag, "backfill"))

    @retry(
        wait=wait_fixed(0.5), stop=stop_after_delay(120), retry=retry_if_exception_type(ValueError)
    )
    def free_for_a_backfill(self, dag):
        """Return when Airflow has closed a dag's backfills: it takes one at a time."""
        backfills = self.call("GET", f"backfills?dag_id={dag}")["backfills"]
        if running := [one["id"] for one in backfills if one["completed_at"] is None]:
            raise ValueError(running)

    def delivered(self, dag):
        """Give the days whose links the stand-in has, with how often each."""
        links = [link for link in self.standin.links() if link["integration_id"] == f"ats:{dag}"]
        return {date.fromisoformat(link["target_id"]): link["count"] for link in links}

    def delivers(self, dag):
        """Watch which days' links are made."""
        return Watch(self, dag)


class Watch:
    """The days whose links a block has had made; each once."""

    def __init__(self, stage, dag):
        self.stage, self.dag, self.days = stage, dag, None

    def __enter__(self):
        self._before = self.stage.delivered(self.dag)
        return self

    def __exit__(self, *error):
        now = self.stage.delivered(self.dag)
        assert set(now.values()) <= {1}
        self.days = sorted(now.keys() - self._before.keys())


def a_row_a_day(dag):
    return [
        row(str(day), assessment_date=day, candidate_id=str(day), integration_id=f"ats:{dag}")
        for day in YEAR
    ]


def write_dags(place):
    """Write the dag as it is shipped, and as a user has it who set its time zone."""
    shipped = (ROOT / "dags" / f"{DAG}.py").read_text()
    (place / "dags").mkdir()
    (place / "include").symlink_to(ROOT / "include")
    for dag, zone in ZONES.items():
        changed = shipped.replace('"UTC"', f'"{zone}"')
        changed = changed.replace(f'dag_id="{DAG}"', f'dag_id="{dag}"')
        changed = changed.replace(
            'task_id="deliver",', f'task_id="deliver", warehouse_conn_id="{dag}",'
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
    """Give a running Airflow whose dags have made their nightly run."""
    with staged(tmp_path_factory.mktemp("days")) as stage:
        yield stage


@pytest.mark.parametrize("dag", ZONES)
def test_the_nightly_run_delivers_yesterday_in_the_dag_s_time_zone(stage, dag):
    """The scheduler's own run, at 02:00 there, has the day before there, and looks back from it."""
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
    """The UI sends midnights of the zone that its user chose as moments in UTC."""
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
    """`assessment_date` in the trigger form is that day, and no other."""
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
    """The UI's form sets a moment as the logical date: its day there, in the dag's time zone."""
    with stage.delivers(dag) as made:
        assert stage.trigger(dag, logical_date=moment)["state"] == "success"
    assert made.days == [day]


def test_a_manual_run_of_a_partition_delivers_that_day(stage):
    """A partition key names the day."""
    with stage.delivers("auckland") as made:
        run = stage.trigger("auckland", partition_key="2026-05-01")
    assert (run["state"], made.days) == ("success", [date(2026, 5, 1)])


def test_a_manual_run_that_names_no_day_at_all_is_refused(stage):
    """`airflow dags trigger` alone says nothing of a day: the task fails once, and says so."""
    with stage.delivers(DAG) as made:
        run = stage.trigger(DAG)
    assert (run["state"], made.days) == ("failed", [])
    task = f"dags/{DAG}/dagRuns/{run['dag_run_id']}/taskInstances/deliver"
    assert stage.call("GET", task)["try_number"] == 1
    assert "give the parameter assessment_date" in str(stage.call("GET", f"{task}/logs/1"))


@pytest.mark.parametrize("dag", ["auckland", "los_angeles"])
def test_dags_test_delivers_the_date_that_was_typed(stage, dag):
    """`airflow dags test … DATE` is that date, east and west of UTC."""
    with stage.paused(dag), stage.delivers(dag) as made:
        stage.airflow.run("dags", "test", dag, "2026-06-01")
    assert made.days == [date(2026, 6, 1)]


def test_clearing_an_old_run_sends_only_what_was_never_delivered(stage):
    """A cleared run delivers the rows that came after it, and posts no other again."""
    day = date(2026, 7, 1)
    stage.backfill(DAG, day, day)
    (run,) = [run for run in stage.runs(DAG, "backfill") if run["partition_key"] == str(day)]
    stage.add(DAG, assessment_date=day, candidate_id="2027-12-31")
    with stage.delivers(DAG) as made:
        stage.call("POST", f"dags/{DAG}/dagRuns/{run['dag_run_id']}/clear", dry_run=False)
        stage.ended(DAG, "backfill")
    assert made.days == [date(2027, 12, 31)]
