"""Command of `make test-matrix`: try the cells, and write the table of the README."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from tools.matrix.cells import ROOT, Cell, CellError, all_cells, interpreter_of
from tools.matrix.table import save_results, saved_results, write_table
from tools.matrix.trial import Trial, try_cell


def main() -> None:
    """Try the named cells, or all, and write the table with the results of earlier cells."""
    parser = argparse.ArgumentParser("python -m tools.matrix")
    parser.add_argument("cells", nargs="*", help="such as 3.1:3.11; all by default")
    named = parser.parse_args().cells
    chosen = [cell for cell in all_cells() if not named or str(cell) in named]
    if len(chosen) < len(named):
        parser.error(f"the cells are {' '.join(map(str, all_cells()))}")
    results, failed = dict[str, Trial](), list[Cell]()
    for cell in chosen:
        try:
            if trial := _tried(cell):
                results[str(cell)] = trial
        except CellError as error:
            _say(f"  FAILED: {error}")
            failed.append(cell)
    sys.exit(_outcome(results, failed, is_whole=not named))


def _tried(cell: Cell) -> Trial | None:
    """Install and try a cell; without its Python on this machine, return None."""
    _say(f"Airflow {cell.exact} on Python {cell.python}")
    interpreter = interpreter_of(cell.python)
    if interpreter is None:
        _say("  not tried: this machine has no such Python")
        return None
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    cell.install(uv, interpreter)
    trial = try_cell(cell, lambda line: _say(f"  {line}"))
    _say(f"  {trial.seconds:.0f} s")
    return trial


def _outcome(results: dict[str, Trial], failed: list[Cell], *, is_whole: bool) -> str | int:
    """Keep the results, and return the exit status, or the reason of a failure."""
    known = {} if is_whole else saved_results()
    known |= {name: trial.statuses for name, trial in results.items()}
    if failed:
        names = {str(cell) for cell in failed}
        save_results({name: counts for name, counts in known.items() if name not in names})
        return (
            f"These cells failed: {' '.join(sorted(names))}. The others are kept: try only these"
            " again, with CELLS."
        )
    if len({str(statuses) for statuses in known.values()}) > 1:
        return f"The cells delivered different numbers of rows: {known}"
    save_results(known)
    write_table(ROOT / "README.md", known)
    _say("The table of README.md is up to date.")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
