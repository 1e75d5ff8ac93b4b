"""Complete Airflow with dags, warehouses and the stand-in, and the calls of tests."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import date

import httpx
from support.harness import fill, row
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

ENDED = {"success", "failed"}


class Stage:
    """Airflow with dags, warehouses and the stand-in."""

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
        """Unpause a dag as soon as Airflow has found the dag."""
        self.call("PATCH", f"dags/{dag}", is_paused=False)

    @contextmanager
    def paused(self, dag):
        """Pause a dag while a test runs its task, so that the scheduler does not take the task."""
        self.call("PATCH", f"dags/{dag}", is_paused=True)
        try:
            yield
        finally:
            self.unpause(dag)

    def runs(self, dag, run_type):
        """Return a dag's runs of a type."""
        found = self.call("GET", f"dags/{dag}/dagRuns?run_type={run_type}&limit=100")
        return found["dag_runs"]

    @retry(
        wait=wait_fixed(0.5), stop=stop_after_delay(240), retry=retry_if_exception_type(ValueError)
    )
    def ended(self, dag, run_type, number=1):
        """Wait until enough runs of a type have ended and none is active; return them."""
        runs = self.runs(dag, run_type)
        if len(runs) < number or {run["state"] for run in runs} - ENDED:
            raise ValueError([(run["dag_run_id"], run["state"]) for run in runs])
        return runs

    def trigger(self, dag, **body):
        """Trigger a run, as the form does, and return the ended run."""
        made = self.call("POST", f"dags/{dag}/dagRuns", **{"logical_date": None} | body)
        runs = self.ended(dag, "manual")
        return next(run for run in runs if run["dag_run_id"] == made["dag_run_id"])

    def tasks(self, run):
        """Return state and number of tries of each task of a run; a mapped one has its index."""
        path = f"dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances"
        return {
            task["task_id"]
            if task["map_index"] < 0
            else f"{task['task_id']} {task['map_index']}": (
                task["state"],
                task["try_number"],
            )
            for task in self.call("GET", path)["task_instances"]
        }

    def clear(self, run, *tasks):
        """Clear tasks of a run, as a person does, and return the run's state at its end."""
        self.call(
            "POST",
            f"dags/{run['dag_id']}/clearTaskInstances",
            dry_run=False,
            dag_run_id=run["dag_run_id"],
            task_ids=list(tasks),
            only_failed=False,
        )
        runs = self.ended(run["dag_id"], "manual")
        return next(one["state"] for one in runs if one["dag_run_id"] == run["dag_run_id"])

    def backfill(self, dag, first, last):
        """Run the command for a backfill, and return all backfilled days when they have ended."""
        days = ["--from-date", str(first), "--to-date", str(last)]
        self.airflow.run("backfill", "create", "--dag-id", dag, *days)
        return sorted(run["partition_key"] for run in self.ended(dag, "backfill"))

    @retry(
        wait=wait_fixed(0.5), stop=stop_after_delay(120), retry=retry_if_exception_type(ValueError)
    )
    def free_for_a_backfill(self, dag):
        """Wait until Airflow has closed a dag's backfills: only one at a time is allowed."""
        backfills = self.call("GET", f"backfills?dag_id={dag}")["backfills"]
        if running := [one["id"] for one in backfills if one["completed_at"] is None]:
            raise ValueError(running)

    def events(self, dag):
        """Return the counts of a dag's asset events, by day."""
        found = self.call("GET", f"assets/events?source_dag_id={dag}&limit=100")["asset_events"]
        return {event["partition_key"]: event["extra"] for event in found}

    def delivered(self, dag):
        """Return the days of the links in the stand-in, with the number of writes."""
        links = [link for link in self.standin.links() if link["integration_id"] == f"ats:{dag}"]
        return {date.fromisoformat(link["target_id"]): link["count"] for link in links}

    def delivers(self, dag):
        """Watch the days of the links that a block makes."""
        return Watch(self, dag)


class Watch:
    """Days of the links that a block made, each once."""

    def __init__(self, stage, dag):
        self.stage, self.dag, self.days = stage, dag, None

    def __enter__(self):
        self._before = self.stage.delivered(self.dag)
        return self

    def __exit__(self, *error):
        now = self.stage.delivered(self.dag)
        assert set(now.values()) <= {1}
        self.days = sorted(now.keys() - self._before.keys())
