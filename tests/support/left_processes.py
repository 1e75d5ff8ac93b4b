"""Plugin for pytest: processes that outlive a test session fail the session.

The session's first process marks its environment. All processes below it inherit the mark, also
daemons and the workers of pytest-xdist. The first process looks for the mark at the end.
"""

from __future__ import annotations

import os
import signal

import psutil
import pytest

MARK = "AIRFLOW_KOMBO_TEST_SESSION"
GRACE = float(os.environ.get("AIRFLOW_KOMBO_TEST_GRACE", "15"))  # seconds to end by itself
IS_FIRST = MARK not in os.environ
SESSION = os.environ.setdefault(MARK, f"{os.getpid()}-{os.urandom(8).hex()}")

if IS_FIRST:  # a SIGTERM, as of `timeout`, ends the tests as Ctrl-C does: with their teardown
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session):
    """Fail the session if one of its processes still runs after the teardown."""
    result = yield
    if IS_FIRST and (left := kill_left_processes()):
        lines = ["", "Processes that outlived the tests, and were killed:", *left]
        session.config.get_terminal_writer().line("\n  ".join(lines))
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
    return result


def kill_left_processes():
    """Kill the session's processes that do not end, and return a line about each."""
    _, left = psutil.wait_procs(_processes(), timeout=GRACE)
    lines = [_line(process) for process in left]
    for process in left:
        process.kill()
    psutil.wait_procs(left, timeout=GRACE)
    return lines


def _processes():
    ours = [one for one in psutil.process_iter() if _session_of(one) == SESSION]
    return [one for one in ours if one.pid != os.getpid()]


def _session_of(process):
    try:
        return process.environ().get(MARK)
    except (psutil.Error, OSError):  # the process has ended, or belongs to another user
        return None


def _line(process):
    try:
        return f"{process.pid} {' '.join(process.cmdline())}"
    except psutil.Error:
        return str(process.pid)
