"""Late rows: a scheduled run also delivers undelivered rows of earlier days."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace

import pytest
from support.harness import DAY, MAPPING, by_result, fill, row, run_day, statuses

from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.operators.databases import Databases
from airflow_kombo.operators.parameters import RunParameters
from airflow_kombo.operators.row_selection import Rows
from airflow_kombo.rows.result_link_mapping import ResultLinkMapping
from airflow_kombo.rows.source import Selection

ONE_DAY = "SELECT * FROM assessment_results WHERE assessment_date = :assessment_date"


def before(number):
    return DAY - timedelta(days=number)


def test_late_rows_go_with_the_run_and_keep_their_own_day(warehouse, tables, source_table, standin):
    """Late rows of the lookback days are sent, and no rows of earlier days."""
    fill(warehouse, source_table, [row(f"r{n}", assessment_date=before(n)) for n in range(-1, 10)])
    report = run_day(warehouse, tables, lookback_days=7)
    assert report.planned == 8
    links = by_result(warehouse, tables)
    assert {name: link.assessment_date for name, link in links.items()} == {
        f"r{n}": before(n) for n in range(8)
    }


def test_what_was_not_sent_goes_again_and_what_was_refused_costs_no_request(
    warehouse, tables, source_table, standin
):
    """`retryable` and `blocked` rows of an earlier day are sent; others cost no request."""
    responses = {
        "failed": {"kind": "answer", "status": 400, "code": "ATS.JOB_CLOSED"},
        "unknown": {"kind": "reset"},
        "blocked": {"kind": "answer", "status": 403, "code": "INTEGRATION.INACTIVE"},
        "retryable": {"kind": "answer", "status": 401, "code": "PLATFORM.AUTHENTICATION_INVALID"},
    }
    yesterday = {"assessment_date": before(1)}
    rows = [
        row(name, integration_id=f"ats:{name}", **yesterday) for name in ("success", *responses)
    ]
    rows.append(row("invalid", result_url="ftp://results.example", **yesterday))
    fill(warehouse, source_table, rows)
    for name, response in responses.items():
        standin.add_rule(response, integration_id=f"ats:{name}")
    for name in (*responses, "success", "invalid"):
        asked = {"day": before(1), "result_ids": frozenset({name})}
        if name == "retryable":
            with pytest.raises(ConfigurationError, match="refuses this key"):
                run_day(warehouse, tables, **asked)
        else:
            run_day(warehouse, tables, **asked)
    assert {name: link.status for name, link in by_result(warehouse, tables).items()} == {
        name: name for name in (*responses, "success", "invalid")
    }
    standin.clear_rules()
    received = standin.stats()["received"]
    report = run_day(warehouse, tables, lookback_days=7)
    assert standin.stats()["received"] == received + 2
    assert report.counts == {"success": 2, "skipped": 2}
    assert statuses(warehouse, tables) == {"success": 3, "failed": 1, "invalid": 1, "unknown": 1}


def test_a_night_beside_its_predecessor_sends_nothing_twice(
    warehouse, tables, source_table, standin
):
    """Runs of two nights at the same time send each row once."""
    standin.set_latency((0.005, 0.02))
    rows = [row(f"r{n:03}", assessment_date=before(n % 2)) for n in range(160)]
    fill(warehouse, source_table, rows)
    nights = [{"day": before(1), "lookback_days": 7}, {"day": DAY, "lookback_days": 7}]
    with ThreadPoolExecutor(2) as threads:
        reports = list(threads.map(lambda night: run_day(warehouse, tables, **night), nights))
    assert {link["count"] for link in standin.links()} == {1}
    assert len(standin.links()) == standin.stats()["created"] == 160
    assert sum(report.counts["success"] for report in reports) == 160
    assert all(report.planned == report.counts.total() for report in reports)


@pytest.mark.parametrize(
    ("run_type", "rows", "planned", "logged"),
    [
        ("scheduled", {"table": "assessment_results"}, 2, "Also the rows of the 7 days before"),
        ("asset_triggered", {"table": "assessment_results"}, 2, "Also the rows of the 7 days"),
        ("manual", {"table": "assessment_results"}, 1, ""),
        ("backfill", {"table": "assessment_results"}, 1, ""),
        ("scheduled", {"sql": ONE_DAY}, 1, "the query does not use :first_assessment_date"),
    ],
)
def test_only_runs_that_nobody_asked_for_look_back(
    warehouse, tables, source_table, caplog, run_type, rows, planned, logged
):
    """Manual runs, backfills and queries for one day do not look back."""
    fill(warehouse, source_table, [row("r0"), row("r1", assessment_date=before(1))])
    caplog.set_level(logging.INFO, logger="airflow_kombo")
    asked = RunParameters(lookback_days=7, **rows)
    databases, mapping = Databases(warehouse, tables, warehouse), ResultLinkMapping.load(MAPPING)
    rows_of_run = Rows(asked, databases, Selection(), mapping, None, None)
    mapped = rows_of_run.mapped({"dag_run": SimpleNamespace(run_type=run_type)}, DAY)
    assert mapped.plan() == {"workday:one": planned}
    assert [logged in message for message in caplog.messages] == [True] * bool(logged)
