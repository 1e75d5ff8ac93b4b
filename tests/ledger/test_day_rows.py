"""Counts of a day's rows in the ledger."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from sqlalchemy import insert
from support.harness import DAY

from airflow_kombo.database.sql import utc_now
from airflow_kombo.ledger.day_rows import rows_of_days
from airflow_kombo.ledger.run_scope import Days
from airflow_kombo.ledger.runs import Run, Runs

DAY_BEFORE = DAY - timedelta(days=1)
TASK = {"dag_id": "dag", "task_id": "deliver"}
MINE = Run("mine", **TASK, assessment_date=DAY)


@pytest.fixture
def write(warehouse, tables):
    """Return a function that writes status rows, each of a new result."""
    runs = Runs(warehouse, tables)
    runs.start(MINE)
    runs.start(Run("other", **TASK, assessment_date=DAY))
    runs.start(Run("before", **TASK, assessment_date=DAY_BEFORE))
    runs.start(Run("foreign", **TASK | {"task_id": "another"}, assessment_date=DAY))

    def write(rows, status, run_id, *, day: date | None = DAY, **outcome):
        with warehouse.begin() as connection:
            for number in range(rows):
                name = f"{run_id} {status} {day} {outcome} {number}"
                connection.execute(
                    insert(tables.links).values(
                        integration_id="workday:one",
                        target_type="candidate",
                        target_id=name,
                        result_id=name,
                        assessment_date=day,
                        status=status,
                        attempts=1,
                        run_id=run_id,
                        updated_at=utc_now(),
                        **outcome,
                    )
                )

    return write


def test_the_rows_of_a_day_are_counted_by_status_and_run(warehouse, tables, write):
    """A row without a day counts for the run's day; rows of other days do not."""
    write(3, "success", "mine")
    write(2, "success", "other")
    write(1, "unknown", "other", day=None)
    write(1, "success", "before")
    write(5, "success", "mine", day=DAY_BEFORE)
    write(1, "success", "before", day=None)
    found = rows_of_days(warehouse, tables, Days(DAY, DAY), MINE)
    assert found.counts == {"success": 6, "unknown": 1}
    assert found.own == {"success": 3}
    both = rows_of_days(warehouse, tables, Days(DAY_BEFORE, DAY), MINE)
    assert both.counts == {"success": 12, "unknown": 1}


def test_another_tasks_rows_are_counted_as_doubt_alone(warehouse, tables, write):
    """Tasks may share a table: one that delivered everything does not hide one that failed."""
    write(5, "success", "foreign")
    write(2, "unknown", "foreign", error_code="FOREIGN")
    write(1, "unknown", "mine", error_code="MINE")
    found = rows_of_days(warehouse, tables, Days(DAY, DAY), MINE)
    assert (found.counts, found.in_doubt) == ({"unknown": 1}, 3)
    assert found.causes == {("unknown", "MINE"): 1}


def test_the_causes_are_codes_or_http_statuses(warehouse, tables, write):
    """A text that is no code is not named: another server may have written it about a person."""
    write(2, "failed", "mine", error_code="ATS.JOB_CLOSED", http_status=400)
    write(1, "failed", "other", error_code="ATS.JOB_CLOSED")
    write(1, "failed", "mine", http_status=422)
    write(1, "unknown", "mine", error_code="Ada Lovelace <ada@example.com>")
    write(1, "blocked", "mine")
    write(4, "sending", "mine")
    write(4, "success", "mine", http_status=200)
    assert rows_of_days(warehouse, tables, Days(DAY, DAY), MINE).causes == {
        ("failed", "ATS.JOB_CLOSED"): 3,
        ("failed", "HTTP 422"): 1,
        ("unknown", "another error code"): 1,
        ("blocked", "blocked"): 1,
    }
