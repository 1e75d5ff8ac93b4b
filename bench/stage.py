"""The parts of a measurement together: warehouse, server, client, and who used the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

import psutil

from bench import server, warehouse
from bench.server import Counts, Orders, Server
from bench.warehouse import DAY, Warehouse

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = ROOT / ".bench"
"""Everything that a run of the bench leaves is in here; PostgreSQL's files while it lasts."""
LOG: Final = FOLDER / "clients.log"
_KEY: Final = "ks_dev_bench"
_LOOK_SECONDS: Final = 0.2
_PATIENCE: Final = 60.0


class BenchError(Exception):
    """A run did not do what was to be measured, so there is no figure."""


@dataclass(frozen=True)
class Run:
    """A client's run, from all sides; CPU in seconds.

    :param rows: Links that the server took.
    :param seconds: Of the run itself, without starting Python and importing Airflow.
    :param cpu: The client's for the run itself.
    :param others: What everything else on the machine used meanwhile.
    :param machine: What the machine had: its cores' time.
    """

    client: str
    rows: int
    seconds: float
    cpu: float
    peak_mb: float
    server_cpu: float
    postgres_cpu: float
    others: float
    machine: float
    server: Counts

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds

    @property
    def busy(self) -> float:
        """The share of the machine that other programs used meanwhile."""
        return max(0.0, self.others / self.machine)

    @property
    def refused(self) -> float:
        """The share of 429s among the answers."""
        return self.server.total("refused") / max(1, self.server.total("posts"))


@dataclass(frozen=True)
class Stage:
    """What runs as long as the bench does."""

    warehouse: Warehouse
    server: Server

    def fill(self, rows: int, integrations: int) -> None:
        """Have a day of so many rows, of which none was ever delivered."""
        self.warehouse.fill(rows, integrations)

    def run(
        self,
        client: str,
        orders: Orders,
        *,
        day: date = DAY,
        rows: int | None,
        enough: Callable[[Counts], bool] | None = None,
    ) -> Run:
        """Let a client post a day.

        :param rows: How many it must post, each once: what posts others is no measurement.
        :param enough: Ends the run early, by a SIGTERM, when the server has seen what it asks for.
        :raises BenchError: if the client fails, or what the server saw is not what was to be sent.
        """
        self.server.obey(orders)
        before, began = self._cpu(), monotonic()
        took = self._took(client, day, rows, enough)
        used = {name: seconds - before[name] for name, seconds in self._cpu().items()}
        counts = self.server.counts()
        links = counts.total("links")
        if counts.total("invalid") or counts.total("duplicates"):
            raise BenchError(f"{client}: the server saw invalid requests or duplicates: {counts}")
        if rows is not None and {links, took["counts"]["success"]} != {rows}:
            account = took["counts"]
            raise BenchError(f"{client}: not {rows} links were made, but {links}; {account}")
        return Run(
            client=client,
            rows=links,
            seconds=took["seconds"],
            cpu=took["cpu"],
            peak_mb=took["peak_mb"],
            server_cpu=used["server"],
            postgres_cpu=used["postgres"],
            others=used["all"]
            - used["server"]
            - used["postgres"]
            - took["cpu"]
            - took["cpu_before"],
            machine=(monotonic() - began) * (psutil.cpu_count() or 1),
            server=counts,
        )

    def _took(
        self,
        client: str,
        day: date,
        rows: int | None,
        enough: Callable[[Counts], bool] | None,
    ) -> dict[str, Any]:
        command = [sys.executable, "-m", "bench.clients", client, day.isoformat()]
        command += [] if rows is None else [str(rows)]
        with LOG.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own command
                command, cwd=ROOT, env=self._environment(), stdout=subprocess.PIPE, stderr=log
            )
        with process:
            try:
                if enough:
                    self._await(process, enough)
                    process.terminate()
                told = process.communicate()[0].decode().splitlines()
            finally:
                process.kill()
        if process.returncode or not told:
            raise BenchError(f"The client '{client}' failed: see {LOG}")
        took: dict[str, Any] = json.loads(told[-1])
        return took

    def _await(self, process: subprocess.Popen[bytes], enough: Callable[[Counts], bool]) -> None:
        moved, posts = monotonic(), 0
        while process.poll() is None and not enough(counts := self.server.counts()):
            now = monotonic()
            moved, posts = (now if counts.total("posts") > posts else moved), counts.total("posts")
            if now - moved > _PATIENCE:
                raise BenchError(f"Nothing was posted for {_PATIENCE:.0f} s: {counts}")
            sleep(_LOOK_SECONDS)

    def _environment(self) -> dict[str, str]:
        kombo = {"conn_type": "http", "host": self.server.url, "password": _KEY}
        postgres = {"conn_type": "postgres", "host": self.warehouse.host, "login": "postgres"}
        return os.environ | {
            "AIRFLOW_HOME": str(FOLDER / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW_CONN_KOMBO_DEFAULT": json.dumps(kombo),
            "AIRFLOW_CONN_WAREHOUSE_DEFAULT": json.dumps(postgres | {"schema": "postgres"}),
        }

    def _cpu(self) -> dict[str, float]:
        """Give the CPU seconds that were used until now."""
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        return {
            "all": sum(times[:8]) - idle,
            "server": _cpu_of(self.server.pid),
            "postgres": _cpu_of(self.warehouse.pid),
        }


def _cpu_of(pid: int) -> float:
    """Add up a process and its children, those that have ended too."""
    process = psutil.Process(pid)
    living = [process, *process.children(recursive=True)]
    ended = process.cpu_times()
    return sum(_own_cpu(one) for one in living) + ended.children_user + ended.children_system


def _own_cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:  # it has ended since, and its parent has its time
        return 0.0
    return times.user + times.system


@contextmanager
def running() -> Iterator[Stage]:
    """Run a PostgreSQL and a server, and always stop them."""
    FOLDER.mkdir(exist_ok=True)
    LOG.unlink(missing_ok=True)
    with warehouse.running(FOLDER) as warehouse_, server.running() as server_:
        yield Stage(warehouse_, server_)
