"""Explanations on the page: sentences of the table, next try and delivery."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import func, insert, select, update
from support.harness import DAY, delivery
from support.page_client import Browser, Document
from support.report_rows import fill_ledger

from airflow_kombo.kombo_api.explanations import explain
from airflow_kombo.statuses import Status
from airflow_kombo.web.explained_rows import RowExplainer, delivery_of
from airflow_kombo.web.next_try import Schedule, ScheduledRun, UnknownSchedule
from airflow_kombo.web.overview import overview
from airflow_kombo.web.row_filter import RowFilter
from airflow_kombo.web.rows import Rows
from airflow_kombo.web.schedules import DeliveringTask

AT = datetime(2100, 1, 2, 2, tzinfo=timezone.utc)
TIME = "2100-01-02 02:00 UTC"
SENTENCE = "Grant the scope results:write in the ATS."


def nightly(task):
    """Return the schedule of a nightly dag; other dags have none."""
    if task.dag_id != "kombo_result_links":
        return Schedule(str(task.dag_id))
    return Schedule("kombo_result_links", [ScheduledRun(AT, DAY)], lookback_days=7)


@pytest.fixture
def site(warehouse, tables):
    """Serve the page over rows of every status, with a nightly schedule."""
    fill_ledger(warehouse, tables)
    with warehouse.begin() as connection:
        blocked = tables.links.c.status == "blocked"
        connection.execute(update(tables.links).where(blocked).values(error_message=SENTENCE))
        connection.execute(update(tables.links).values(assessment_date=DAY))
    return Browser.of(lambda: warehouse, tables, nightly)


def text_of(site, result_id):
    (row,) = (
        href
        for href in Document(site.get(f"/rows?q={result_id}").text).all("href")
        if href.startswith("row?")
    )
    return Document(site.get(f"/{row}").text).text


def test_a_blocked_row_has_turn_and_time(site):
    """A blocked row shows Kombo's sentence, meaning, turn, next step and time of the next try."""
    turn, meaning, to_do = explain(Status.BLOCKED, "INTEGRATION.PERMISSION_MISSING")
    text = text_of(site, "blocked")
    assert SENTENCE in text
    assert f"Meaning {meaning} Whose turn {turn.capitalize()} What to do {to_do}" in text
    assert f"Tried next {TIME}, by the run of kombo_result_links for {DAY}." in text


def test_a_row_in_doubt_is_to_be_decided(site):
    """A row in doubt is never tried by itself, and nobody is asked to correct it."""
    text = text_of(site, "unknown")
    assert "Tried next Never, unless a person or evidence decides" in text
    assert "Correct" not in text.partition("Actions")[0]


def test_a_success_has_the_time_of_the_delivery(site):
    """A delivered row shows the time of Kombo's response."""
    text = text_of(site, "done")
    assert "Delivered 20" in text
    assert "Whose turn Nobody" in text
    assert "Delivered" not in text_of(site, "failed").partition("Attempts")[0]


def test_the_delivery_of_a_decided_row(warehouse, tables):
    """A row decided to be there has the time of the request and of the decision."""
    fill_ledger(warehouse, tables)
    links, attempts = tables.links.c, tables.attempts.c
    decided_at = datetime(2026, 11, 5, 9, tzinfo=timezone.utc)
    with warehouse.begin() as connection:
        mine = attempts.result_id == "unknown"
        resolution = {"resolution": "created", "resolved_at": decided_at}
        connection.execute(update(tables.attempts).where(mine).values(resolution))
        of_row = update(tables.links).where(links.result_id == "unknown")
        connection.execute(of_row.values(status="success"))
    key = delivery("unknown", target_id="c-unknown").key
    with warehouse.connect() as connection:
        rows = Rows(connection, tables)
        row, history = rows.one(key), rows.history(key)
    found = delivery_of(row, history)
    assert (found.at, found.decided_at) == (history[0].claimed_at, history[0].resolved_at)
    assert delivery_of(row, []).at == row.first_sent_at


