"""Test sessions leave no process behind."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from support.left_processes import MARK

TESTS = Path(__file__).resolve().parents[1]
LEAVES_A_PROCESS = """
import subprocess


def test_it():
    command = ["sleep", "600"]
    print(subprocess.Popen(command, start_new_session=True).pid, file=open("pid", "w"))
"""


def is_running(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("workers", [0, 1])
def test_a_process_that_outlives_the_tests_fails_the_session(tmp_path, monkeypatch, workers):
    """A process in a session of its own is found, named and killed, with and without xdist."""
    (tmp_path / "test_it.py").write_text(LEAVES_A_PROCESS)
    monkeypatch.delenv(MARK)
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    monkeypatch.setenv("AIRFLOW_KOMBO_TEST_GRACE", "0.5")
    # pytest closes the folder of its temporary folders to other users. PostgreSQL's user needs the
    # one of this session.
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    command = [sys.executable, "-m", "pytest", "-p", "support.left_processes", "-n", str(workers)]
    done = subprocess.run(  # noqa: S603 - our own command
        command,
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    pid = int((tmp_path / "pid").read_text())
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    assert f"{pid} sleep 600" in done.stdout
    assert not is_running(pid)
