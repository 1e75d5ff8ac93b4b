"""A client's process, and what a run took in it: peak memory and CPU time are a process's.

It is forked from one that has imported Airflow, which would take seconds each time; nothing else is
shared between runs.
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
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / ".bench"
"""Everything that a run of the bench leaves is in here; PostgreSQL's files while it lasts."""
LOG: Final = FOLDER / "clients.log"
_PROCESSES: Final = multiprocessing.get_context("forkserver")
_PEAK_UNIT: Final = 1 if sys.platform == "darwin" else 1024
"""Bytes in which the system counts `ru_maxrss`."""


@dataclass(frozen=True)
class Took:
    """What a run took.

    :param seconds: Of the run itself, without what the process did to get there: importing Airflow,
        and with other clients than ours making the requests.
    :param cpu: CPU seconds of the run itself, in user and system mode.
    :param cpu_before: CPU seconds of what the process did to get there.
    :param peak_mb: The most memory that the process ever held, in MB.
    :param counts: Our run's account: `planned`, `success` and so on.
    """

    seconds: float
    cpu: float
    cpu_before: float
    peak_mb: float
    counts: Mapping[str, int]


def measured(run: Callable[[], Mapping[str, int]]) -> Took:
    """Run something, and give what it took."""
    began, before = monotonic(), _cpu()
    counts = run()
    seconds, cpu = monotonic() - began, _cpu() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _PEAK_UNIT / 1e6
    return Took(seconds, cpu, before, peak, counts)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def prepare() -> None:
    """Have Airflow imported, once, with a home of its own; to be called before any `client`."""
    FOLDER.mkdir(exist_ok=True)
    LOG.write_bytes(b"")
    os.environ |= {
        "AIRFLOW_HOME": str(FOLDER / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": str(ROOT),  # where the processes' parent finds what it imports beforehand
    }
    _PROCESSES.set_forkserver_preload(["tools.bench.clients"])
    nobody = _PROCESSES.Process(
        target=int, daemon=True
    )  # who waits for it finds everything imported
    nobody.start()
    nobody.join()


@contextmanager
def client(
    name: str, day: date, rows: int | None, connections: Mapping[str, str]
) -> Iterator[tuple[ForkServerProcess, Connection]]:
    """Start a client, and give its process and the pipe that its `Took` comes through."""
    ours, theirs = _PROCESSES.Pipe(duplex=False)
    told = (theirs, name, day, rows, connections)
    process = _PROCESSES.Process(target=_run, args=told, daemon=True)
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
    """Be the process of one run; what it logs goes to a file."""
    with LOG.open("ab") as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
    os.environ.update(connections)
    from tools.bench.clients import CLIENTS  # noqa: PLC0415 - Airflow: not in the process that watches

    pipe.send(CLIENTS[name](day, rows))
