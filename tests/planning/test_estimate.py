"""Estimate of a run's time from the history of earlier runs."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import insert
from support.harness import DAY, delivery, fill, row, run_day

from airflow_kombo.planning.estimate import PastRuns, SendingRate, estimate

BEGAN = datetime(2026, 11, 2, 2, tzinfo=timezone.utc)


def sent(engine, tables, rows, *, seconds, run_id="run", day=DAY, status="success", **options):
    """Write a run's attempts into the history, evenly over some seconds, each of 500 ms."""
    began = options.pop("began", BEGAN)
    keys = [
        delivery(f"{run_id}-{number}", **options).key.columns | {"run_id": run_id}
        for number in range(rows)
    ]
    with engine.begin() as connection:
        for number, key in enumerate(keys):
            ended = began + timedelta(seconds=seconds * (number + 1) / rows)
            link = {"assessment_date": day, "attempts": 1, "updated_at": ended, "status": status}
            attempt = {"attempt": 1, "claimed_at": began, "answered_at": ended, "status": status}
            connection.execute(insert(tables.links), {**key, **link})
            connection.execute(insert(tables.attempts), {**key, **attempt, "milliseconds": 500})


def rates(engine, tables, *names, **options):
    return PastRuns(engine, tables).rates(names or ["workday:one"], DAY, **options)


def test_a_rate_comes_from_the_last_large_run(warehouse, tables):
    """The rate is the rows a second of the integration's last run of at least 100 rows."""
    sent(warehouse, tables, 200, seconds=10, run_id="older")
    sent(warehouse, tables, 120, seconds=60, run_id="last", began=BEGAN + timedelta(days=1))
    sent(warehouse, tables, 2, seconds=1, run_id="small", began=BEGAN + timedelta(days=2))
    rate = rates(warehouse, tables)["workday:one"]
    assert (rate.rows_a_second, rate.call_seconds, rate.is_measured) == (2, 0.5, True)
    assert rate.basis == "its run of 2026-11-03 02:01 UTC sent 120 rows"
    assert rate.seconds(600) == 300


@pytest.mark.parametrize(("most", "at_once"), [(None, 30), (4, 4), (99, 30)])
def test_with_few_rows_the_time_of_a_call_counts(warehouse, tables, most, at_once):
    """Below 100 rows, the rate follows from the time of a call and the calls at once."""
    sent(warehouse, tables, 10, seconds=60)
    rate = rates(warehouse, tables, max_in_flight=most)["workday:one"]
    assert (rate.rows_a_second, rate.is_measured) == (at_once / 0.5, False)
    assert rate.seconds(1) == 0.5


def test_an_integration_without_deliveries_has_no_rate(warehouse, tables):
    """An integration without attempts, or with blocked rows only, has no rate."""
    sent(warehouse, tables, 3, seconds=1, status="blocked", integration_id="lever:two")
    assert rates(warehouse, tables, "workday:one", "lever:two") == {}


def test_an_integration_without_rows_for_months_has_a_rate(warehouse, tables):
    """For an integration without rows in the last days, the whole history is read."""
    sent(warehouse, tables, 100, seconds=50, day=DAY - timedelta(days=90))
    sent(warehouse, tables, 100, seconds=20, run_id="other", integration_id="lever:two")
    found = rates(warehouse, tables, "workday:one", "lever:two", "ashby:three")
    assert {name: rate.rows_a_second for name, rate in found.items()} == {
        "workday:one": 2,
        "lever:two": 5,
    }


def test_a_real_run_leaves_a_rate(warehouse, tables, source_table, standin):
    """After a delivery the integration has a rate."""
    fill(warehouse, source_table, [row(f"r{number}") for number in range(120)])
    run_day(warehouse, tables)
    rate = rates(warehouse, tables)["workday:one"]
    assert rate.is_measured
    assert rate.rows_a_second > 0
    assert "sent 120 rows" in rate.basis


def test_an_estimate_names_its_basis():
    """The slowest integration comes first, and the run takes as long as this integration."""
    to_send = {"a": 600, "b": 3_000, "c": 10}
    measured = {"a": SendingRate(2, 0.5, "measured", is_measured=True)}
    guessed = {"b": SendingRate(50, 0.5, "guessed", is_measured=False)}
    parallel = "as long as its slowest integration: the integrations are delivered in parallel"
    assert list(estimate({"a": 600}, measured)) == [
        "a: about 0:05:00 for 600 rows at 2.0 a second: measured",
        f"A run would take about 0:05:00, {parallel}",
    ]
    assert list(estimate(to_send, measured | guessed)) == [
        "a: about 0:05:00 for 600 rows at 2.0 a second: measured",
        "b: at least 0:01:00 for 3,000 rows at 50.0 a second: guessed",
        "No estimate for c: nothing was delivered there before",
        f"A run would take at least 0:05:00, {parallel}. 1 without an estimate are not counted",
    ]
    assert list(estimate({"c": 1}, {})) == ["No estimate for c: nothing was delivered there before"]
    assert list(estimate({}, {})) == []


def test_an_estimate_lists_a_few_of_many():
    """Of hundreds of integrations, the ten slowest and ten without a rate are listed."""
    to_send = {f"i{number:03}": number + 1 for number in range(300)}
    known = {name: SendingRate(1, 0.5, "x", is_measured=True) for name in sorted(to_send)[:150]}
    lines = list(estimate(to_send, known))
    assert [line.split(":")[0] for line in lines[:2]] == ["i149", "i148"]
    assert len(lines) == 12
    assert "i159 and 140 more: nothing" in lines[10]
