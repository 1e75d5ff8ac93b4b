"""A whole Airflow with dags, their warehouses and the stand-in, and what a test asks of them."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import date

import httpx
from support.harness import fill, row
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

ENDED = {"success", "failed"}


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