def test_the_list_has_turn_and_next_try(site):
    """The list of rows has whose turn it is, and when each row is tried next."""
    text = Document(site.get("/rows").text).text
    assert f"the customer {TIME}" in text
    assert "us never, unless decided" in text
    assert "nobody never" in text


def test_a_row_that_is_left_out_is_never_tried(site, warehouse, tables):
    """A blocked row left out waits for nobody, and is no row of the overview."""
    blocked = tables.links.c.status == "blocked"
    left_out = {"left_out_at": func.current_timestamp(), "left_out_by": "ada"}
    with warehouse.begin() as connection:
        connection.execute(update(tables.links).where(blocked).values(**left_out))
        undelivered = overview(connection, tables, nightly(DeliveringTask(None))).undelivered
    text = text_of(site, "blocked")
    assert "Whose turn Nobody What to do Nothing." in text
    assert "Tried next Never, unless somebody takes back that the row is left out." in text
    assert "personio:two" not in {one.integration_id for one in undelivered}


def test_the_overview_counts_the_rows_that_are_due(warehouse, tables):
    """Only rows within the lookback wait for the next run, and the overview names the run."""
    fill_ledger(warehouse, tables)
    with warehouse.begin() as connection:
        connection.execute(update(tables.links).values(assessment_date=DAY))
    found = {}
    for days in (0, 7, 8):
        schedule = Schedule(
            "nightly", [ScheduledRun(AT, DAY + timedelta(days=days))], lookback_days=7
        )
        with warehouse.connect() as connection:
            undelivered = overview(connection, tables, schedule).undelivered
        found[days] = {one.integration_id: (one.waiting, one.rows) for one in undelivered}
    assert found[0] == found[7] == {"personio:two": (1, 1), "workday:one": (0, 2)}
    assert found[8] == {"personio:two": (0, 1), "workday:one": (0, 2)}
    with warehouse.connect() as connection:
        for schedule, waiting in (
            (UnknownSchedule("no Airflow"), 1),
            (Schedule("nightly", [ScheduledRun(AT, DAY)], is_paused=True), 0),
            (Schedule("nightly"), 0),
        ):
            undelivered = overview(connection, tables, schedule).undelivered
            assert sum(one.waiting for one in undelivered) == waiting


def test_the_overview_has_kombos_sentence_about_an_integration(site):
    """The overview shows Kombo's sentence, whose turn it is, and the run that sends again."""
    text = Document(site.get("/").text).text
    assert f"INTEGRATION.PERMISSION_MISSING A permission is missing. {SENTENCE}" in text
    assert "The customer Ask the customer to grant the permission" in text
    assert f"The run of kombo_result_links at {TIME} sends the waiting rows" in text


def test_a_row_of_a_dag_without_a_schedule_is_sent_by_the_nightly_dag(warehouse, tables):
    """The soonest of the row's own dag and the delivering dag counts, each asked for once."""
    fill_ledger(warehouse, tables)
    asked = []

    def schedules(task):
        asked.append(task)
        return nightly(task)

    with warehouse.begin() as connection:
        connection.execute(update(tables.links).values(assessment_date=DAY))
        rows = Rows(connection, tables).page(RowFilter(status="blocked")).rows * 2
    once = {rows[0].run_id: DeliveringTask("once")}
    found = RowExplainer(schedules, "kombo_result_links").explain(rows, once)
    assert {one.next_try.at for one in found} == {AT}
    assert len(asked) == 2
    (alone, _) = RowExplainer(schedules, None).explain(rows, once)
    assert "once" in alone.next_try.text


def test_the_tasks_of_rows_are_found(warehouse, tables):
    """The task of a row's last run is read with one query for all rows."""
    fill_ledger(warehouse, tables)
    with warehouse.begin() as connection:
        values = {**delivery("other").key.columns, "status": "failed", "attempts": 0}
        moment = select(func.current_timestamp()).scalar_subquery()
        connection.execute(insert(tables.links).values(**values, run_id="gone", updated_at=moment))
        rows = Rows(connection, tables)
        found = rows.tasks_of(rows.page(RowFilter()).rows)
    assert found == {"run-1": DeliveringTask("kombo_result_links", "deliver")}
