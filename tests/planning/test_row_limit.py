"""Row limit: a run with far more rows than usual needs approval."""

from __future__ import annotations

import tracemalloc
from datetime import timedelta

import pytest
from sqlalchemy import event
from support.harness import (
    DAY,
    SQL,
    all_of,
    fill,
    mapped_rows,
    row,
    run_day,
)

from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.planning.planner import Planner
from airflow_kombo.planning.row_limit import RowLimit
from airflow_kombo.rows.query_source import QuerySource, parameters_of
from airflow_kombo.rows.source import Selection
from airflow_kombo.rows.task_source import TaskSource
from airflow_kombo.statuses import COUNTED

TASK = {"dag_id": "dag", "task_id": "deliver", "map_index": -1}


@pytest.mark.parametrize(
    ("usual", "most"), [(None, 1_000), (3, 1_000), (100, 1_000), (101, 1_010), (2_000.5, 20_005)]
)
def test_the_limit_is_ten_usual_days_and_at_least_a_thousand(usual, most):
    """The limit is ten times the rows of a usual day; without a known day it is 1,000."""
    limit = RowLimit.over(usual)
    assert limit.refuses(most) is None
    assert f"{most + 1:,} rows would be sent, and at most {most:,} may be" in limit.refuses(
        most + 1
    )


def finish(runs, name, days_ago, *, of=TASK, planned=0, **counts):
    run = Run(name, **of, assessment_date=DAY - timedelta(days=days_ago))
    runs.start(run)
    runs.finish(name, {"planned": planned, **dict.fromkeys(COUNTED, 0), **counts})


def test_the_usual_is_the_median_of_the_last_days(warehouse, tables):
    """The median is over the last 14 days of the task, without other tasks and older days."""
    runs = Runs(warehouse, tables)
    assert runs.usual(Run("now", **TASK)) is None
    for days_ago in range(20, 0, -1):
        sent = 500_000 if days_ago > 14 else 100 * days_ago
        finish(
            runs, f"r{days_ago}", days_ago, planned=sent + 12, success=sent, skipped=7, invalid=5
        )
    finish(runs, "other", 0, of=TASK | {"task_id": "other"}, planned=9_999, success=9_999)
    finish(runs, "shard", 0, of=TASK | {"map_index": 1}, planned=9_999, success=9_999)
    assert runs.usual(Run("now", **TASK)) == 750


def test_small_runs_do_not_lower_the_usual(warehouse, tables):
    """All tries of a day count as one day; runs that sent nothing or never ended do not count."""
    runs = Runs(warehouse, tables)
    finish(runs, "first try", 1, planned=600, success=550, retryable=50)
    finish(runs, "second try", 1, planned=50, success=50)
    for number in range(20):
        finish(runs, f"again{number}", 1)
        finish(runs, f"weekend{number}", 2)
    runs.start(Run("died", **TASK, assessment_date=DAY))
    assert runs.usual(Run("now", **TASK)) == 650


def test_a_run_over_the_limit_stops_before_the_first_row(warehouse, tables, source_table, standin):
    """A run over the limit sends and claims nothing, and the runs table has the reason."""
    fill(warehouse, source_table, [row(f"r{number}") for number in range(31)])
    with pytest.raises(ConfigurationError, match="31 rows would be sent, and at most 30 may be"):
        run_day(warehouse, tables, guard=RowLimit(30, "a test"))
    assert standin.stats()["received"] == 0
    assert all_of(warehouse, tables.links) == all_of(warehouse, tables.attempts) == []
    (run,) = all_of(warehouse, tables.runs)
    assert (run.planned, run.ended_at is None) == (0, False)
    assert "a test" in run.error
    assert run_day(warehouse, tables, guard=RowLimit(31, "a test")).counts == {"success": 31}


