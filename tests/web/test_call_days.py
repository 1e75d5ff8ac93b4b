"""Calls by integration and day: what runs have kept, and how the page adds it up."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest
from sqlalchemy import text, update
from support.harness import delivery
from support.page_client import Browser, Document
from support.report_rows import RUN, fill_ledger

from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.outcomes import AttemptOutcome, RowOutcome
from airflow_kombo.ledger.run_calls import IntegrationCalls, keep_calls, kept_calls
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.statuses import Status
from airflow_kombo.web import call_days
from airflow_kombo.web.call_days import CallFilter, calls_by_day
from airflow_kombo.web.runs import RunKey, RunList

BEGAN = datetime(2026, 11, 4, 2, tzinfo=timezone.utc)
LIMITED = RowOutcome(Status.RETRYABLE, "PLATFORM.RATE_LIMIT_EXCEEDED", http_status=429)


def send(engine, tables, run_id, *outcomes):
    """Start a run, and record calls: (integration, result, outcome, milliseconds)."""
    Runs(engine, tables).start(Run(run_id))
    ledger = Ledger(engine, tables)
    for integration_id, result_id, outcome, milliseconds in outcomes:
        (claim,) = ledger.claim(run_id, [delivery(result_id, integration_id=integration_id)]).won
        ledger.record([AttemptOutcome(claim, outcome, milliseconds)])


def begin(engine, tables, run_id, moment):
    """Write the start of a run."""
    with engine.begin() as connection:
        mine = tables.runs.c.run_id == run_id
        connection.execute(update(tables.runs).where(mine).values(started_at=moment))


def found(engine, tables, **conditions):
    """Return (day of November, integration, results, calls, success rate, p50) of each line."""
    with engine.connect() as connection:
        view = calls_by_day(connection, tables, CallFilter(**conditions))
    return [
        (one.day.day, calls.integration_id, calls.rows, calls.calls, calls.success_rate,
         calls.median)
        for one in view.days for calls in [one.calls]
    ]  # fmt: skip


@pytest.fixture
def nights(warehouse, tables):
    """Keep the calls of two nights, and of a run by hand in the second one."""
    made, refused = RowOutcome(Status.SUCCESS), RowOutcome(Status.FAILED, "x", http_status=400)
    send(warehouse, tables, "first", ("ats:a", "1", made, 10), ("ats:b", "2", refused, 70))
    again = [("ats:a", "3", LIMITED, None), ("ats:a", "3", made, 30), ("ats:a", "4", made, 50)]
    send(warehouse, tables, "second", *again)
    send(warehouse, tables, "by hand", ("ats:a", "5", refused, 900))
    for number, run_id in enumerate(("first", "second", "by hand")):
        keep_calls(warehouse, tables, run_id)
        begin(warehouse, tables, run_id, BEGAN + timedelta(hours=(0, 24, 30)[number]))


def test_a_day_has_the_calls_of_all_its_runs(warehouse, tables, nights):
    """Numbers are added up; response times are those of the run with the most calls."""
    assert found(warehouse, tables) == [
        (5, "ats:a", 3, 4, 2 / 3, 30),
        (4, "ats:b", 1, 1, 0.0, 70),
        (4, "ats:a", 1, 1, 1.0, 10),
    ]


def test_days_and_an_integration_are_chosen(warehouse, tables, nights):
    """The days are those on which the runs started, in UTC."""
    second = found(warehouse, tables, since=date(2026, 11, 5))
    assert [day for day, *_ in second] == [5]
    first = found(warehouse, tables, until=date(2026, 11, 4), integration="ats:b")
    assert [name for _, name, *_ in first] == ["ats:b"]


def test_more_runs_than_are_read_are_told(warehouse, tables, nights, monkeypatch):
    """The newest runs are read, and the answer says that there are more."""
    monkeypatch.setattr(call_days, "MOST_TASKS", 2)
    with warehouse.connect() as connection:
        view = calls_by_day(connection, tables, CallFilter())
    assert view.is_cut
    assert {one.day.day for one in view.days} == {5}


def test_a_run_says_how_many_results_it_sent(warehouse, tables, nights):
    """A result that was sent again after a 429 counts once; a run under way has no number yet."""
    Runs(warehouse, tables).start(Run("alive"))
    with warehouse.connect() as connection:
        runs = RunList(connection, tables, BEGAN)
        sent = {name: runs.one(RunKey(run_id=name)).sent for name in ("first", "second", "alive")}
    assert sent == {"first": 2, "second": 2, "alive": None}


def test_what_is_kept_is_what_was_counted(warehouse, tables, nights):
    """The column has the numbers of the run's page."""
    with warehouse.connect() as connection:
        runs = {run.run_id: run for run in connection.execute(tables.runs.select())}
    assert kept_calls(runs["second"].calls) == [IntegrationCalls("ats:a", 2, 3, 2, 1, 30, 50)]
    assert kept_calls(None) is None


def test_a_run_without_a_row_keeps_nothing(warehouse, tables):
    """A run that could not start has no row, and no calls."""
    keep_calls(warehouse, tables, "never started")
    assert found(warehouse, tables) == []


def test_the_page_shows_the_calls(warehouse, tables):
    """The list of runs leads to the calls; without any there is a sentence."""
    fill_ledger(warehouse, tables)
    site = Browser.of(lambda: warehouse, tables)
    assert "No run that has ended sent a request." in Document(site.get("/calls").text).text
    keep_calls(warehouse, tables, RUN.run_id)
    assert "calls?" in Document(site.get("/runs").text).all("href")
    page = Document(site.get("/calls").text)
    assert "Integration Day Sent Calls Success rate" in page.text
    assert "calls?integration=workday%3Aone" in page.all("href")


def test_a_table_of_an_older_version_has_no_calls(warehouse, tables):
    """The page of an older version's tables shows runs, and no calls."""
    fill_ledger(warehouse, tables)
    with warehouse.begin() as connection:
        connection.execute(text(f"ALTER TABLE {tables.runs.fullname} DROP COLUMN calls"))
    site = Browser.of(lambda: warehouse, tables)
    assert site.get("/runs").status_code == 200
    assert "No run that has ended sent a request." in Document(site.get("/calls").text).text
