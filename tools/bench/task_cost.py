"""Seconds that Airflow takes for the two more tasks of a day in shards.

`python -m tools.bench.task_cost` starts a whole Airflow (`airflow standalone`: scheduler, local
executor, SQLite), and runs a day without rows: in one task, and as plan, one shard and account.
Both dags take turns, so that other programs slow both down. The times are those of the dag runs,
from start to end, as Airflow has them.
"""

from __future__ import annotations

import json
import socket
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any, Final

import httpx
from rich.console import Console
from sqlalchemy import create_engine

from tools.bench.process import FOLDER, ROOT
from tools.bench.warehouse import create_results
from tools.demo.airflow import Airflow, AirflowError

_DAGS: Final = ("one_task", "three_tasks")
_RUNS: Final = 7
_PATIENCE: Final = 240.0
_LOOK_SECONDS: Final = 0.5
_NOBODY: Final = "http://127.0.0.1:9/v1"
"""An address for Kombo: a day without rows calls nobody."""


def main() -> None:
    """Measure, and print each dag's times and the difference of their medians."""
    parser = ArgumentParser(prog="python -m tools.bench.task_cost", description=main.__doc__)
    parser.add_argument("--runs", type=int, default=_RUNS, help="of each dag (%(default)s)")
    runs = parser.parse_args().runs
    with _airflow() as airflow, _api(airflow) as api:
        for dag in _DAGS:
            _run(api, dag)  # the first run of a dag also writes its tables, and is not counted
        times: dict[str, list[float]] = {dag: [] for dag in _DAGS}
        for _ in range(runs):
            for dag in _DAGS:
                times[dag].append(_run(api, dag))
    for dag, seconds in times.items():
        each = ", ".join(f"{one:.1f}" for one in sorted(seconds))
        _say(f"{dag}: {median(seconds):.1f} s ({each})")
    one, three = (median(times[dag]) for dag in _DAGS)
    _say(f"two more tasks: {three - one:.1f} s")


@contextmanager
def _airflow() -> Iterator[Airflow]:
    """Run an Airflow with both dags and an empty warehouse."""
    FOLDER.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=FOLDER, prefix="airflow-", ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        engine = create_engine(f"sqlite:///{place / 'warehouse.db'}")
        create_results(engine)
        engine.dispose()
        airflow = Airflow(place / "home", FOLDER / "airflow.log", _settings(place), _free_port())
        airflow.migrate()
        with airflow.standalone() as process:
            airflow.wait_until_ready(process, _say)
            yield airflow


def _settings(place: Path) -> dict[str, str]:
    return {
        "AIRFLOW_CONN_KOMBO_DEFAULT": json.dumps(
            {"conn_type": "http", "host": _NOBODY, "password": "ks_dev_bench"}
        ),
        "AIRFLOW_CONN_WAREHOUSE_DEFAULT": f"sqlite:///{place / 'warehouse.db'}",
        "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).parent / "dags"),
        "KOMBO_BENCH_MAPPING": str(ROOT / "include" / "result_link_mapping.yaml"),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _api(airflow: Airflow) -> Iterator[httpx.Client]:
    """Log in to Airflow's API, and wait until both dags are known."""
    with httpx.Client(base_url=airflow.url, timeout=60, trust_env=False) as api:
        login = {"username": "admin", "password": airflow.password()}
        answer = api.post("/auth/token", json=login).raise_for_status()
        api.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        latest = monotonic() + _PATIENCE
        while any(api.get(f"/api/v2/dags/{dag}").is_error for dag in _DAGS):
            _wait(latest, "the dags are not known")
        yield api


def _run(api: httpx.Client, dag: str) -> float:
    """Trigger a dag, and return the seconds of the dag run.

    :raises AirflowError: if the dag run fails, or does not end.
    """
    path = f"/api/v2/dags/{dag}/dagRuns"
    made = api.post(path, json={"logical_date": None}).raise_for_status().json()
    latest = monotonic() + _PATIENCE
    while (run := _look(api, f"{path}/{made['dag_run_id']}"))["state"] != "success":
        if run["state"] == "failed":
            raise AirflowError(f"A run of {dag} failed: {FOLDER / 'airflow.log'} says why.")
        _wait(latest, f"a run of {dag} does not end")
    began, ended = (datetime.fromisoformat(run[name]) for name in ("start_date", "end_date"))
    return (ended - began).total_seconds()


def _look(api: httpx.Client, path: str) -> dict[str, Any]:
    run: dict[str, Any] = api.get(path).raise_for_status().json()
    return run


def _say(line: str) -> None:
    Console(highlight=False).print(line)


def _wait(latest: float, what: str) -> None:
    if monotonic() > latest:
        raise AirflowError(f"Airflow is too slow: {what}.")
    sleep(_LOOK_SECONDS)


if __name__ == "__main__":
    main()
