"""Transactions on MariaDB: isolation, waits, cancelled statements and exact ids."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from threading import Barrier

import pytest
from sqlalchemy import create_engine, select, text
from support.harness import all_of, by_result, delivery

from airflow_kombo.database.sql import utc_now
from airflow_kombo.database.transactions import (
    begin,
    cancel_statement,
    in_race,
    prepare,
    transaction,
    waiting_briefly,
)
from airflow_kombo.exceptions import LedgerError, RowsHeldError, RunStoppedError
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.held_rows import LockTolerantLedger
from airflow_kombo.ledger.outcomes import AttemptOutcome, RowOutcome
from airflow_kombo.ledger.row_locks import find_held
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.rows.query_source import QuerySource
from airflow_kombo.rows.source import Selection
from airflow_kombo.statuses import Status

pytestmark = pytest.mark.parametrize("warehouse", ["mariadb"], indirect=True)

SETTINGS = ("innodb_lock_wait_timeout", "lock_wait_timeout", "wait_timeout")


@pytest.fixture
def ledger(warehouse, tables):
    """Return the ledger of a started run."""
    Runs(warehouse, tables).start(Run("run"))
    return Ledger(warehouse, tables)


@pytest.fixture
def things(warehouse):
    """Return the warehouse with a table of two rows."""
    with warehouse.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE things (id INTEGER PRIMARY KEY, n INTEGER)")
        connection.exec_driver_sql("INSERT INTO things VALUES (1, 0), (2, 0)")
    return warehouse


def shown(connection, *names):
    found = (connection.exec_driver_sql(f"SELECT @@SESSION.{name}") for name in names or SETTINGS)
    return [one.scalar_one() for one in found]


def test_a_transaction_sees_what_was_committed_a_moment_ago(things):
    """Another run's commit is seen within a transaction that has read before."""
    read = text("SELECT n FROM things WHERE id = 1")
    with transaction(things, "read") as ours:
        assert ours.execute(read).scalar_one() == 0
        with transaction(things, "write") as theirs:
            theirs.exec_driver_sql("UPDATE things SET n = 7 WHERE id = 1")
        assert ours.execute(read).scalar_one() == 7


def test_waits_end_by_default(warehouse):
    """A writer waits for a lock for seconds, a query for a minute; an abandoned session ends."""
    with transaction(warehouse, "write") as connection:
        assert shown(connection) == [5, 5, 60]
    assert in_race(waiting_briefly(warehouse), "write", shown) == [1, 1, 60]
    with transaction(warehouse, "read", reads_only=True) as connection:
        assert shown(connection) == [50, 60, 60]  # the server's own 50 s are shorter


def test_a_text_that_is_too_long_is_not_cut(mariadb, warehouse, tables):
    """An id that a column cannot hold is an error on a server that would cut it, too."""
    with warehouse.begin() as connection:
        connection.exec_driver_sql("SET GLOBAL sql_mode = ''")
    lax = prepare(create_engine(warehouse.url))
    try:
        with pytest.raises(LedgerError, match="start a run"):
            Runs(lax, tables).start(Run("r" * 37))
    finally:
        with warehouse.begin() as connection:
            connection.exec_driver_sql("SET GLOBAL sql_mode = DEFAULT")
        lax.dispose()
    assert all_of(warehouse, tables.runs) == []


def test_a_wait_for_a_row_ends(things):
    """A lock that is not granted in time is an error of its own kind."""
    with things.begin() as holder:
        holder.exec_driver_sql("SELECT * FROM things WHERE id = 1 FOR UPDATE")
        began = time.monotonic()
        with pytest.raises(RowsHeldError, match=r"could not write: \w+Error"):
            in_race(
                waiting_briefly(things),
                "write",
                lambda one: one.exec_driver_sql("UPDATE things SET n = 1 WHERE id = 1"),
            )
        assert time.monotonic() - began < 4


