"""Stage of a measurement: warehouse, server, client, and the use of the machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from threading import Event, Thread
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final

import psutil

from tools.bench import process, server, warehouse
from tools.bench.counts import Counts
from tools.bench.orders import Orders
from tools.bench.process import FOLDER, LOG, Took
from tools.bench.server import Server
from tools.bench.warehouse import DATABASE, DAY, Warehouse

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

WAREHOUSE: Final = "AIRFLOW_CONN_WAREHOUSE_DEFAULT"
"""The environment variable of the warehouse's connection."""
_KEY: Final = "ks_dev_bench"
_LOOK_SECONDS: Final = 0.2
_BLINK_SECONDS: Final = 0.1
_PATIENCE: Final = 60.0


class BenchError(Exception):
    """A run did something else than planned, so there is no figure."""


@dataclass(frozen=True)
class Run:
    """Result of a client's run; all times are in seconds.

    :param client: The client's name.
    :param rows: Links that the server accepted.
    :param seconds: Time of the run, without the import of Airflow.
    :param cpu: CPU time of the client during the run.
    :param peak_mb: The client's highest memory, in MB.
    :param server_cpu: CPU time of the bench's server.
    :param postgres_cpu: CPU time of PostgreSQL.
    :param others: CPU time of all other programs.
    :param machine: CPU time of all cores: time by number of cores.
    :param stood_still: The longest time in which this process was ready and did not run. A high
        value means that the host suspended the virtual machine: then no figure is valid.
    :param counts: The client's own counts.
    :param server: The server's counts.
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
    stood_still: float
    counts: Mapping[str, int]
    server: Counts

    @property
    def rate(self) -> float:
        """Return the rows per second."""
        return self.rows / self.seconds

    @property
    def cpu_per_row(self) -> float:
        """Return the client's CPU time per row, in ms."""
        return 1000 * self.cpu / max(1, self.rows)

    @property
    def postgres_cpu_per_row(self) -> float:
        """Return PostgreSQL's CPU time per row, in ms."""
        return 1000 * self.postgres_cpu / max(1, self.rows)

    @property
    def cost(self) -> str:
        """Return the CPU time per row, to stand beside a rate."""
        return f"{self.cpu_per_row:.2f} + {self.postgres_cpu_per_row:.2f} ms of CPU a row"

    @property
    def busy(self) -> float:
        """Return the share of the machine that other programs used."""
        return max(0.0, self.others / self.machine)

    @property
    def refused(self) -> float:
        """Return the share of responses with status 429."""
        return self.server.total("refused") / max(1, self.server.total("posts"))


