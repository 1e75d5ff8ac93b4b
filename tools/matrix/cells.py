"""Cells of the matrix: a version of Airflow on a version of Python, in a venv of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / ".matrix"
_HERE: Final = Path(__file__).resolve().parent

LOCKS: Final = {
    "3.3": ROOT / "requirements-dev.txt",
    "3.2": _HERE / "airflow-3.2.txt",
    "3.1": _HERE / "airflow-3.1.txt",
}
"""The packages of each Airflow, pinned for all versions of Python; newest first."""

PYTHONS: Final = ("3.10", "3.11", "3.12", "3.13", "3.14")
MISSING: Final = {("3.1", "3.14")}
"""Cells that do not exist: this Airflow refuses this Python."""


class CellError(Exception):
    """A step of a cell failed; the message has the end of the output."""


@dataclass(frozen=True)
class Cell:
    """One version of Airflow on one version of Python.

    :param airflow: Two numbers, such as `3.1`.
    :param python: Two numbers, such as `3.11`.
    """

    airflow: str
    python: str

    def __str__(self) -> str:
        return f"{self.airflow}:{self.python}"

    @property
    def exact(self) -> str:
        """Return the exact version of Airflow, from the lock."""
        pin = re.search(r"^apache-airflow==(\S+)", self.lock.read_text(), re.MULTILINE)
        if pin is None:
            raise CellError(f"{self.lock} does not pin apache-airflow.")
        return pin[1]

    @property
    def lock(self) -> Path:
        """Return the file with the pinned packages."""
        return LOCKS[self.airflow]

    @property
    def home(self) -> Path:
        """Return the folder of the cell."""
        return FOLDER / f"{self.airflow}-{self.python}"

    @property
    def executable(self) -> Path:
        """Return the Python of the cell's venv."""
        return self.home / "venv" / "bin" / "python"

    def install(self, uv: str, interpreter: str) -> None:
        """Make the venv, or bring an existing one up to the lock."""
        self.home.mkdir(parents=True, exist_ok=True)
        if not self.executable.exists():
            run([uv, "venv", "--quiet", "--python", interpreter, str(self.home / "venv")])
        # `sync` leaves in the venv what the lock has, and nothing else.
        run([uv, "pip", "sync", "--quiet", "--python", str(self.executable), str(self.lock)])

    def python_of(self, *arguments: str, cwd: Path = ROOT) -> str:
        """Run the cell's Python over this checkout, and return the output.

        :raises CellError: if the command fails.
        """
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")
        }
        environment |= {
            "AIRFLOW_HOME": str(self.home / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("", "plugins", "tests")),
            # Bytecode of another Python beside ours would be written again and again.
            "PYTHONPYCACHEPREFIX": str(self.home / "bytecode"),
        }
        return run([str(self.executable), *arguments], environment=environment, cwd=cwd)


def all_cells() -> Iterator[Cell]:
    """Yield the existing cells, newest Airflow first."""
    for airflow in LOCKS:
        yield from (Cell(airflow, one) for one in PYTHONS if (airflow, one) not in MISSING)


def interpreter_of(python: str) -> str | None:
    """Return the path of a Python on this machine, from the path or from pyenv."""
    if found := shutil.which(f"python{python}"):
        return found if _is(found, python) else _of_pyenv(python)
    return _of_pyenv(python)


def _of_pyenv(python: str) -> str | None:
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = sorted(root.glob(f"versions/{python}.*/bin/python3"))
    return str(found[-1]) if found else None


def _is(executable: str, python: str) -> bool:
    """Return True if an executable runs; pyenv's stand-in for another version does not."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run(  # noqa: S603 - an interpreter of this machine
        [executable, "-c", code], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() == python


def run(command: list[str], *, environment: dict[str, str] | None = None, cwd: Path = ROOT) -> str:
    """Run a command, and return the output.

    :raises CellError: if the command fails.
    """
    done = subprocess.run(  # noqa: S603 - our own command
        command,
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CellError(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}")
    return done.stdout
