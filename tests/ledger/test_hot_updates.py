"""The usual outcome of a row is a HOT update on PostgreSQL: no index changes with it."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import event, text
from support.harness import all_of, delivery

from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.fast_path import FastPath
from airflow_kombo.ledger.outcomes import AttemptOutcome, RowOutcome
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.statuses import Status

ON_POSTGRESQL = pytest.mark.parametrize("warehouse", ["postgresql"], indirect=True)
ROWS = 400
SUCCESS = RowOutcome(Status.SUCCESS, http_status=201)
CHANGED = {"status", "http_status", "updated_at", "answered_at", "milliseconds"}
"""Columns that the plain success of a first attempt gives another value."""


@pytest.mark.parametrize("table", ["links", "attempts"])
def test_no_index_has_a_value_that_a_plain_success_changes(table):
    """Neither the columns nor the condition of an index has such a value."""
    for index in getattr(Tables.named(), table).indexes:
        condition = index.dialect_options["postgresql"]["where"]
        words = re.findall(r"\w+", "" if condition is None else str(condition))
        assert not {*index.columns.keys(), *words} & CHANGED, index.name


def hot_share(engine, table):
    """Return the share of HOT updates among all updates of a table, and their number."""
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
        connection.commit()
        query = text(
            "SELECT n_tup_hot_upd, n_tup_upd FROM pg_stat_user_tables"
            " WHERE relid = CAST(:name AS regclass)"
        )
        hot, updates = connection.execute(query, {"name": table.name}).one()
    return hot / updates, updates


@ON_POSTGRESQL
@pytest.mark.parametrize("path", [FastPath, Ledger])
def test_usual_outcomes_are_hot_updates(warehouse, tables, path):
    """At least 90 % of the updates of both tables change no index and no other page."""
    Runs(warehouse, tables).start(Run("run"))
    ledger = Ledger(warehouse, tables)
    used = ledger if path is Ledger else FastPath(ledger)
    for start in range(0, ROWS, 40):
        names = [f"r{number}" for number in range(start, start + 40)]
        won = used.claim("run", [delivery(name, target_id=name) for name in names])
        claims = won.won if path is Ledger else won.values()
        used.record([AttemptOutcome(claim, SUCCESS, 50) for claim in claims])
    assert {row.status for row in all_of(warehouse, tables.links)} == {"success"}
    for table in (tables.links, tables.attempts):
        share, updates = hot_share(warehouse, table)
        assert updates == ROWS
        assert share >= 0.9


def plans_of(engine, work):
    """Return the plans of the statements that find rows by key in some work."""
    plans = []

    def explain(connection, cursor, statement, parameters, *_):
        if re.match(r"\s*(UPDATE|DELETE|SELECT kombo)", statement):
            other = cursor.connection.cursor()
            other.execute(f"EXPLAIN {statement}", parameters)
            plans.append("\n".join(line for (line,) in other))

    event.listen(engine, "before_cursor_execute", explain)
    work()
    event.remove(engine, "before_cursor_execute", explain)
    return plans


@pytest.fixture
def without_statistics(warehouse, tables):
    """Return a ledger with a run of 150 `sending` rows, in tables without statistics."""
    Runs(warehouse, tables).start(Run("run"))
    ledger = Ledger(warehouse, tables)
    claims = ledger.claim("run", [delivery(f"r{n}", target_id=f"c{n}") for n in range(150)]).won
    return ledger, claims


@ON_POSTGRESQL
@pytest.mark.parametrize("work", ["record", "release", "settle"])
def test_a_row_is_found_by_its_key_without_statistics(without_statistics, work):
    """PostgreSQL does not look for a row to write among all rows of its run."""
    ledger, claims = without_statistics
    runs = Runs(ledger.engine, ledger.tables, dead_after=0.0)
    outcome = RowOutcome(Status.RETRYABLE)
    does = {
        "record": lambda: ledger.record([AttemptOutcome(claims[0], SUCCESS)]),
        "release": lambda: ledger.release(claims[:1], outcome),
        "settle": lambda: runs.settle(["run"]),
    }[work]
    plans = plans_of(ledger.engine, does)
    writes = [plan for plan in plans if re.match(r"(Update|Delete)", plan)]
    ours = [plan for plan in writes if "kombo_result_link_runs" not in plan.splitlines()[0]]
    assert len(ours) >= 2
    assert [plan for plan in ours if re.search(r"_(of_)?run on", plan)] == []


@ON_POSTGRESQL
def test_the_fast_path_finds_a_row_by_its_key_without_statistics(without_statistics):
    """The statements of the fast path, too."""
    ledger, _ = without_statistics
    fast = FastPath(ledger)
    given = {**fast._recorded.given([{}]), "run_id": "run"}
    for script in (fast._claim, fast._record):
        *_, statement = script._text.partition("BEGIN; ")
        settings, _, statement = statement.partition("; ")
        with ledger.engine.begin() as connection:
            connection.exec_driver_sql(settings)
            parameters = {**script._constants, **given}
            plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
            lines = [line for (line,) in plan]
        assert not [line for line in lines if re.search(r"_(of_)?run on", line)], lines
