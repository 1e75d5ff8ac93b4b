"""The trial of a cell: imports, core tests, and a delivery to the stand-in for Kombo."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from time import monotonic
from typing import Final

from tools.matrix.cells import Cell, CellError

_IMPORTS: Final = """
import pathlib, runpy
from importlib import import_module
from airflow_kombo.airflow_compat import has_partitions
for path in sorted(pathlib.Path("plugins").rglob("*.py")):
    if "airflow_kombo" in path.parts and (has_partitions() or path.stem != "by_partition"):
        parts = path.relative_to("plugins").with_suffix("").parts
        import_module(".".join(part for part in parts if part != "__init__"))
runpy.run_path("plugins/airflow_kombo_plugin.py")
for path in sorted(pathlib.Path("dags").glob("*.py")):
    runpy.run_path(str(path))
"""

CORE_TESTS: Final = (
    "tests/test_airflow_compat.py",
    "tests/operators",
    "tests/rows/test_frames.py",
    "tests/rows/test_mapped_rows.py",
    "tests/rows/test_row_mapping.py",
    "tests/timetables/test_by_logical_date.py",
)
"""Tests of all that touches Airflow or pandas, without those that need another server."""
_LEFT_OUT: Final = "tests/operators/test_two_databases.py"  # DuckDB's provider

_STATUSES: Final = "SELECT status, count(*) FROM kombo_result_links GROUP BY 1 ORDER BY 1"


@dataclass(frozen=True)
class Trial:
    """The result of a cell's trial.

    :param tests: Number of core tests that passed.
    :param statuses: Rows of the delivered day by status.
    :param seconds: Duration of the trial.
    """

    tests: int
    statuses: dict[str, int]
    seconds: float


def try_cell(cell: Cell, say: Callable[[str], None]) -> Trial:
    """Try a cell with an existing venv.

    :param say: Called with a line for each step.
    :raises CellError: if a step fails.
    """
    began = monotonic()
    cell.python_of("-c", _IMPORTS)
    say("imports: all modules, the plugin and the dags")
    tests = _core_tests(cell)
    say(f"core tests: {tests} passed")
    statuses = _delivery(cell)
    say(f"delivery: {sum(statuses.values())} rows, {statuses}; a second run posted nothing")
    return Trial(tests, statuses, monotonic() - began)


def _core_tests(cell: Cell) -> int:
    options = ["-m", "quick", "--hypothesis-profile=check", "-p", "no:cacheprovider", "-q", "-n2"]
    output = cell.python_of("-m", "pytest", *options, f"--ignore={_LEFT_OUT}", *CORE_TESTS)
    passed = re.search(r"(\d+) passed", output)
    if passed is None:
        raise CellError(f"No core test ran:\n{output[-2000:]}")
    return int(passed[1])


def _delivery(cell: Cell) -> dict[str, int]:
    """Deliver the demo's day twice, and return the rows by status."""
    place = cell.home / "delivery"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    cell.python_of("-m", "tools.demo", cwd=place)
    again = cell.python_of("-m", "tools.demo", cwd=place)
    if "This run posted nothing" not in again:
        raise CellError(f"The second run posted:\n{again[-2000:]}")
    with closing(sqlite3.connect(place / ".demo" / "warehouse.db")) as warehouse:
        return dict(warehouse.execute(_STATUSES).fetchall())
