"""The table of the README, between two marks, made from the results of the trials."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tools.matrix.cells import FOLDER, LOCKS, MISSING, PYTHONS, Cell

BEGIN: Final = "<!-- by make test-matrix -->"
END: Final = "<!-- end -->"
NOT_TRIED: Final = "not tried"
_SAVED: Final = FOLDER / "results.json"


def table_of(results: Mapping[str, str]) -> str:
    """Return the table.

    :param results: The text of each tried cell, by the cell's name.
    """
    lines = [["", *(f"Python {python}" for python in PYTHONS)], ["---"] * (len(PYTHONS) + 1)]
    for airflow in LOCKS:
        cells = [
            "none"
            if (airflow, python) in MISSING
            else results.get(f"{airflow}:{python}", NOT_TRIED)
            for python in PYTHONS
        ]
        lines.append([f"Airflow {Cell(airflow, PYTHONS[0]).exact}", *cells])
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)


def saved_results() -> dict[str, str]:
    """Return the texts of the cells that earlier commands tried."""
    if not _SAVED.exists():
        return {}
    saved: dict[str, str] = json.loads(_SAVED.read_text())
    return saved


def save_results(results: Mapping[str, str]) -> None:
    """Keep the texts of cells for the next command."""
    _SAVED.write_text(json.dumps(dict(results), indent=1, sort_keys=True))


def write_table(readme: Path, results: Mapping[str, str]) -> None:
    """Replace the table of a README."""
    before, rest = readme.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    text = f"{before}{BEGIN}\n{table_of(results)}\n{END}{after}"
    readme.write_text(text, encoding="utf-8")
