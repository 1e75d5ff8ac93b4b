"""The parts of a measurement together: warehouse, server, client, and who used the machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
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

_KEY: Final = "ks_dev_bench"
_LOOK_SECONDS: Final = 0.2
_BLINK_SECONDS: Final = 0.1
_PATIENCE: Final = 60.0


class BenchError(Exception):
    """A run did not do what was to be measured, so there is no figure."""


@dataclass(frozen=True)
class Run:
    """A client's run, from all sides; CPU in seconds.

    :param rows: Links that the server took.
    :param seconds: Of the run itself, without importing Airflow.
    :param cpu: The client's for the run itself.
    :param others: What everything else on the machine used meanwhile.
    :param machine: What the machine had: its cores' time.
    :param stood_still: The longest time in seconds in which this process was not let run though it
        asked to: of a virtual machine that its host suspends, no figure is worth anything.
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
        return self.observe(client, orders, rows, lambda: self._took(client, day, rows, enough))

    def observe(
        self, client: str, orders: Orders, rows: int | None, deliver: Callable[[], Took]
    ) -> Run:
        """Measure from all sides what a client does, however it is started.

        :param client: Its name.
        :param rows: As of `run`.
        :raises BenchError: as `run`.
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
            server=counts,
        )

    def _took(
        self,
        client: str,
        day: date,
        rows: int | None,
        enough: Callable[[Counts], bool] | None,
    ) -> Took:
        with process.client(client, day, rows, self.connections()) as (running, pipe):
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
        """Return Airflow's connections, as a deployment has them in its environment.

        :param database: The warehouse's.
        """
        kombo = {"conn_type": "http", "host": self.server.url, "password": _KEY}
        postgres = {"conn_type": "postgres", "host": self.warehouse.host, "login": "postgres"}
        return {
            "AIRFLOW_CONN_KOMBO_DEFAULT": json.dumps(kombo),
            "AIRFLOW_CONN_WAREHOUSE_DEFAULT": json.dumps(postgres | {"schema": database}),
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


@contextmanager
def _watched() -> Iterator[list[float]]:
    """Give, at the end, by how many seconds a thread came late that wants to look all the time."""
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
    """Add up a process and its children, those that have ended too."""
    first = psutil.Process(pid)
    living = [first, *first.children(recursive=True)]
    ended = first.cpu_times()
    return sum(_own_cpu(one) for one in living) + ended.children_user + ended.children_system


def _own_cpu(one: psutil.Process) -> float:
    try:
        times = one.cpu_times()
    except psutil.NoSuchProcess:  # it has ended since, and its parent has its time
        return 0.0
    return times.user + times.system


@contextmanager
def running() -> Iterator[Stage]:
    """Run a PostgreSQL and a server, and always stop them."""
    FOLDER.mkdir(exist_ok=True)
    with warehouse.running(FOLDER) as warehouse_, server.running() as server_:
        yield Stage(warehouse_, server_)
