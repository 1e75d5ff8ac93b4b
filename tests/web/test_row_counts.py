"""Rows by day and status, without an index on the status."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import delete, insert, select, text
from support.harness import DAY

from airflow_kombo.database.sql import utc_now
from airflow_kombo.ledger.run_scope import Days
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.statuses import Status
from airflow_kombo.web.row_counts import has_status, rows_by_day

PERIOD = Days(DAY - timedelta(days=6), DAY)
RUN_IDS = ("alive", "settled", "left", "lost")


@pytest.fixture
def filled(warehouse, tables):
    """Return tables with rows of all statuses: of an ended run, a living one, and a lost one."""
    runs = Runs(warehouse, tables)
    for name in RUN_IDS:
        runs.start(Run(name))
    rows = [
        {
            "integration_id": "i",
            "target_type": "candidate",
            "target_id": f"{run}{number}",
            "result_id": f"{run} {status} {number}",
            "run_id": run,
            "status": status.value,
            "assessment_date": day,
            "attempts": 1,
        }
        for run in RUN_IDS
        for status in Status
        for number, day in enumerate([DAY, DAY - timedelta(days=2), None])
        if status is not Status.SENDING or run != "settled"
    ]
    with warehouse.begin() as connection:
        connection.execute(insert(tables.links).values(updated_at=utc_now()), rows)
    runs.finish("settled", {})
    runs.finish("left", {})
    with warehouse.begin() as connection:
        connection.execute(delete(tables.runs).where(tables.runs.c.run_id == "lost"))
    return warehouse, tables, rows


def older(warehouse):
    """Make the tables those of a version without a derived column."""
    with warehouse.begin() as connection:
        for index in ("in_doubt", "in_trouble", "troubles"):
            on = " ON kombo_result_links" if warehouse.dialect.name in {"mysql", "mariadb"} else ""
            connection.execute(text(f"DROP INDEX IF EXISTS kombo_result_links_{index}{on}"))
        connection.execute(text("ALTER TABLE kombo_result_links DROP COLUMN trouble"))
        connection.execute(text("ALTER TABLE kombo_result_link_runs DROP COLUMN settled_at"))


@pytest.mark.parametrize("is_older", [False, True])
def test_the_rows_of_a_day_are_counted_by_status(filled, is_older):
    """Counts are those of the rows, also for runs that left rows, or whose own row is lost."""
    warehouse, tables, rows = filled
    if is_older:
        older(warehouse)
    wanted = Counter(row["status"] for row in rows if row["assessment_date"] == DAY)
    with warehouse.connect() as connection:
        days = rows_by_day(connection, tables, PERIOD)
    assert list(days) == [PERIOD.first + timedelta(days=number) for number in range(7)]
    assert days[DAY] == days[DAY - timedelta(days=2)] == wanted
    assert wanted[Status.SENDING] == 3
    assert days[PERIOD.first] == Counter()


@pytest.mark.parametrize("is_older", [False, True])
@pytest.mark.parametrize("statuses", [[one] for one in Status] + [[Status.FAILED, Status.UNKNOWN]])
def test_the_rows_of_a_status_are_found(filled, statuses, is_older):
    """The condition for statuses finds the rows that have one of them, and no other."""
    warehouse, tables, rows = filled
    if is_older:
        older(warehouse)
    wanted = {row["result_id"] for row in rows if Status(row["status"]) in statuses}
    with warehouse.connect() as connection:
        query = select(tables.links.c.result_id).where(has_status(connection, tables, statuses))
        assert set(connection.execute(query).scalars()) == wanted
