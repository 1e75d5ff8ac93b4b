"""Nights of Airflow 3.1 and 3.2: a logical date is the beginning of a day."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from datetime import timezone as fixed
from zoneinfo import ZoneInfo

from airflow.timetables.base import TimeRestriction
from hypothesis import given, settings
from hypothesis import strategies as st
from pendulum import instance
from support.quick import examples

from airflow_kombo.timetables.by_logical_date import Nights

ZONES = ["UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Beirut", "Pacific/Auckland"]
DAY = timedelta(days=1)

zones = st.sampled_from(ZONES)
hours = st.integers(0, 23)
days = st.dates(date(2024, 1, 1), date(2030, 12, 31))
unhurried = settings(deadline=None, max_examples=examples(50))


def runs(timetable, earliest, latest):
    """Return Airflow's runs between two bounds, as for a backfill."""
    found, last = [], None
    restriction = TimeRestriction(instance(earliest), instance(latest), catchup=True)
    while info := timetable.next_dagrun_info(
        last_automated_data_interval=last, restriction=restriction
    ):
        found.append(info)
        last = info.data_interval
    return found


def day_of(info, zone):
    """Return the day of a run, as a task reads the logical date."""
    return info.logical_date.astimezone(ZoneInfo(zone)).date()


@unhurried
@given(zones, hours, days, st.integers(0, 400))
def test_a_backfill_makes_exactly_the_days_that_it_names(zone, hour, first, more):
    """The days between two typed dates have one run each, after the end of the day."""
    bounds = [datetime.combine(day, time.min, fixed.utc) for day in (first, first + DAY * more)]
    made = runs(Nights(hour, zone), *bounds)
    assert [day_of(one, zone) for one in made] == [first + DAY * n for n in range(more + 1)]
    for one in made:
        assert one.data_interval.start == one.logical_date
        assert one.data_interval.end <= one.run_after
        assert one.run_after.astimezone(ZoneInfo(zone)).date() == day_of(one, zone) + DAY


@unhurried
@given(zones, hours, days)
def test_bounds_of_the_ui_are_moments(zone, hour, day):
    """Midnight in the dag's zone, sent in UTC, is the beginning of the day."""
    midnight = datetime.combine(day, time.min, ZoneInfo(zone)).astimezone(fixed.utc)
    (made,) = runs(Nights(hour, zone), midnight, midnight)
    assert day_of(made, zone) == day


@given(zones, hours)
def test_the_scheduler_without_catchup_makes_last_night_and_then_the_next(zone, hour):
    """The first run of the scheduler is last night's, and the second one is tomorrow's."""
    timetable = Nights(hour, zone)
    restriction = TimeRestriction(instance(datetime(2024, 1, 1, tzinfo=fixed.utc)), None, False)  # noqa: FBT003
    now = datetime.now(fixed.utc)
    first = timetable.next_dagrun_info(last_automated_data_interval=None, restriction=restriction)
    assert now - DAY * 1.1 < first.run_after <= datetime.now(fixed.utc)
    second = timetable.next_dagrun_info(
        last_automated_data_interval=first.data_interval, restriction=restriction
    )
    assert day_of(second, zone) == day_of(first, zone) + DAY
    assert second.run_after > now


def test_a_dag_with_an_end_has_no_run_after_it():
    """After the last day before the end date, no run follows."""
    timetable = Nights(2, "UTC")
    end = instance(datetime(2024, 1, 31, tzinfo=fixed.utc))
    over = TimeRestriction(None, end, catchup=False)
    assert timetable.next_dagrun_info(last_automated_data_interval=None, restriction=over) is None
