"""Start of a delivering task in an interpreter of its own, up to the first POST.

`start` runs this module twice: `names` prints the modules of Airflow that the dag file and the task
import, and the other call imports these first. So what follows is this project's own.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys
from datetime import date
from pathlib import Path
from time import monotonic, process_time
from typing import Any, Final

_ROOT: Final = Path(__file__).resolve().parents[2]
_DAG: Final = _ROOT / "dags" / "kombo_result_links.py"
_RUNNER: Final = "airflow.sdk.execution_time.task_runner"
"""The module that Airflow imports to run any task."""


def main() -> None:
    """Print the names of Airflow's modules, or the times of one start as JSON."""
    if sys.argv[1] == "names":
        _import_all()
        _answer([name for name in sys.modules if name.split(".")[0] == "airflow"])
        return
    times: dict[str, float] = {}
    began = process_time()

    def mark(name: str) -> None:
        nonlocal began
        times[name] = process_time() - began
        began = process_time()

    for name in json.loads(sys.stdin.read()):
        importlib.import_module(name)
    mark("airflow")
    runpy.run_path(str(_DAG))
    mark("dag_file")
    _import_the_task(mark)
    _deliver_until_the_first_post(date.fromisoformat(sys.argv[2]), times, mark)


def _import_the_task(mark: Any) -> None:
    from airflow_kombo.operators.garbage_collection import (  # noqa: PLC0415 - as in `main`
        collecting_rarely,
    )

    with collecting_rarely():  # as the operator does
        import airflow_kombo.operators.run_task  # noqa: PLC0415, F401 - this is what is measured

        mark("task")
        import pandas  # noqa: PLC0415, F401, ICN001

        mark("pandas")


def _answer(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _import_all() -> None:
    importlib.import_module(_RUNNER)
    runpy.run_path(str(_DAG))
    importlib.import_module("airflow_kombo.operators.run_task")
    importlib.import_module("airflow.providers.postgres.hooks.postgres")


def _deliver_until_the_first_post(day: date, times: dict[str, float], mark: Any) -> None:
    from airflow_kombo.kombo_api.client import KomboClient  # noqa: PLC0415 - as in `main`
    from tools.bench.clients import ours  # noqa: PLC0415

    mark("bench")
    asked = monotonic()

    def first_post(*_: object) -> None:
        mark("delivery")
        times["seconds"] = monotonic() - asked
        _answer(times)
        os._exit(0)

    KomboClient.send = first_post  # type: ignore[assignment, method-assign]
    ours(day, None)


if __name__ == "__main__":
    main()
