"""The nightly timetable for the scheduler and for backfills, over changes of the clocks."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta
from datetime import timezone as fixed
from zoneinfo import ZoneInfo

import pytest
from airflow.exceptions import AirflowTimetableInvalid
from airflow.timetables.base import TimeRestriction
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pendulum import instance
from support.quick import examples

from airflow_kombo.timetables.nightly import NightlyTimetable

# Clocks that change at 01:00, 02:00, 03:00 and at midnight, by half an hour, and never.
ZONES = [
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "America/Los_Angeles",
    "America/Santiago",
    "Africa/Cairo",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
    "Pacific/Kiritimati",
]
DAY = timedelta(days=1)

zones = st.sampled_from(ZONES)
hours = st.integers(0, 23)
unhurried = settings(deadline=None)
days = st.dates(date(2024, 1, 1), date(2030, 12, 31))


def nights(timetable, start, number):
    """Return the scheduler's runs from a moment on, one after the other."""
    found, last = [], None
    while len(found) < number:
        restriction = TimeRestriction(instance(start), None, catchup=True)
        last = timetable.next_dagrun_info_v2(last_dagrun_info=last, restriction=restriction)
        found.append(last)
    return found


def backfill(timetable, first, last):
    """Return a backfill's days."""
    infos = timetable.iter_partition_dagrun_infos(earliest=first, latest=last)
    return [date.fromisoformat(info.partition_key) for info in infos]


def as_typed(day):
    """Return the command line's value of a date."""
    return datetime.combine(day, time.min, fixed.utc)


def all_days(first, last):
    return [first + DAY * number for number in range((last - first).days + 1)]


@settings(unhurried, max_examples=examples(40))
@given(zones, hours, days)
def test_each_night_delivers_the_day_before_and_no_day_is_left_out(zone, hour, day):
    """A year has one run a day, at the hour, for the day before, over clock changes."""
    start = datetime.combine(day + DAY, time.min, ZoneInfo(zone))
    runs = nights(NightlyTimetable(hour, zone), start, 366)
    assert [run.partition_key for run in runs] == [
        str(one) for one in all_days(day, day + DAY * 365)
    ]
    for run in runs:
        there = run.run_after.astimezone(ZoneInfo(zone))
        wanted = datetime.combine(
            date.fromisoformat(run.partition_key) + DAY, time(hour), ZoneInfo(zone)
        )
        exists = wanted.astimezone(fixed.utc).astimezone(ZoneInfo(zone)) == wanted
        assert there.date() == wanted.date()
        if exists:
            assert there.time() == wanted.time()
        else:
            assert wanted.time() < there.time() <= time(hour + 1)


@unhurried
@given(zones, hours, days, st.integers(0, 40))
def test_a_backfill_makes_exactly_the_days_that_it_names(zone, hour, first, more):
    """A backfill makes the first day, the last day and the days between, in any zone."""
    timetable, last = NightlyTimetable(hour, zone), first + DAY * more
    assert backfill(timetable, as_typed(first), as_typed(last)) == all_days(first, last)


@unhurried
@given(zones, zones, hours, days, st.integers(0, 40))
def test_a_date_that_was_typed_in_another_zone_is_that_date(zone, other, hour, first, more):
    """A backfill by dates makes those dates, also if the default zone differs."""
    timetable, last = NightlyTimetable(hour, zone), first + DAY * more
    bounds = [datetime.combine(day, time.min, ZoneInfo(other)) for day in (first, last)]
    assert backfill(timetable, *bounds) == all_days(first, last)


@unhurried
@example("Asia/Beirut", 0, date(2028, 3, 26), 0)  # the clocks skip midnight
@given(zones, hours, days, st.integers(0, 40))
def test_a_backfill_from_the_ui_makes_the_days_of_the_zone(zone, hour, first, more):
    """A backfill from the UI, with moments in UTC, makes the days of the dag's zone."""
    timetable, last = NightlyTimetable(hour, zone), first + DAY * more
    bounds = [
        datetime.combine(day, time.min, ZoneInfo(zone)).astimezone(fixed.utc)
        for day in (first, last)
    ]
    assert backfill(timetable, *bounds) == all_days(first, last)


@unhurried
@given(zones, hours, days)
def test_a_backfill_and_the_scheduler_agree_on_a_day(zone, hour, day):
    """A backfill and the scheduler make the same run for a day; the next night follows."""
    timetable = NightlyTimetable(hour, zone)
    start = datetime.combine(day + DAY, time.min, ZoneInfo(zone))
    tonight, tomorrow = nights(timetable, start, 2)
    (made,) = timetable.iter_partition_dagrun_infos(earliest=as_typed(day), latest=as_typed(day))
    assert made == tonight
    assert timetable.resolve_partition_date(made.partition_key) == made.partition_date
    after = TimeRestriction(None, None, catchup=True)
    assert timetable.next_dagrun_info_v2(last_dagrun_info=made, restriction=after) == tomorrow


@unhurried
@given(zones, hours)
def test_it_comes_back_from_the_dag_s_serialized_form(zone, hour):
    """The scheduler reads the dag processor's form of the timetable."""
    timetable = NightlyTimetable(hour, zone)
    again = NightlyTimetable.deserialize(json.loads(json.dumps(timetable.serialize())))
    assert (again, again.hour, again.summary) == (timetable, hour, timetable.summary)


@pytest.mark.parametrize(
    ("zone", "hour", "run_after", "day"),
    [
        ("UTC", 2, "2026-11-04T02:00:00+00:00", "2026-11-03"),
        ("Europe/Berlin", 2, "2026-03-29T01:00:00+00:00", "2026-03-28"),  # 02:00 does not exist
        ("Europe/Berlin", 2, "2026-03-30T00:00:00+00:00", "2026-03-29"),
        ("Europe/Berlin", 2, "2026-10-25T01:00:00+00:00", "2026-10-24"),  # the second 02:00
        ("America/Los_Angeles", 2, "2026-03-08T10:00:00+00:00", "2026-03-07"),
        ("Pacific/Auckland", 2, "2026-09-26T14:00:00+00:00", "2026-09-26"),
        ("Africa/Cairo", 0, "2026-04-23T22:00:00+00:00", "2026-04-23"),  # midnight does not exist
    ],
)
def test_nights_that_were_looked_up(zone, hour, run_after, day):
    """A night with a change of the clocks has one run."""
    moment = datetime.fromisoformat(run_after)
    (run,) = nights(NightlyTimetable(hour, zone), moment, 1)
    assert (run.run_after, run.partition_key) == (moment, day)


def test_its_hour_is_checked():
    """An hour other than 0 to 23 is refused as the dag is read."""
    assert NightlyTimetable(23, "UTC").validate() is None
    with pytest.raises(AirflowTimetableInvalid, match="0 to 23, not 24"):
        NightlyTimetable(24, "UTC").validate()
