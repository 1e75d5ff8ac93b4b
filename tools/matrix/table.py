"""The table of the README, between two marks, made from the results of the trials."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from tools.matrix.cells import FOLDER, LOCKS, MISSING, PYTHONS, Cell

BEGIN: Final = "<!-- by make test-matrix -->"
END: Final = "<!-- end -->"
DELIVERS: Final = "delivers"
NOT_TRIED: Final = "not tried"
_SAVED: Final = FOLDER / "results.json"


def table_of(tried: Collection[str]) -> str:
    """Return the table.

    :param tried: The names of the cells that delivered.
    """
    lines = [["", *(f"Python {python}" for python in PYTHONS)], ["---"] * (len(PYTHONS) + 1)]
    for airflow in LOCKS:
        cells = [
            "none" if (airflow, python) in MISSING else _text(f"{airflow}:{python}", tried)
            for python in PYTHONS
        ]
        lines.append([f"Airflow {Cell(airflow, PYTHONS[0]).exact}", *cells])
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)


def _text(cell: str, tried: Collection[str]) -> str:
    return DELIVERS if cell in tried else NOT_TRIED


def saved_results() -> dict[str, dict[str, int]]:
    """Return the cells tried by earlier commands, with their rows by status."""
    if not _SAVED.exists():
        return {}
    saved: dict[str, dict[str, int]] = json.loads(_SAVED.read_text())
    return saved


def save_results(results: Mapping[str, Mapping[str, int]]) -> None:
    """Keep the results of cells for the next command."""
    _SAVED.write_text(json.dumps(dict(results), indent=1, sort_keys=True))


def write_table(readme: Path, tried: Collection[str]) -> None:
    """Replace the table of a README."""
    before, rest = readme.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    text = f"{before}{BEGIN}\n{table_of(tried)}\n{END}{after}"
    readme.write_text(text, encoding="utf-8")
