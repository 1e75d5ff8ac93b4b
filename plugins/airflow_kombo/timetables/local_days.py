"""Days of a time zone, as moments and as the bounds of a backfill."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

from pendulum import instance

if TYPE_CHECKING:
    from pendulum import DateTime
    from pendulum.tz.timezone import FixedTimezone, Timezone

DAY: Final = timedelta(days=1)


def moment_of(day: date, hour: int, zone: Timezone | FixedTimezone) -> DateTime:
    """Return an hour of a day, in UTC.

    If the clocks skip the hour, the next existing hour counts. If they repeat the hour, the second
    one does, as in Airflow's timetables.
    """
    local = datetime.combine(day, time(hour), zone).replace(fold=1, tzinfo=None)
    return instance(zone.convert(local)).in_timezone("UTC")


def first_day(bound: datetime, zone: Timezone | FixedTimezone) -> date:
    """Return the first day that begins at a bound or later.

    A day begins at midnight, or at 01:00 where the clocks skip midnight.
    """
    first = _wall_clock(bound, zone)
    begins = moment_of(first.date(), 0, zone).astimezone(zone).replace(tzinfo=None)
    return first.date() if first <= begins else first.date() + DAY


def last_day(bound: datetime, zone: Timezone | FixedTimezone) -> date:
    """Return the last day that begins at a bound or earlier."""
    return _wall_clock(bound, zone).date()


def _wall_clock(bound: datetime, zone: Timezone | FixedTimezone) -> datetime:
    """Return a backfill's bound as a local time.

    The command line turns a date into midnight in a zone that may differ from ours. Such a bound
    is a date. Airflow's UI sends midnight in its user's zone. Such a bound is a moment.
    """
    if bound.time() == time.min:
        return bound.replace(tzinfo=None)
    return bound.astimezone(zone).replace(tzinfo=None)
