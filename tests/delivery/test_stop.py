"""Stopped and dead runs: from any moment on, they send nothing more."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from datetime import datetime, timezone
from types import SimpleNamespace

import pytest
from sqlalchemy import text
from support.harness import (
    MAPPING,
    all_of,
    by_result,
    delivery,
    fill,
    make_run,
    row,
    run_day,
    statuses,
    until_received,
)

from airflow_kombo.delivery.liveness import clock
from airflow_kombo.delivery.run_context import Settings
from airflow_kombo.exceptions import LedgerError, NotSentError, RunStoppedError
from airflow_kombo.hooks.kombo import KomboHook
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.operators.result_link import KomboResultLinkOperator
from airflow_kombo.rows.query_source import QuerySource
from airflow_kombo.rows.source import Selection


@pytest.fixture
def term():
    """Return a function to handle SIGTERM, as Airflow's task runner calls `on_kill`."""
    before = signal.getsignal(signal.SIGTERM)
    yield lambda on_kill: signal.signal(signal.SIGTERM, lambda *_: on_kill())
    signal.signal(signal.SIGTERM, before)


def when(condition):
    """Send a SIGTERM to this process as soon as a condition holds; return the thread."""

    def watch():
        until = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < until, "what was waited for did not happen"
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def waits_for(engine, what):
    """Return True if a PostgreSQL session waits for something, by `pg_stat_activity`."""
    query = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = :what")
    with engine.connect() as connection:
        return bool(connection.execute(query, {"what": what}).scalar())


@pytest.fixture
def operator(postgres, warehouse, monkeypatch):
    """Return an operator over the rows on PostgreSQL."""
    if warehouse.dialect.name != "postgresql":
        pytest.skip("SQLite lets nobody lock a table against a reader")
    url, schema = warehouse.url, schema_of(warehouse)
    host = url.query.get("host", url.host)
    connection = {"conn_type": "postgres", "host": host, "login": url.username}
    connection |= {"schema": url.database, "port": url.port}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", json.dumps(connection))
    return KomboResultLinkOperator(
        task_id="deliver",
        mapping=MAPPING,
        table=f"{schema}.assessment_results",
        status_table=f"{schema}.kombo_result_links",
    )


def schema_of(engine):
    with engine.connect() as connection:
        return connection.execute(text("SELECT current_schema()")).scalar()


@pytest.fixture
def context():
    instance = SimpleNamespace(
        dag_id="dag", run_id="manual", task_id="deliver", map_index=-1, try_number=1
    )
    moment = datetime(2026, 11, 3, tzinfo=timezone.utc)
    dag_run = SimpleNamespace(
        run_type="manual", partition_key=None, logical_date=moment, run_after=moment
    )
    return {"ti": instance, "dag_run": dag_run, "outlet_events": {}, "dag": None}


def test_a_stop_before_the_delivery_exists(
    warehouse, tables, source_table, standin, term, operator, context
):
    """A SIGTERM ends a task waiting for a locked source table."""
    fill(warehouse, source_table, [row("r1")])
    term(operator.on_kill)
    with warehouse.connect() as locker:
        locker.execute(text("LOCK TABLE assessment_results IN ACCESS EXCLUSIVE MODE"))
        watch = when(lambda: waits_for(warehouse, "Lock"))
        with pytest.raises(RunStoppedError, match="before it had sent anything"):
            operator.execute(context)
        watch.join()
    assert standin.stats()["received"] == 0
    assert all_of(warehouse, tables.links) == []


SLOW = {
    "postgresql": "SELECT a.* FROM assessment_results a, (SELECT pg_sleep(600)) s",
    "mysql": "SELECT * FROM assessment_results WHERE sleep(600) = 0",
    "sqlite": """
        SELECT a.* FROM assessment_results a WHERE a.result_id NOT IN (
            WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 4000000000)
            SELECT max(x) FROM n)
    """,
}


def test_a_stop_while_the_query_runs(warehouse, tables, source_table, standin, term):
    """A stop cancels a long query at the database, and the run's row has the reason."""
    fill(warehouse, source_table, [row("r1")])
    reading = threading.Event()

    class Watched(QuerySource):
        def chunks(self):
            reading.set()
            return super().chunks()

    source = Watched(warehouse, tables, SLOW[warehouse.dialect.name], {}, selection=Selection())

    async def deliver():
        run = await make_run(warehouse, tables, source=source)()
        term(lambda: run.stop("The task was stopped."))
        await run.deliver()

    watch = when(lambda: reading.is_set() and source._reader.is_reading)
    with pytest.raises(RunStoppedError, match="was stopped"):
        asyncio.run(deliver())
    watch.join()
    (run,) = all_of(warehouse, tables.runs)
    assert (run.error, run.planned) == ("The task was stopped.", 0)
    assert standin.stats()["received"] == 0


def test_a_stop_before_the_loop_runs(warehouse, tables, source_table, standin):
    """A run stopped before its start reads nothing and sends nothing."""
    fill(warehouse, source_table, [row("r1")])

    async def deliver():
        run = await make_run(warehouse, tables)()
        run.stop("The task was stopped.")
        await run.deliver()

    with pytest.raises(RunStoppedError):
        asyncio.run(deliver())
    assert all_of(warehouse, tables.links) == []


def test_a_stop_after_the_end_is_nothing(warehouse, tables, source_table, standin):
    """A SIGTERM after the end of a run changes nothing."""
    fill(warehouse, source_table, [row("r1")])

    async def deliver():
        run = await make_run(warehouse, tables)()
        await run.deliver()
        return run

    asyncio.run(deliver()).stop("The task was stopped.")
    assert statuses(warehouse, tables) == {"success": 1}


def test_a_body_does_not_leave_a_run_that_is_dead(standin):
    """A dead run sends nothing over an open connection."""
    body = b'{"label": "Coding", "url": "https://results.example/1"}'

    async def send(may_leave):
        async with KomboHook().client() as client:
            return await client.send(delivery(body=body), may_leave)

    assert isinstance(asyncio.run(send(lambda: False)), NotSentError)
    assert standin.stats()["received"] == 0
    assert asyncio.run(send(lambda: True)).http_status == 200


def test_a_heartbeat_stops_a_run_that_was_declared_dead(warehouse, tables, source_table, standin):
    """A run declared dead claims and sends nothing more."""
    standin.set_latency((0.3, 0.3))
    fill(warehouse, source_table, [row(f"r{number:03}") for number in range(400)])
    others = Runs(warehouse, tables, dead_after=-1.0)

    async def deliver():
        run = await make_run(
            warehouse, tables, run=Run("mine"), settings=Settings(heartbeat=0.05, first_retry=0.01)
        )()
        sending = asyncio.create_task(run.deliver())
        await until_received(standin)
        while not await asyncio.to_thread(others.settle, ["mine"]):
            pass  # a claim holds the run's row for a moment
        await sending

    with pytest.raises(LedgerError, match="declared dead"):
        asyncio.run(deliver())
    sent = standin.stats()["received"]
    assert sent < 400
    links = by_result(warehouse, tables)
    assert {link["count"] for link in standin.links()} == {1}
    assert sum(one.status == "success" for one in links.values()) == sent
    assert run_day(warehouse, tables).counts["success"] == 400 - sent


def test_the_clock_counts_the_time_of_a_suspended_machine():
    """The clock is Linux's CLOCK_BOOTTIME."""
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= clock() <= time.clock_gettime(time.CLOCK_BOOTTIME)
