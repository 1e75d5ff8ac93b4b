"""The matrix of Airflow and Python: its cells, and the table of the README."""

from __future__ import annotations

import sys

import pytest
from support.harness import ROOT
from support.locks import pinned

from tools.matrix import __main__ as command
from tools.matrix import table
from tools.matrix.cells import LOCKS, PYTHONS, all_cells, interpreter_of
from tools.matrix.table import BEGIN, END, NOT_TRIED, table_of, write_table
from tools.matrix.trial import Trial


def test_a_cell_without_a_result_is_not_tried():
    """The table has each locked Airflow, and says where nothing was tried."""
    lines = table_of({"3.2:3.11"}).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| Airflow 3.3.2",
        "| Airflow 3.2.2",
        "| Airflow 3.1.8",
    ]
    tried = [cell.strip(" |") for cell in lines[3].split(" | ")[1:]]
    assert tried == [NOT_TRIED, "delivers", NOT_TRIED, NOT_TRIED, NOT_TRIED]
    assert lines[4].endswith("| none |")


def test_the_table_takes_the_place_of_the_former_one(tmp_path):
    """The rest of the README stays, however often the table is written."""
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    for _ in range(2):
        write_table(readme, {})
    text = readme.read_text()
    assert text == f"before\n{BEGIN}\n{table_of({})}\n{END}\nafter\n"


def test_a_cell_that_fails_costs_the_others_nothing(tmp_path, monkeypatch):
    """The other results are kept, and the table is written once the failed cell has delivered."""
    first, second, *_ = all_cells()
    monkeypatch.setattr(table, "_SAVED", tmp_path / "results.json")
    readme = tmp_path / "README.md"
    readme.write_text(f"{BEGIN}\nold\n{END}\n")
    monkeypatch.setattr(command, "ROOT", tmp_path)
    delivered = Trial(tests=1, statuses={"success": 1}, seconds=1.0)

    failure = command._outcome({str(first): delivered}, [second], is_whole=True)
    assert str(second) in failure
    assert "old" in readme.read_text()

    assert command._outcome({str(second): delivered}, [], is_whole=False) == 0
    assert readme.read_text() == f"{BEGIN}\n{table_of({str(first), str(second)})}\n{END}\n"


def test_the_readme_has_the_table():
    """The README's table has the versions of the locks."""
    written = (ROOT / "README.md").read_text().split(BEGIN)[1].split(END)[0].split("\n")
    for ours, theirs in zip(table_of({}).splitlines(), filter(None, written), strict=True):
        assert ours.split(" | ")[0] == theirs.split(" | ")[0]


def test_this_python_is_found():
    """A version's interpreter is of the version; a missing one is no error."""
    assert interpreter_of(f"{sys.version_info[0]}.{sys.version_info[1]}")
    assert interpreter_of("3.99") is None


@pytest.mark.parametrize("airflow", LOCKS)
def test_a_lock_has_its_airflow_for_each_python(airflow):
    """The lock of a version pins the version for each Python."""
    pins = [one for one, _ in pinned(LOCKS[airflow]) if one.name == "apache-airflow"]
    assert [str(pin.specifier).startswith(f"=={airflow}.") for pin in pins] == [True]
    assert pins[0].marker is None
    assert {cell.python for cell in all_cells() if cell.airflow == airflow} <= set(PYTHONS)
