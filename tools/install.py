"""Install a lock into .venv, with progress: `python3 tools/install.py requirements.txt`.

This runs before anything is installed: the standard library has to do.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

VENV = Path(".venv")
_PIP = Path(__file__).with_name("pip.txt")
"""The lock of pip itself. The one that Python brings may be too old for hashes beside extras."""
_STEP = 20
"""Packages between two lines of progress, where the output is no terminal."""


def main() -> None:
    """Make the venv where it is missing, and install the command line's lock."""
    lock = Path(sys.argv[1])
    if not (VENV / "bin" / "python").exists():
        _make_venv()
    renewed = [*_command(), "--quiet", "--requirement", str(_PIP)]
    if subprocess.run(renewed, check=False).returncode:  # noqa: S603
        sys.exit(f"pip could not install {_PIP}: its message is above.")
    total = sum("==" in line for line in lock.read_text(encoding="utf-8").splitlines())
    sys.stdout.write(f"Installing {lock} into {VENV} (about a minute the first time)\n")
    if _install(lock, total):
        sys.exit(f"pip could not install {lock}: its message is above.")


def _make_venv() -> None:
    if find_spec("venv") is None or find_spec("ensurepip") is None:
        sys.exit(
            "This Python has no module venv. On Debian and Ubuntu: apt install python3-venv."
            " Or name another Python: make PYTHON=python3.11"
        )
    try:
        VENV.mkdir(exist_ok=True)
    except OSError as error:
        sys.exit(
            f"The folder {Path.cwd()} cannot be written ({error.strerror}): copy the project to a"
            " folder of your own."
        )
    subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)  # noqa: S603


def _command() -> list[str]:
    options = ["--disable-pip-version-check", "--progress-bar", "off"]
    return [str(VENV / "bin" / "python"), "-m", "pip", "install", *options]


def _install(lock: Path, total: int) -> int:
    """Run pip, show its progress, and return its exit status.

    :param total: Lines of the lock; some are for other versions of Python.
    """
    collected = 0
    command = [*_command(), "--requirement", str(lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as pip:  # noqa: S603
        for line in pip.stdout or ():
            if line.startswith("Collecting "):
                collected += 1
                _show(f"{collected} of about {total} packages", is_step=collected % _STEP == 0)
            elif line.startswith("Installing collected"):
                _show(f"{collected} packages are here; they are unpacked now", is_step=True)
    sys.stdout.write("\n" if sys.stdout.isatty() else "")
    return pip.returncode


def _show(line: str, *, is_step: bool) -> None:
    """Write a line of progress in place, or below the last one where no terminal reads."""
    if sys.stdout.isatty():
        sys.stdout.write(f"\r  {line:60}")
    elif is_step:
        sys.stdout.write(f"  {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
