"""Statuses and warnings in the user's warehouse, beside a ledger in another database."""

from __future__ import annotations

import threading
from itertools import count
from types import SimpleNamespace

import pymysql
import pytest
from sqlalchemy import create_engine, delete, make_url, text
from support.hook_warehouses import (
    at,
    expected,
    hook_database,
    ledger_row,
    postgres_database,
    put,
    written,
)

from airflow_kombo.database.hook_database import HookDatabase
from airflow_kombo.database.transactions import locked
from airflow_kombo.exceptions import (
    ConfigurationError,
    KomboError,
    RowsHeldError,
    WarehouseError,
)
from airflow_kombo.ledger import changed_results, write_back
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.ledger.write_back import WriteBack

_SCHEMAS = count()


@pytest.fixture(params=["duckdb", "sqlite", "postgres"])
def database(request, tmp_path, monkeypatch):
    """Return an empty warehouse behind its Airflow hook."""
    if request.param == "postgres":
        url = request.getfixturevalue("postgres")
        return postgres_database(monkeypatch, url, f"written_back_{next(_SCHEMAS)}")
    return hook_database(monkeypatch, request.param, host=str(tmp_path / f"user.{request.param}"))


@pytest.fixture
def back(warehouse, tables, database):
    """Return the write-back from a ledger to an empty warehouse, after its check."""
    made = WriteBack(warehouse, tables, database)
    made.check()
    return made


def execute(database, statement):
    with database.connected("be changed") as connection:
        connection.execute(text(statement))
        connection.commit()


def test_the_warehouse_gets_every_column_of_every_row(warehouse, tables, database, back):
    """The warehouse's table has the ledger's rows: times in UTC, warnings as JSON text."""
    rows = [
        ledger_row("r1", at(0.123456), warnings=["Über 100 %", 'a "quote"', "?"]),
        ledger_row("r2", at(1), status="failed", http_status=None, error_message="it's\n\\n :x %s"),
        ledger_row(
            "r4", at(1.5), left_out_by="ada", left_out_at=at(1.25), left_out_reason="a test"
        ),
        ledger_row("r3", at(2), first_sent_at=None, log_url=None, assessment_date=at(0).date()),
    ]
    put(warehouse, tables, *rows)
    assert back.run() == 4
    assert written(database) == expected(rows)


def test_a_table_of_an_older_version_gets_what_the_table_can_hold(
    warehouse, tables, database, caplog
):
    """A table without the columns of rows left out is written as before, with a warning."""
    later = {"left_out_by", "left_out_at", "left_out_reason"}
    made = WriteBack(warehouse, tables, database)
    execute(database, str(made._table.without(later).create))
    made.check()
    assert "no column left_out_by, left_out_at, left_out_reason" in caplog.text
    rows = [ledger_row("r1", at(0), left_out_by="ada", left_out_at=at(0), left_out_reason="a test")]
    put(warehouse, tables, *rows)
    assert made.run() == 1
    (row,) = written(database)
    assert not later & row.keys()
    assert row.items() <= expected(rows)[0].items()


def test_only_what_changed_is_written(warehouse, tables, database, back):
    """A second run writes nothing, and a later one only the results that changed since."""
    rows = [ledger_row(f"r{number}", at(number)) for number in range(5)]
    put(warehouse, tables, *rows)
    assert back.run() == 5
    assert back.run() == 0
    changed = ledger_row("r0", at(3_600), status="failed")
    put(warehouse, tables, changed)
    assert back.run() == 1
    assert written(database) == expected([changed, *rows[1:]])


def test_a_row_that_appears_late_is_written(warehouse, tables, database, back):
    """A transaction that began earlier and ended later than the last write-back is not missed."""
    rows = [ledger_row("r1", at(100)), ledger_row("r2", at(1_000))]
    put(warehouse, tables, *rows)
    back.run()
    late = ledger_row("late", at(1_000 - 599))
    put(warehouse, tables, late)
    assert back.run() == 1
    assert written(database) == expected([*rows, late])


def test_a_result_that_moved_leaves_no_row_behind(warehouse, tables, database, back):
    """A result whose target changed has one row in the warehouse, as in the ledger."""
    put(warehouse, tables, ledger_row("r1", at(0)))
    back.run()
    moved = ledger_row("r1", at(5_000), target_type="application", target_id="a1")
    put(warehouse, tables, moved)
    assert back.run() == 1
    assert written(database) == expected([moved])


def test_a_result_with_two_rows_keeps_both(warehouse, tables, database, back):
    """Rows that name one result twice are all there, also when only one of them changed."""
    rows = [
        ledger_row("r1", at(0), status="invalid"),
        ledger_row("r1", at(7_000), status="invalid", target_id="other"),
    ]
    put(warehouse, tables, *rows)
    assert back.run() == 2
    put(warehouse, tables, rows[0], rows[1] | {"updated_at": at(9_000)})
    assert back.run() == 2
    assert len(written(database)) == 2