def test_a_wait_for_a_table_ends(things):
    """A lock on a whole table ends a wait, too; the server's own limit is a day."""
    with things.connect() as holder:
        holder.exec_driver_sql("LOCK TABLES things WRITE")
        with pytest.raises(RowsHeldError):
            in_race(
                waiting_briefly(things),
                "write",
                lambda one: one.exec_driver_sql("UPDATE things SET n = 1 WHERE id = 1"),
            )
        holder.exec_driver_sql("UNLOCK TABLES")


def test_a_deadlock_is_a_race_to_run_again(things):
    """Of two transactions that wait for each other, the server ends one; it runs again."""
    both, tries = Barrier(2), []
    add = text("UPDATE things SET n = n + 1 WHERE id = :id")

    def change(first, second):
        def work(connection):
            tries.append(first)
            connection.execute(add, {"id": first})
            if tries.count(first) == 1:
                both.wait()
            connection.execute(add, {"id": second})

        in_race(things, "write", work)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(change, (1, 2), (2, 1)))
    with things.connect() as connection:
        assert connection.exec_driver_sql("SELECT n FROM things").scalars().all() == [2, 2]
    assert len(tries) == 3


def test_a_statement_of_another_thread_can_be_ended(warehouse):
    """A statement that runs ends with an error, and the connection is usable after it."""
    with ThreadPoolExecutor(1) as threads, begin(warehouse, reads_only=True) as connection:
        number = connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar_one()

        def end():
            sleeping = text(
                "SELECT count(*) FROM information_schema.processlist"
                " WHERE id = :id AND info LIKE 'SELECT SLEEP%'"
            )
            with warehouse.connect() as other:
                while not other.execute(sleeping, {"id": number}).scalar_one():
                    pass
            cancel_statement(connection)

        ending = threads.submit(end)
        with pytest.raises(Exception, match="interrupted"):
            connection.exec_driver_sql("SELECT SLEEP(600)")
        ending.result()
        assert connection.exec_driver_sql("SELECT 1").scalar_one() == 1


def test_rows_are_read_through_a_cursor_at_the_server(warehouse, tables, source_table):
    """A run may stop while rows are read, and the connection serves others afterwards."""
    with warehouse.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO assessment_results (result_id, candidate_id, integration_id)"
            " SELECT seq, seq, 'workday:one' FROM seq_1_to_300000"
        )
    sql = "SELECT result_id, candidate_id, integration_id, application_id FROM assessment_results"
    source = QuerySource(warehouse, tables, sql, {}, selection=Selection())
    source._reader._cancelled = True  # as another thread does while the first rows are read
    with pytest.raises(RunStoppedError):
        list(source.chunks())
    with transaction(warehouse, "read", reads_only=True) as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar_one() == 1


def test_the_clock_is_utc_in_every_zone(warehouse):
    """The session's time zone does not change our times, and microseconds are kept."""
    with warehouse.begin() as connection:
        connection.exec_driver_sql("SET time_zone = '+05:45'")
        now = connection.execute(select(utc_now())).scalar_one()
        connection.exec_driver_sql("SET time_zone = DEFAULT")
    assert abs(now.replace(tzinfo=timezone.utc) - datetime.now(timezone.utc)).total_seconds() < 60


def test_times_have_microseconds(warehouse, tables, ledger):
    """Times in the tables are as exact as on other databases."""
    ledger.claim("run", [delivery(f"r{n}", target_id=f"c{n}") for n in range(4)])
    assert any(one.updated_at.microsecond for one in all_of(warehouse, tables.links))


def test_ids_that_differ_in_case_or_accents_are_two_results(warehouse, tables, ledger):
    """Each of these ids is claimed and recorded by itself."""
    ids = ["aB1", "Ab1", "ab1", "äb1", "\uff41b1", "ß", "ss", "😀", "😁"]
    requests = [delivery(one, target_id="c") for one in ids]
    won = ledger.claim("run", requests).won
    ledger.record([AttemptOutcome(won[0], RowOutcome(Status.SUCCESS))])
    links = by_result(warehouse, tables)
    assert set(links) == set(ids)
    assert [name for name, link in links.items() if link.status == "success"] == ["aB1"]