@dataclass(frozen=True)
class Stage:
    """Parts that run as long as the bench does."""

    warehouse: Warehouse
    server: Server

    def fill(self, rows: int, integrations: int, days: Sequence[int] = (1,)) -> None:
        """Fill the warehouse with new rows of one day, or of several (`Warehouse.fill`)."""
        self.warehouse.fill(rows, integrations, days)

    def run(
        self,
        client: str,
        orders: Orders,
        *,
        day: date = DAY,
        rows: int | None,
        enough: Callable[[Counts], bool] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Run:
        """Post a day with a client.

        :param client: The client's name.
        :param orders: The server's behaviour.
        :param day: The day to deliver.
        :param rows: The expected number of posted rows; None: any number.
        :param enough: End the run by a SIGTERM as soon as this is true of the server's counts.
        :param environment: Environment variables beside those of `connections`, or in their place.
        :raises BenchError: if the client fails, or the server counted other requests than expected.
        """
        known = {**self.connections(), **(environment or {})}
        return self.observe(
            client, orders, rows, lambda: self._took(client, day, rows, known, enough)
        )

    def observe(
        self, client: str, orders: Orders, rows: int | None, deliver: Callable[[], Took]
    ) -> Run:
        """Measure a delivery, however the delivery is started.

        :param client: The client's name.
        :param orders: The server's behaviour.
        :param rows: The expected number of posted rows; None: any number.
        :param deliver: The delivery.
        :raises BenchError: as `run` does.
        """
        self.server.obey(orders)
        before, began = self._cpu(), monotonic()
        with _watched() as late:
            took = deliver()
        used = {name: seconds - before[name] for name, seconds in self._cpu().items()}
        counts = self.server.counts()
        links = counts.total("links")
        if counts.total("invalid") or counts.total("duplicates"):
            raise BenchError(f"{client}: the server saw invalid requests or duplicates: {counts}")
        if rows is not None and {links, took.counts["success"]} != {rows}:
            raise BenchError(f"{client}: not {rows} links were made, but {links}; {took.counts}")
        return Run(
            client=client,
            rows=links,
            seconds=took.seconds,
            cpu=took.cpu,
            peak_mb=took.peak_mb,
            server_cpu=used["server"],
            postgres_cpu=used["postgres"],
            others=used["all"] - used["server"] - used["postgres"] - took.cpu - took.cpu_before,
            machine=(monotonic() - began) * (psutil.cpu_count() or 1),
            stood_still=late[0],
            counts=took.counts,
            server=counts,
        )

    def _took(
        self,
        client: str,
        day: date,
        rows: int | None,
        connections: Mapping[str, str],
        enough: Callable[[Counts], bool] | None,
    ) -> Took:
        with process.client(client, day, rows, connections) as (running, pipe):
            try:
                if enough:
                    self._await(running, enough)
                    running.terminate()
                took: Took = pipe.recv()
            except EOFError:
                raise BenchError(f"The client '{client}' failed: see {LOG}") from None
        return took

    def _await(self, running: ForkServerProcess, enough: Callable[[Counts], bool]) -> None:
        moved, posts = monotonic(), 0
        while running.is_alive() and not enough(counts := self.server.counts()):
            now = monotonic()
            moved, posts = (now if counts.total("posts") > posts else moved), counts.total("posts")
            if now - moved > _PATIENCE:
                raise BenchError(f"Nothing was posted for {_PATIENCE:.0f} s: {counts}")
            sleep(_LOOK_SECONDS)

    def connections(self, database: str = DATABASE) -> dict[str, str]:
        """Return Airflow's connections as environment variables.

        :param database: The name of the warehouse's database.
        """
        kombo = {"conn_type": "http", "host": self.server.url, "password": _KEY}
        return {
            "AIRFLOW_CONN_KOMBO_DEFAULT": json.dumps(kombo),
            WAREHOUSE: self.warehouse.connection(database),
        }

    def _cpu(self) -> dict[str, float]:
        """Return the CPU seconds until now, by part."""
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        return {
            "all": sum(times[:8]) - idle,
            "server": _cpu_of(self.server.pid),
            "postgres": _cpu_of(self.warehouse.pid),
        }


@contextmanager
def _watched() -> Iterator[list[float]]:
    """Yield a list with the longest delay of a thread that always wants to run, in seconds."""
    late, over = [0.0], Event()

    def look() -> None:
        asked = monotonic()
        while not over.wait(_BLINK_SECONDS):
            now = monotonic()
            late[0], asked = max(late[0], now - asked - _BLINK_SECONDS), now

    watch = Thread(target=look)
    watch.start()
    try:
        yield late
    finally:
        over.set()
        watch.join()


def _cpu_of(pid: int) -> float:
    """Return the CPU seconds of a process and all its children, also of ended ones."""
    first = psutil.Process(pid)
    living = [first, *first.children(recursive=True)]
    ended = first.cpu_times()
    return sum(_own_cpu(one) for one in living) + ended.children_user + ended.children_system


def _own_cpu(one: psutil.Process) -> float:
    try:
        times = one.cpu_times()
    except psutil.NoSuchProcess:  # the process has ended, and the parent has its time
        return 0.0
    return times.user + times.system


@contextmanager
def running() -> Iterator[Stage]:
    """Run a PostgreSQL and a server, and always stop both."""
    FOLDER.mkdir(exist_ok=True)
    with warehouse.running(FOLDER) as warehouse_, server.running() as server_:
        yield Stage(warehouse_, server_)
