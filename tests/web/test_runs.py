"""Runs on the page: the list by dag run, one run, and the calls by integration."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import update
from support.harness import DAY, delivery
from support.page_client import Browser, Document
from support.report_rows import RUN, fill_ledger

from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.outcomes import AttemptOutcome, RowOutcome
from airflow_kombo.ledger.run_calls import calls_of
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.statuses import Status
from airflow_kombo.web.pagination import InvalidPositionError
from airflow_kombo.web.run_starts import starter_by_name
from airflow_kombo.web.runs import RunFilter, RunKey, RunList, RunPosition

BEGAN = datetime(2026, 11, 4, 2, tzinfo=timezone.utc)
LIMITED = RowOutcome(Status.RETRYABLE, "PLATFORM.RATE_LIMIT_EXCEEDED", http_status=429)


def start(engine, tables, *runs):
    """Start runs at minutes after 02:00: (run, minute, counts or None)."""
    ledger = Runs(engine, tables)
    for run, minute, counts in runs:
        ledger.start(run)
        if counts is not None:
            ledger.finish(run.run_id, counts)
        moments = {"started_at": BEGAN + timedelta(minutes=minute)}
        if counts is not None:
            moments["ended_at"] = BEGAN + timedelta(minutes=minute, seconds=90)
        with engine.begin() as connection:
            mine = tables.runs.c.run_id == run.run_id
            connection.execute(update(tables.runs).where(mine).values(moments))


def shard(number, run_id, dag_run_id="scheduled__1", **changes):
    return replace(RUN, run_id=run_id, dag_run_id=dag_run_id, map_index=number, **changes)


def listed(connection, tables, size=25, **conditions):
    """Read all pages of runs, each as a list."""
    runs, run_filter = RunList(connection, tables, BEGAN), RunFilter(**conditions)
    while True:
        page = runs.page(run_filter, size)
        yield page.runs
        if page.after is None:
            return
        run_filter = run_filter.model_copy(update={"after": page.after})


def test_shards_and_tries_are_one_run(warehouse, tables):
    """A run has the counts of each shard's last try, the first start and the last end."""
    start(
        warehouse,
        tables,
        (shard(0, "a"), 0, {"planned": 5, "success": 3, "retryable": 2}),
        (shard(1, "b"), 1, {"planned": 7, "success": 7}),
        (shard(0, "c", try_number=2), 9, {"planned": 2, "success": 2}),
        (Run("alone"), 3, {"planned": 1, "failed": 1}),
    )
    with warehouse.connect() as connection:
        (runs,) = listed(connection, tables)
    assert [run.key for run in runs] == [
        RunKey(run_id="alone"),
        RunKey(dag_id=RUN.dag_id, dag_run_id="scheduled__1"),
    ]
    run = runs[1]
    assert (run.progress.planned, run.progress.counts["success"]) == (9, 9)
    assert (run.seconds, len(run.tries)) == (9 * 60 + 90, 3)


