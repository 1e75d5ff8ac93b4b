"""The time from the start of a delivering task to its first POST."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

from tools.bench.measurement import Bench
from tools.bench.process import FOLDER, ROOT
from tools.bench.stage import BenchError
from tools.bench.targets import Finding, at_most, in_all_rounds
from tools.bench.warehouse import DAY

_OURS: Final = ("dag_file", "task", "delivery")
_ROUNDS: Final = 5
_ROWS: Final = 100
"""Few rows: reading and mapping a day before its first POST is in *size*."""
_PATIENCE: Final = 120.0


def start(bench: Bench) -> list[Finding]:
    """Measure the CPU time of a task's start, in interpreters of their own."""
    names = _probed(bench, "names")
    rounds = [_one_start(bench, names) for _ in range(bench.scale.rows(_ROUNDS, 1))]

    def middle(name: str) -> float:
        return median(one[name] for one in rounds)

    ours = [sum(one[name] for name in _OURS) for one in rounds]
    parts = (
        f"dag file {middle('dag_file'):.2f}, imports {middle('task'):.2f},"
        f" delivery {middle('delivery'):.2f}"
    )
    beside = f"beside Airflow's own {middle('airflow'):.2f} and pandas' {middle('pandas'):.2f}"
    return [
        at_most(
            "From a task's start to the first POST: our seconds of CPU",
            median(ours),
            0.4,
            _ROWS,
            note=f"{parts}; {beside}; {in_all_rounds(ours)}",
        ),
        at_most(
            "From the first line of the delivery to the first POST: seconds",
            middle("seconds"),
            1.0,
            _ROWS,
            note=in_all_rounds([one["seconds"] for one in rounds]),
        ),
    ]


def _one_start(bench: Bench, names: Sequence[str]) -> Mapping[str, float]:
    """Measure a start on a new day: a start ends with its claims, so it leaves rows `sending`."""
    bench.stage.fill(_ROWS, 10)
    times: Mapping[str, float] = _probed(bench, "start", DAY.isoformat(), given=names)
    return times


def _probed(bench: Bench, *arguments: str, given: Sequence[str] = ()) -> Any:
    """Run the probe in an interpreter of its own, and return what it prints last."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
    # The first call compiles all modules, as a worker's first task does.
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(FOLDER / "bytecode")}
    done = subprocess.run(  # noqa: S603 - this interpreter and a module of ours
        [sys.executable, "-m", "tools.bench.start_probe", *arguments],
        env={**os.environ, **bench.stage.connections(), **compiled, "PYTHONPATH": path},
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )
    answer = done.stdout.splitlines()[-1:]
    if done.returncode or not answer or not answer[0].startswith(("[", "{")):
        raise BenchError(f"The start of a task failed: {(done.stdout + done.stderr)[-1000:]}")
    return json.loads(answer[0])