def test_rows_that_are_being_sent_are_left_to_their_run(warehouse, tables, database, back):
    """A result in flight keeps its earlier row in the warehouse until there is an outcome."""
    before = ledger_row("r1", at(0), status="retryable")
    put(warehouse, tables, before)
    back.run()
    put(warehouse, tables, before | {"status": "sending", "updated_at": at(10)})
    assert back.run() == 0
    assert written(database) == expected([before])
    after = before | {"updated_at": at(11), "attempts": 2, "status": "success"}
    put(warehouse, tables, after)
    assert back.run() == 1
    assert written(database) == expected([after])


def test_ids_that_differ_in_case_are_two_results(warehouse, tables, database, back):
    """A change of one result leaves another alone whose id differs in its case only."""
    rows = [ledger_row("aB1", at(0)), ledger_row("Ab1", at(1))]
    put(warehouse, tables, *rows)
    back.run()
    changed = ledger_row("aB1", at(2_000))
    put(warehouse, tables, changed)
    assert back.run() == 1
    assert written(database) == expected([changed, rows[1]])


def test_many_rows_are_written_page_by_page(warehouse, tables, database, back, monkeypatch):
    """More rows than a page, a batch and a statement take arrive once each."""
    monkeypatch.setattr(changed_results, "PAGE_ROWS", 7)
    monkeypatch.setattr(write_back, "BATCH_RESULTS", 3)
    rows = [ledger_row(f"r{number:03}", at(number // 20)) for number in range(100)]
    put(warehouse, tables, *rows)
    assert back.run() == 100
    assert written(database) == expected(rows)
    assert back.run() == 0


def test_a_clock_that_was_set_back_does_not_stop_the_write_back(warehouse, tables, database, back):
    """A row from the future in the warehouse does not hide the rows of today."""
    rows = [ledger_row("r1", at(0)), ledger_row("r2", at(1))]
    put(warehouse, tables, *rows)
    back.run()
    execute(
        database,
        "UPDATE kombo_result_links SET updated_at = '2126-11-04 02:00:00' WHERE result_id = 'r2'",
    )
    later = ledger_row("r3", at(2))
    put(warehouse, tables, later)
    assert back.run() == 2
    assert written(database) == expected([*rows, later])


def test_two_runs_at_the_same_time_write_every_row_once(warehouse, tables, tmp_path, monkeypatch):
    """Write-backs wait for each other: no row is there twice, and none is missing."""
    database = hook_database(monkeypatch, "sqlite", host=str(tmp_path / "user.db"))
    monkeypatch.setattr(write_back, "BATCH_RESULTS", 5)
    rows = [ledger_row(f"r{number:03}", at(number)) for number in range(200)]
    put(warehouse, tables, *rows)
    backs = [WriteBack(warehouse, tables, database) for _ in range(3)]
    backs[0].check()
    counts = []
    threads = [threading.Thread(target=lambda one=one: counts.append(one.run())) for one in backs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counts) == [0, 0, 200]
    assert written(database) == expected(rows)


def test_a_lock_is_waited_for_only_so_long(warehouse):
    """A write-back that waits too long for another run fails, so that Airflow tries again."""
    with locked(warehouse, "the work", 1), pytest.raises(RowsHeldError):  # noqa: SIM117
        with locked(warehouse, "the work", 1):
            pass
    with locked(warehouse, "the work", 1):
        pass


def test_a_lock_is_waited_for_longer_than_a_statement_may_take(postgres):
    """A time limit for statements, which a role or a database may have, does not end the wait."""
    options = {"options": "-c statement_timeout=100ms"}
    engine, other = create_engine(postgres, connect_args=options), create_engine(postgres)
    is_held = threading.Event()

    def hold():
        with locked(other, "the work", 5), other.connect() as connection:
            is_held.set()
            connection.execute(text("SELECT pg_sleep(0.5)"))

    thread = threading.Thread(target=hold)
    thread.start()
    is_held.wait()
    with locked(engine, "the work", 5):
        pass
    thread.join()
    engine.dispose()
    other.dispose()


def test_first_runs_at_the_same_time_share_a_new_table(tables, warehouse, postgres, monkeypatch):
    """Of two runs that create the table at once, PostgreSQL refuses one: both go on."""
    for _ in range(3):
        database = postgres_database(monkeypatch, postgres, f"written_back_{next(_SCHEMAS)}")
        line, errors = threading.Barrier(6), []

        def check(database=database, line=line, errors=errors):
            back = WriteBack(warehouse, tables, database)
            line.wait()
            try:
                back.check()
            except KomboError as error:
                errors.append(error)

        threads = [threading.Thread(target=check) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []


def test_a_failure_is_told_and_the_next_run_goes_on(warehouse, tables, database, back):
    """A warehouse that fails raises an error, and the next run writes back what is missing."""
    rows = [ledger_row("r1", at(0))]
    put(warehouse, tables, *rows)
    execute(database, "ALTER TABLE kombo_result_links RENAME TO away")
    with pytest.raises((WarehouseError, ConfigurationError), match="take the statuses"):
        back.run()
    execute(database, "ALTER TABLE away RENAME TO kombo_result_links")
    assert back.run() == 1
    assert written(database) == expected(rows)


def test_an_empty_table_is_filled_anew(warehouse, tables, database, back):
    """A warehouse's table that somebody emptied or dropped gets all rows again."""
    rows = [ledger_row(f"r{number}", at(number * 3_600)) for number in range(5)]
    put(warehouse, tables, *rows)
    back.run()
    execute(database, "DELETE FROM kombo_result_links")
    assert back.run() == 5
    execute(database, "DROP TABLE kombo_result_links")
    back.check()
    assert back.run() == 5
    assert written(database) == expected(rows)


def test_a_table_without_a_column_is_refused(warehouse, tables, database):
    """The error names the columns that the user's own table lacks; it is not changed."""
    execute(database, "CREATE TABLE kombo_result_links (result_id VARCHAR(255), updated_at DATE)")
    with pytest.raises(ConfigurationError, match="no column integration_id, target_type"):
        WriteBack(warehouse, tables, database).check()


@pytest.mark.parametrize("loss", ["emptied", "restored", "one row"])
def test_a_ledger_that_lost_rows_is_refused(warehouse, tables, database, back, loss):
    """Nothing is sent with a ledger that knows less than the warehouse's table."""
    rows = [ledger_row(f"r{number}", at(number), attempts=2) for number in range(3)]
    put(warehouse, tables, *rows)
    back.run()
    back.check()
    if loss == "restored":
        put(warehouse, tables, ledger_row("r2", at(1.9), attempts=1, status="retryable"))
    else:
        with warehouse.begin() as connection:
            links = tables.links
            gone = links.c.result_id.in_(["r0", "r1", "r2"] if loss == "emptied" else ["r2"])
            connection.execute(delete(links).where(gone))
    with pytest.raises(ConfigurationError, match="The ledger lost rows"):
        back.check()


def test_a_row_that_two_transactions_changed_at_once_is_no_loss(warehouse, tables, back):
    """A row may get an earlier time by a second change, if its transaction began earlier."""
    put(warehouse, tables, ledger_row("r1", at(10)))
    back.run()
    put(warehouse, tables, ledger_row("r1", at(9), status="unknown"))
    back.check()
    assert back.run() == 1


def test_one_table_behind_two_connections_is_refused(tmp_path, monkeypatch):
    """A write-back from a table to itself would delete the ledger: it is refused."""
    (tmp_path / "link").symlink_to(tmp_path)
    engine = create_engine(f"sqlite:///{tmp_path / 'one.db'}")
    tables = Tables.named()
    tables.create(engine)
    database = hook_database(monkeypatch, "sqlite", host=str(tmp_path / "link" / "one.db"))
    with pytest.raises(ConfigurationError, match="names the database of the warehouse"):
        WriteBack(engine, tables, database).check()
    engine.dispose()


def test_one_schema_behind_two_connections_is_refused(postgres, monkeypatch):
    """On PostgreSQL two schemas are two tables, and two connections to one schema are one."""
    options = {"options": "-c search_path=shared_schema"}
    other = postgres_database(monkeypatch, postgres, "a_schema_of_its_own")
    engine, tables = create_engine(postgres, connect_args=options), Tables.named()
    same = postgres_database(monkeypatch, postgres, "shared_schema")
    tables.create(engine)
    with pytest.raises(ConfigurationError, match="names the database of the warehouse"):
        WriteBack(engine, tables, same).check()
    other = postgres_database(monkeypatch, postgres, "a_schema_of_its_own")
    WriteBack(engine, tables, HookDatabase(other.hook)).check()
    engine.dispose()


def test_one_schema_of_two_databases_is_refused(mariadb, mariadb_database):
    """On MySQL a table with a schema is one table from any database of the server."""
    schema = make_url(mariadb_database).database
    engine, tables = create_engine(mariadb_database), Tables.named(f"{schema}.links")
    tables.create(engine)
    hook = SimpleNamespace(
        conn_type="mysql",
        get_conn=lambda: pymysql.connect(
            host="127.0.0.1", port=mariadb.port, user="root", database="mysql"
        ),
    )
    database = HookDatabase(hook)  # the provider's hook needs another driver
    with pytest.raises(ConfigurationError, match="names the database of the warehouse"):
        WriteBack(engine, tables, database).check()
    engine.dispose()
