"""The installation before the first `make demo`: progress, and sentences for errors."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from support.harness import ROOT

INSTALL = ROOT / "tools" / "install.py"
WITHOUT = """
import runpy, sys
sys.modules[sys.argv[1]] = None
sys.argv = ["install.py", sys.argv[2]]
runpy.run_path({install!r}, run_name="__main__")
"""


def run(*arguments, cwd):
    return subprocess.run(  # noqa: S603 - our own command
        [sys.executable, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False
    )


def locked(name):
    """Return the lines of the lock for one package, with its hashes."""
    text = (ROOT / "requirements.txt").read_text()
    return re.search(rf"^{name}==.*(?:\n    --hash.*)+\n", text, re.MULTILINE)[0]


def test_the_packages_of_a_lock_are_installed_with_progress(tmp_path):
    """Each lock is installed into a new venv, and the output names pip's steps."""
    lock = tmp_path / "requirements.txt"
    lock.write_text(locked("tenacity"))
    done = run(INSTALL, lock, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 packages are here; they are unpacked now" in done.stdout
    assert list((tmp_path / ".venv").glob("lib/*/site-packages/tenacity"))


def test_a_package_with_another_hash_is_not_installed(tmp_path):
    """Another file than the locked one is refused, and nothing is installed."""
    lock = tmp_path / "requirements.txt"
    lock.write_text(re.sub("sha256:[0-9a-f]+", f"sha256:{'0' * 64}", locked("tenacity")))
    done = run(INSTALL, lock, cwd=tmp_path)
    assert done.returncode == 1
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert f"pip could not install {lock}" in done.stderr
    assert not list((tmp_path / ".venv").glob("lib/*/site-packages/tenacity"))


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_python_without_venv_gets_a_sentence(tmp_path, module):
    """Debian's Python without python3-venv is told the package."""
    done = run("-c", WITHOUT.format(install=str(INSTALL)), module, "lock", cwd=tmp_path)
    assert done.returncode == 1
    assert "apt install python3-venv" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [[INSTALL, "lock"], ["-m", "tools.demo"]])
def test_a_folder_that_cannot_be_written_gets_a_sentence(command, monkeypatch):
    """In a read-only folder, both commands say so; /sys takes no folder from anybody."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    done = run(*command, cwd="/sys")
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