@pytest.mark.parametrize(
    "column",
    [
        "VARCHAR(40) COLLATE utf8mb4_general_ci",
        "VARCHAR(40) COLLATE utf8mb4_unicode_ci",
        "VARCHAR(40) CHARACTER SET latin1",
        "VARCHAR(40) CHARACTER SET utf8mb3",
        "CHAR(40)",
        "TEXT",
    ],
)
def test_a_query_is_compared_exactly_whatever_its_collation_is(warehouse, tables, ledger, column):
    """Done rows are left out by their exact id, and rows with other ids are planned."""
    with warehouse.begin() as connection:
        connection.exec_driver_sql(
            f"CREATE TABLE them (result_id {column}, integration_id {column},"
            f" candidate_id {column}, application_id {column})"
        )
        for name in ("aB1", "Ab1", "é", "e", "É"):
            connection.execute(
                text("INSERT INTO them VALUES (:name, 'workday:one', 'c', NULL)"), {"name": name}
            )
    claims = ledger.claim("run", [delivery(name, target_id="c") for name in ("aB1", "é")]).won
    ledger.record([AttemptOutcome(one, RowOutcome(Status.SUCCESS)) for one in claims])
    source = QuerySource(warehouse, tables, "SELECT * FROM them", {}, selection=Selection())
    (chunk,) = source.chunks()
    assert sorted(chunk["result_id"]) == ["Ab1", "e", "É"]
    asked = Selection(result_ids=frozenset({"Ab1", "E"}))
    source = QuerySource(warehouse, tables, "SELECT * FROM them", {}, selection=asked)
    (chunk,) = source.chunks()
    assert list(chunk["result_id"]) == ["Ab1"]


def test_a_long_request_is_kept(warehouse, tables, ledger):
    """A request of more than 64 kB, MySQL's limit of a TEXT, is in the history."""
    body = json.dumps({"label": "ä" * 100_000}, ensure_ascii=False).encode()
    ledger.claim("run", [delivery(body=body)])
    (attempt,) = all_of(warehouse, tables.attempts)
    assert attempt.request == body.decode()


def test_a_held_row_costs_that_row(warehouse, tables, ledger):
    """Rows that another transaction holds, or inserts, are found, and the others are claimed."""
    requests = [delivery(f"r{n}", target_id=f"c{n}") for n in range(6)]
    ledger.claim("run", requests[:3])
    with warehouse.connect() as somebody:
        links = tables.links
        somebody.execute(select(links).where(links.c.result_id == "r1").with_for_update())
        new = {**requests[4].key.columns, "status": "retryable", "attempts": 0, "run_id": "x"}
        somebody.execute(links.insert().values(**new, updated_at=utc_now()))
        assert find_held(warehouse, tables, [one.key for one in requests], "run") == {"r1", "r4"}
        claims = LockTolerantLedger(ledger).claim("run", requests[3:])
        assert claims.held == (requests[4],)
        assert {one.key.result_id for one in claims.won} == {"r3", "r5"}


def test_two_runs_at_once_claim_no_row_twice(warehouse, tables):
    """Runs that claim the same rows at the same moment divide them."""
    runs = [f"run{n}" for n in range(4)]
    for run_id in runs:
        Runs(warehouse, tables).start(Run(run_id))
    start = Barrier(len(runs))

    def claim(run_id):
        start.wait()
        ledger, won = Ledger(warehouse, tables), []
        for batch in range(12):
            rows = [delivery(f"r{batch}-{n}", target_id=f"c{n}") for n in range(8)]
            won += [one.key for one in ledger.claim(run_id, rows).won]
        return won

    with ThreadPoolExecutor(len(runs)) as threads:
        won = [key for keys in threads.map(claim, runs) for key in keys]
    assert len(won) == len(set(won)) == 96
    assert len(all_of(warehouse, tables.attempts)) == 96