def test_only_rows_to_send_count(warehouse, tables, source_table, standin):
    """Unchanged refused rows, invalid rows and rows beyond `limit` need no approval."""
    fill(warehouse, source_table, [row(f"r{number}") for number in range(12)])
    standin.add_rule({"kind": "answer", "status": 400, "code": "ATS.JOB_CLOSED"})
    run_day(warehouse, tables)
    standin.clear_rules()
    fill(warehouse, source_table, [row("new"), row("bad", result_url="ftp://results.example")])
    guard = RowLimit(1, "a test")
    assert run_day(warehouse, tables, guard=guard).counts == {
        "success": 1,
        "invalid": 1,
        "skipped": 12,
    }
    again = {"guard": guard, "redeliver": frozenset({"failed"})}
    with pytest.raises(ConfigurationError, match="12 rows would be sent"):
        run_day(warehouse, tables, **again)
    report = run_day(warehouse, tables, limit=1, **again)
    assert report.counts == {"success": 1, "skipped": 1}


@pytest.mark.parametrize("limit", [None, 3, 99])
def test_the_query_is_read_once_also_for_the_row_limit(
    warehouse, tables, source_table, standin, limit
):
    """Planning, counting the rows to send and `limit` share one reading of the day."""
    fill(warehouse, source_table, [row(f"r{number}") for number in range(12)])
    standin.add_rule({"kind": "answer", "status": 400, "code": "ATS.JOB_CLOSED"})
    run_day(warehouse, tables)
    standin.clear_rules()
    fill(warehouse, source_table, [row("new")])
    selected = {} if limit is None else {"limit": limit}
    selection = Selection(**selected)
    source = QuerySource(warehouse, tables, SQL, parameters_of(DAY), selection=selection)
    reads = []

    @event.listens_for(warehouse, "before_cursor_execute")
    def listen(_connection, _cursor, statement, *_):
        if "assessment_results" in statement:
            reads.append(statement)

    report = run_day(warehouse, tables, source=source, guard=RowLimit(1, "a test"), **selected)
    event.remove(warehouse, "before_cursor_execute", listen)
    assert report.counts == {"success": 1, "skipped": 12}
    assert len(reads) == 1


@pytest.mark.parametrize("limit", [None, 400])
def test_counting_does_not_hold_the_day(warehouse, tables, source_table, monkeypatch, limit):
    """The count for the row limit holds one page, so memory does not grow with the day."""
    fill(
        warehouse,
        source_table,
        [row(f"r{number}", assessment_name="x" * 20_000) for number in range(400)],
    )
    monkeypatch.setattr("airflow_kombo.planning.planner._LOOKUP_ROWS", 10)
    selection = Selection(limit=limit)
    source = QuerySource(warehouse, tables, SQL, parameters_of(DAY), selection=selection)
    rows = mapped_rows(source, selection, page_rows=7)
    planner = Planner(rows, Ledger(warehouse, tables), selection)
    assert planner._planned == {"workday:one": 400}
    tracemalloc.start()
    try:
        assert sum(planner.sent().values()) == 400
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 400 * 20_000 / 4


def test_not_before_leaves_out_older_rows(warehouse, tables, source_table, standin):
    """Rows older than `not_before` are neither planned nor counted nor sent."""
    fill(
        warehouse,
        source_table,
        [row(f"r{n}", assessment_date=DAY - timedelta(days=n)) for n in range(8)],
    )
    report = run_day(warehouse, tables, lookback_days=7, not_before=DAY - timedelta(days=2))
    assert report.planned == report.counts["success"] == 3
    assert run_day(warehouse, tables, not_before=DAY + timedelta(days=1)).planned == 0


def test_not_before_applies_to_rows_of_a_task(warehouse, tables, source_table):
    """`not_before` also applies to an upstream task's rows, and needs their column."""
    selection = Selection(not_before=DAY)
    rows = [row("a"), row("b", assessment_date="2026-11-02"), row("c", assessment_date=None)]
    assert mapped_rows(TaskSource(rows), selection).plan() == {"workday:one": 2}
    assert mapped_rows(TaskSource([]), selection).plan() == {}
    for one in rows:
        del one["assessment_date"]
    with pytest.raises(ConfigurationError, match="no column assessment_date"):
        mapped_rows(TaskSource(rows), selection).plan()
    undated = f"SELECT result_id, integration_id, candidate_id, application_id FROM ({SQL}) AS days"  # noqa: S608
    with pytest.raises(ConfigurationError, match="no column assessment_date"):
        QuerySource(warehouse, tables, undated, parameters_of(DAY), selection=selection)
