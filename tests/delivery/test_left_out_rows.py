"""Rows left out by a person, in runs and dry runs: counted, and never sent."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.harness import DAY, SQL, by_result, fill, mapped_rows, row, run_day

from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.dag_run_rows import DagRunRows
from airflow_kombo.ledger.decisions import DecisionBy
from airflow_kombo.ledger.run_scope import Days
from airflow_kombo.ledger.runs import Run
from airflow_kombo.ledger.unknown_rows import UnknownRows, UnknownRowsFilter
from airflow_kombo.operators.applied_policy import AppliedPolicy
from airflow_kombo.operators.failure_policy import Policy
from airflow_kombo.planning.dry_run import dry_run
from airflow_kombo.planning.planner import Planner
from airflow_kombo.rows.query_source import QuerySource, parameters_of
from airflow_kombo.rows.source import Selection
from airflow_kombo.statuses import NOT_DELIVERED, Decision

LEAVE_OUT = DecisionBy(Decision.LEAVE_OUT, "test candidates", "alice")
CLOSED = {"kind": "answer", "status": 400, "code": "ATS.JOB_CLOSED"}
STRICT = Policy(dict.fromkeys(NOT_DELIVERED, 0))


@pytest.fixture
def refused(warehouse, tables, source_table, standin):
    """Deliver a day with three refused rows and an invalid one."""
    rows = [row(f"r{number}", integration_id="ats:one") for number in range(3)]
    rows += [row("r3", result_url="ftp://results.example", integration_id="ats:one")]
    fill(warehouse, source_table, rows)
    standin.add_rule(CLOSED, integration_id="ats:one")
    run_day(warehouse, tables)
    standin.clear_rules()


def leave_out(engine, tables, *result_ids):
    return sum(UnknownRows(engine, tables).decide(UnknownRowsFilter(result_ids), LEAVE_OUT))


@pytest.mark.parametrize("lookback_days", [0, 1])
def test_a_run_counts_the_rows_left_out_and_sends_the_others(
    warehouse, tables, refused, standin, lookback_days
):
    """The rows are counted as `left_out`, also late ones, and the strictest policy is met."""
    assert leave_out(warehouse, tables, "r0", "r3") == 2
    before = by_result(warehouse, tables)
    received = standin.stats()["received"]
    report = run_day(
        warehouse,
        tables,
        day=DAY + timedelta(days=lookback_days),
        lookback_days=lookback_days,
        redeliver=frozenset({"failed"}),
    )
    assert report.counts == {"success": 2, "left_out": 2}
    assert report.planned == sum(report.counts.values())
    assert report.tried == 2
    assert standin.stats()["received"] == received + 2
    AppliedPolicy(STRICT, 1.0, is_whole=True, where="here").apply(report)
    after = by_result(warehouse, tables)
    assert {name: after[name] for name in ("r0", "r3")} == {
        name: before[name] for name in ("r0", "r3")
    }


def test_a_day_whose_rows_are_all_left_out_is_green(warehouse, tables, refused, standin):
    """Nothing was tried, so nothing is missing."""
    leave_out(warehouse, tables, "r0", "r1", "r2", "r3")
    report = run_day(warehouse, tables, redeliver=frozenset({"failed"}))
    assert (report.counts, report.tried) == ({"left_out": 4}, 0)
    AppliedPolicy(STRICT, 1.0, is_whole=True, where="here").apply(report)


def test_a_dry_run_shows_the_rows_left_out(warehouse, tables, refused, standin):
    """The preview has the action `left out`, also for an invalid row."""
    leave_out(warehouse, tables, "r0", "r3")
    selection = Selection(redeliver=frozenset({"failed"}), also_done=True)
    source = QuerySource(warehouse, tables, SQL, parameters_of(DAY), selection=selection)
    planner = Planner(mapped_rows(source, selection), Ledger(warehouse, tables), selection)
    report = dry_run(Run("dry", assessment_date=DAY), planner)
    assert report.senders["ats:one"] == {"left out": 2, "send": 2}


def test_the_account_of_a_day_has_each_row_left_out_once(warehouse, tables, refused, standin):
    """A row left out after the run wrote the row is counted as `left_out`, too."""
    leave_out(warehouse, tables, "r0")
    run = Run("run", "dag", "dag run", "task", map_index=-1, try_number=1, assessment_date=DAY)
    run_day(warehouse, tables, run=run, redeliver=frozenset({"failed"}))
    leave_out(warehouse, tables, "r1")
    counts = DagRunRows(warehouse, tables, run, Days(DAY, DAY)).counts()
    assert sum(one["left_out"] for one in counts.values()) == 2
    assert sum(one["success"] for one in counts.values()) == 1