def test_the_list_shows_each_run_once(warehouse, tables):
    """In every page size each run is shown once, also runs with the same start."""
    start(
        warehouse,
        tables,
        *((shard(0, f"r{n}", f"manual__{n}"), n // 3, {"planned": n}) for n in range(10)),
        (replace(RUN, run_id="other", dag_id="other", dag_run_id="manual__1"), 0, {}),
    )
    with warehouse.connect() as connection:
        (every,) = listed(connection, tables)
        assert len({run.key for run in every}) == len(every) == 11
        assert [run.started_at for run in every] == sorted(
            (run.started_at for run in every), reverse=True
        )
        for size in (1, 2, 3, 10, 11):
            pages = [run.key for page in listed(connection, tables, size) for run in page]
            assert pages == [run.key for run in every]


def test_a_period_is_chosen_by_days(warehouse, tables):
    """The list has the runs from the first to the last day, both included."""
    day = 24 * 60
    nights = [(shard(0, f"r{n}", f"scheduled__{n}"), n * day, {}) for n in range(4)]
    start(warehouse, tables, *nights)
    first = BEGAN.date()
    with warehouse.connect() as connection:
        for conditions, expected in (
            ({"since": first + timedelta(days=2)}, ["3", "2"]),
            ({"until": first + timedelta(days=1)}, ["1", "0"]),
            ({"since": first + timedelta(days=1), "until": first + timedelta(days=1)}, ["1"]),
            ({"since": "", "until": ""}, ["3", "2", "1", "0"]),
            ({"since": "9999-12-31"}, []),
            ({"until": "9999-12-31"}, ["3", "2", "1", "0"]),
        ):
            (runs,) = listed(connection, tables, **conditions)
            assert [run.key.dag_run_id[-1] for run in runs] == expected, conditions


@pytest.mark.parametrize("token", ["x", "W10", "WzFd", "é", "WyIyMDI2LTAxLTAxIiwiYSIsImIiXQ"])
def test_an_invalid_position_of_a_run_is_refused(token):
    """A cut or invented position, or one without a time zone, is refused with advice."""
    with pytest.raises(InvalidPositionError, match="Begin at the start"):
        RunPosition.read(token)


def send(engine, tables, integration_id, outcomes):
    """Record calls of one integration in the run: (outcome, milliseconds)."""
    ledger = Ledger(engine, tables)
    for number, (outcome, milliseconds) in enumerate(outcomes):
        row = delivery(f"{integration_id}-{number}", integration_id=integration_id)
        (claim,) = ledger.claim("run-1", [row]).won
        ledger.record([AttemptOutcome(claim, outcome, milliseconds)])


def test_the_calls_of_a_run_by_integration(warehouse, tables):
    """Percentiles are those of the nearest rank, and the 429s count in no success rate."""
    Runs(warehouse, tables).start(RUN)
    sent = RowOutcome(Status.SUCCESS)
    send(warehouse, tables, "ats:fast", [(sent, n) for n in range(1, 21)])
    refused = RowOutcome(Status.FAILED, "ATS.JOB_CLOSED", http_status=422)
    send(warehouse, tables, "ats:poor", [(sent, 7), (refused, 90), (LIMITED, None)])
    send(warehouse, tables, "ats:idle", [(LIMITED, None)])
    Runs(warehouse, tables).start(replace(RUN, run_id="run-2"))
    with warehouse.connect() as connection:
        run = RunList(connection, tables, BEGAN).one(
            RunKey(dag_id=RUN.dag_id, dag_run_id=RUN.dag_run_id)
        )
        found = {one.integration_id: one for one in calls_of(connection, tables, run.tries)}
    assert list(found) == ["ats:poor", "ats:fast", "ats:idle"]
    fast, poor, idle = found["ats:fast"], found["ats:poor"], found["ats:idle"]
    assert (fast.calls, fast.median, fast.slowest, fast.success_rate) == (20, 10, 19, 1)
    assert (poor.calls, poor.limited, poor.median, poor.slowest) == (3, 1, 7, 90)
    assert (poor.success_rate, idle.success_rate, idle.median) == (0.5, None, None)
    assert run.limited == 2


@pytest.fixture
def site(warehouse, tables):
    """Serve the page over one run with every outcome."""
    fill_ledger(warehouse, tables)
    with warehouse.begin() as connection:
        mine = tables.attempts.c.result_id == "unknown"
        connection.execute(update(tables.attempts).where(mine).values(http_status=429))
    started = {(RUN.dag_id, RUN.dag_run_id): "a person or a program: ada"}
    return Browser.of(
        lambda: warehouse, tables, starters=lambda keys: {k: started[k] for k in keys}
    )


def test_the_list_links_to_the_run_and_to_airflow(site):
    """A run has counts, 429s, starter, a page of its own, and a link to Airflow."""
    page = Document(site.get("/runs").text)
    assert "a person or a program: ada 6 - success 3 blocked 1 unknown 1 failed 1 1" in page.text
    task = "../dags/kombo_result_links/runs/manual__1/tasks/deliver?try_number=1"
    assert task in page.all("href")
    (run,) = (href for href in page.all("href") if href.startswith("run?"))
    page = Document(site.get(f"/{run}").text)
    for expected in ("Started by a person or a program: ada", "429s 1", "personio:two 1 0.0 %"):
        assert expected in page.text
    assert task in page.all("href")
    assert f"rows?day={DAY}" in page.all("href")


def test_a_run_that_is_not_there(site):
    """An unknown run is a page with advice, and a key without any id is one, too."""
    for path in ("/run?dag_id=x&dag_run_id=y", "/run", "/run?run_id=%27"):
        assert site.get(path).status_code == 404
    assert site.get("/runs?since=soon").status_code == 422
    assert site.get("/runs?after=nonsense").status_code == 400


def test_empty_tables_have_no_runs(warehouse, tables):
    """Without a run the list has a sentence."""
    assert "No run started" in Browser.of(lambda: warehouse, tables).get("/runs").text


def test_the_starter_by_the_name_of_a_run():
    """Airflow's names show the starter where Airflow itself does not know the run any more."""
    assert starter_by_name("scheduled__2026-11-04") == "the schedule"
    assert starter_by_name("backfill__2026-11-04") == "a backfill"
    assert starter_by_name("my own name") == starter_by_name(None) == "not known"
