"""Settled runs: only the rows of all others may be `sending`."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, event, text
from support.harness import all_of, delivery

from airflow_kombo.database.transactions import prepare
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.outcomes import AttemptOutcome, RowOutcome
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.ledger.settled_runs import mark_settled
from airflow_kombo.statuses import Status


@pytest.fixture
def runs(warehouse, tables):
    """Return the runs table with a run that has claimed a row."""
    runs = Runs(warehouse, tables)
    runs.start(Run("run"))
    return runs


def claimed(runs):
    return Ledger(runs.engine, runs.tables).claim("run", [delivery()]).won


def settled(runs):
    mark_settled(runs.engine, runs.tables)
    return [run.run_id for run in all_of(runs.engine, runs.tables.runs) if run.settled_at]


def test_a_run_that_ended_is_settled(runs):
    """A run is settled as soon as it has ended and recorded all of its rows."""
    (claim,) = claimed(runs)
    Ledger(runs.engine, runs.tables).record([AttemptOutcome(claim, RowOutcome(Status.SUCCESS))])
    assert settled(runs) == []
    runs.finish("run", {})
    (run,) = all_of(runs.engine, runs.tables.runs)
    assert run.settled_at is not None


def test_a_run_that_left_a_row_is_settled_with_the_row(runs):
    """A run that ended with a `sending` row is settled by the run that settles the row."""
    claimed(runs)
    runs.finish("run", {})
    assert settled(runs) == []
    assert len(runs.settle(["run"])) == 1
    assert settled(runs) == ["run"]


@pytest.mark.parametrize("warehouse", ["postgresql"], indirect=True)
def test_a_run_with_a_claim_on_its_way_is_not_settled(runs):
    """A claim whose commit is late is seen: it holds the run's row until then."""
    ledger = Ledger(runs.engine, runs.tables)
    late: list[bool] = []
    write = ledger._sql.written.execute

    def end_the_run(*arguments):
        if not late:
            late.append(True)
            runs.finish("run", {})
            assert settled(runs) == []
        return write(*arguments)

    ledger._sql.written.execute = end_the_run
    assert len(ledger.claim("run", [delivery()]).won) == 1
    assert late
    assert settled(runs) == []
    assert runs.silent("new") == {"run": float("inf")}


@pytest.mark.parametrize("warehouse", ["postgresql"], indirect=True)
@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_the_look_sees_commits_whatever_the_users_default(runs, driver):
    """A user's own isolation must not hide a claim that is committed between lock and look."""
    with runs.engine.connect() as connection:
        schema = connection.exec_driver_sql("SELECT current_schema()").scalar_one()
    options = f"-c search_path={schema} -c default_transaction_isolation=serializable"
    url = runs.engine.url.set(drivername=f"postgresql+{driver}")
    engine = prepare(create_engine(url, connect_args={"options": options}))
    seen: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def look(_connection, cursor, statement, *_):
        if statement.startswith("UPDATE kombo_result_link_runs SET settled_at"):
            cursor.execute("SHOW transaction_isolation")
            seen.extend(cursor.fetchone())

    runs.finish("run", {})
    with runs.engine.begin() as connection:
        connection.execute(text("UPDATE kombo_result_link_runs SET settled_at = NULL"))
    mark_settled(engine, runs.tables)
    with engine.connect() as connection:
        default = connection.exec_driver_sql("SHOW transaction_isolation").scalar_one()
    engine.dispose()
    assert (seen, default) == (["read committed"], "serializable")


def test_runs_of_an_older_version_are_settled_by_the_next_run(runs):
    """The first run after a migration marks the runs from before."""
    runs.finish("run", {})
    with runs.engine.begin() as connection:
        connection.execute(text("UPDATE kombo_result_link_runs SET settled_at = NULL"))
    runs.settle([])
    assert settled(runs) == ["run"]
