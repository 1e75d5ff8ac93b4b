"""Process of one client's run, in which peak memory and CPU time are measured.

The process is forked from a server process with Airflow imported, because the import takes seconds.
Runs share nothing else.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / ".bench"
"""The folder of all files of the bench. PostgreSQL's files are here while the bench runs."""
LOG: Final = FOLDER / "clients.log"
_PROCESSES: Final = multiprocessing.get_context("forkserver")
_PEAK_UNIT: Final = 1 if sys.platform == "darwin" else 1024
"""The number of bytes in one unit of `ru_maxrss`."""


@dataclass(frozen=True)
class Took:
    """Time and memory of one run.

    :param seconds: Time of the run, without the preparation: the import of Airflow, and for other
        clients than ours the building of requests.
    :param cpu: CPU seconds of the run, in user and system mode.
    :param cpu_before: CPU seconds of the preparation.
    :param peak_mb: The highest memory of the process, in MB.
    :param counts: The counts of our run: `planned`, `success` and so on.
    :param result: The result for another task of the day, in the types of JSON.
    """

    seconds: float
    cpu: float
    cpu_before: float
    peak_mb: float
    counts: Mapping[str, int]
    result: Any = None


def measured(run: Callable[[], Mapping[str, int]]) -> Took:
    """Run a function, and return the time and the memory."""
    began, before = monotonic(), _cpu()
    counts = run()
    seconds, cpu = monotonic() - began, _cpu() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _PEAK_UNIT / 1e6
    return Took(seconds, cpu, before, peak, counts)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def prepare() -> None:
    """Import Airflow once, with a home of its own, before the first `client`."""
    FOLDER.mkdir(exist_ok=True)
    LOG.write_bytes(b"")
    os.environ |= {
        "AIRFLOW_HOME": str(FOLDER / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": str(ROOT),  # for the imports of the server process
    }
    _PROCESSES.set_forkserver_preload(["tools.bench.clients"])
    nobody = _PROCESSES.Process(target=int, daemon=True)  # after this process, all imports are done
    nobody.start()
    nobody.join()


@contextmanager
def client(
    name: str, day: date, rows: int | None, connections: Mapping[str, str]
) -> Iterator[tuple[ForkServerProcess, Connection]]:
    """Start a client; yield the process, and the pipe with the coming `Took`."""
    ours, theirs = _PROCESSES.Pipe(duplex=False)
    arguments = (theirs, name, day, rows, connections)
    process = _PROCESSES.Process(target=_run, args=arguments, daemon=True)
    process.start()
    theirs.close()
    try:
        yield process, ours
    finally:
        process.kill()
        process.join()
        ours.close()


def _run(
    pipe: Connection, name: str, day: date, rows: int | None, connections: Mapping[str, str]
) -> None:
    """Run the client in the new process, with all output in the log file."""
    with LOG.open("ab") as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
    os.environ.update(connections)
    from tools.bench.clients import CLIENTS  # noqa: PLC0415 - Airflow: not in the process that watches

    pipe.send(CLIENTS[name](day, rows))
