"""The next try of a row: a time, or `never` with the condition."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_kombo.statuses import MEANINGS, SENT_AGAIN, NextRun, Status
from airflow_kombo.web.next_try import (
    Schedule,
    ScheduledRun,
    UnknownSchedule,
    next_try,
    waiting_until,
)

DAY = date(2026, 11, 4)
ONE = "workday:one"
NOW = datetime(2026, 11, 4, 12, tzinfo=timezone.utc)


def night(day):
    """Return the run of the night after a day, at 02:00 UTC."""
    after = day + timedelta(days=1)
    return ScheduledRun(datetime(after.year, after.month, after.day, 2, tzinfo=timezone.utc), day)


NIGHTLY = Schedule(
    "nightly", [night(DAY + timedelta(days=number)) for number in range(8)], lookback_days=7
)


def ask(day=DAY, status=Status.RETRYABLE, schedule=NIGHTLY, now=NOW):
    return next_try(status, day, ONE, schedule, now)


def test_a_row_within_the_lookback_has_a_time():
    """A row is tried by the next run to look back to the row's day."""
    for days in (0, 1, 7):
        found = ask(DAY - timedelta(days=days))
        assert found.at == NIGHTLY.runs[0].starts_at
        assert found.text == "2026-11-05 02:00 UTC, by the run of nightly for 2026-11-04."
        assert found.short == "2026-11-05 02:00 UTC"


def test_a_row_of_last_month_is_promised_nothing():
    """A row before the lookback is never tried unless a person starts a run for the day."""
    found = ask(DAY - timedelta(days=8))
    assert (found.at, found.short) == (None, "never, unless started")
    assert found.text == (
        "Never, unless a person starts a run of nightly for 2026-10-27: scheduled runs look back 7"
        " days, now to 2026-10-28."
    )


def test_a_row_of_a_later_day_waits_for_the_run_of_its_day():
    """A row of a day to come is tried by the day's run, or after the last known run."""
    assert ask(DAY + timedelta(days=2)).at == night(DAY + timedelta(days=2)).starts_at
    found = ask(DAY + timedelta(days=30))
    assert (found.at, found.short) == (None, "after 2026-11-11")
    assert "after 2026-11-12 02:00 UTC" in found.text


def test_a_corrected_row_has_a_time():
    """A refused or invalid row is tried only when corrected, then at the next run."""
    for status in (Status.FAILED, Status.INVALID):
        found = ask(status=status)
        assert found.at is None
        assert found.text == (
            "Never, unless the row or the mapping is corrected. A corrected row: 2026-11-05 02:00"
            " UTC, by the run of nightly for 2026-11-04."
        )
        assert "A corrected row: never, unless a person" in ask(date(2026, 1, 1), status).text


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (replace(NIGHTLY, is_paused=True), "for 2026-11-04, or unpauses the dag."),
        (replace(NIGHTLY, runs=()), "the dag has no next scheduled run."),
        (replace(NIGHTLY, not_before=date(2026, 12, 1)), "an earlier not_before than 2026-12-01."),
        (replace(NIGHTLY, integration_ids=("lever:two",)), "leaves out this integration."),
    ],
)
def test_an_obstacle_is_named(schedule, expected):
    """A paused dag, a dag without a schedule, and parameters leaving the row out are named."""
    found = ask(schedule=schedule)
    assert found.at is None
    assert found.text.startswith("Never, unless a person starts a run")
    assert found.text.endswith(expected)


def test_a_schedule_that_nobody_knows_is_not_invented():
    """Without a known schedule, or without a day of the row, no time is shown."""
    found = ask(schedule=UnknownSchedule("Airflow has no dag x now"))
    assert (found.at, found.short) == (None, "not known")
    assert found.text.endswith("Its time is not known: Airflow has no dag x now.")
    assert (ask(None).at, ask(None).short) == (None, "not known")


def test_a_run_that_is_late_or_under_way():
    """A time already over is shown as such, and a run under way may be sooner."""
    late = ask(now=NOW + timedelta(days=1))
    assert late.text.startswith("As soon as Airflow starts it: 2026-11-05 02:00 UTC is over")
    running = ask(schedule=replace(NIGHTLY, is_running=True))
    assert running.text.endswith("A run is under way, and may send the row sooner.")


def test_the_first_day_of_the_calendar():
    """A lookback over the first day of the calendar ends there."""
    first = ScheduledRun(NOW, date(1, 1, 3))
    schedule = Schedule("ancient", [first], lookback_days=366)
    assert ask(date.min, schedule=schedule).at == NOW


def test_the_waiting_rows_of_the_overview():
    """The overview names the run and the days of the waiting rows, or the reason without one."""
    assert waiting_until(NIGHTLY) == (
        "The run of nightly at 2026-11-05 02:00 UTC sends the waiting rows of 2026-10-28 to"
        " 2026-11-04 again."
    )
    assert "of 2026-11-04 again" in waiting_until(replace(NIGHTLY, lookback_days=0))
    assert "the dag is paused" in waiting_until(replace(NIGHTLY, is_paused=True))
    assert "no next scheduled run" in waiting_until(replace(NIGHTLY, runs=()))
    assert "not known: no dag." in waiting_until(UnknownSchedule("no dag"))


DAYS = st.dates(date(2026, 10, 1), date(2026, 12, 31))
SCHEDULES = st.builds(
    Schedule,
    st.just("nightly"),
    st.lists(DAYS, max_size=4, unique=True).map(lambda days: [night(day) for day in sorted(days)]),
    lookback_days=st.integers(0, 40),
    not_before=st.none() | DAYS,
    integration_ids=st.sampled_from([(), (ONE,), ("lever:two",)]),
    is_paused=st.booleans(),
    is_running=st.booleans(),
) | st.just(UnknownSchedule("nobody knows"))


@given(
    st.sampled_from(Status),
    st.none() | DAYS,
    SCHEDULES,
    st.datetimes(timezones=st.just(timezone.utc)),
)
def test_a_time_is_only_that_of_the_first_run_with_the_row(status, day, schedule, now):
    """A time is shown if and only if a scheduled run sends the row, and then the first one's."""
    found = next_try(status, day, ONE, schedule, now)
    expected = None
    if isinstance(schedule, Schedule) and day and not schedule.is_paused:
        starts = [
            run.starts_at
            for run in schedule.runs
            if timedelta(0) <= run.day - day <= timedelta(days=schedule.lookback_days)
        ]
        is_wanted = schedule.integration_ids in {(), (ONE,)}
        is_late = schedule.not_before and day < schedule.not_before
        expected = min(starts) if starts and is_wanted and not is_late else None
    assert found.at == (expected if status in SENT_AGAIN else None)
    if MEANINGS[status].next_run is NextRun.SENDS_WHEN_CHANGED:
        assert found.text.startswith("Never, unless the row or the mapping is corrected.")
    assert found.text.endswith(".")
    assert ".." not in found.text
