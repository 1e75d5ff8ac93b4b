"""Nights with their days as logical dates, for Airflow 3.1 and 3.2, which lack partitions.

Airflow 3.2 has a part of them: a backfill cannot name partitions there. So both do the same.
"""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import TYPE_CHECKING

from airflow.timetables.base import DagRunInfo
from airflow.timetables.trigger import CronTriggerTimetable

from airflow_kombo.airflow_compat import timezone_of
from airflow_kombo.timetables.local_days import DAY, first_day, last_day, moment_of

if TYPE_CHECKING:
    from airflow.timetables.base import DataInterval, TimeRestriction
    from pendulum.tz.timezone import FixedTimezone, Timezone


class Nights(CronTriggerTimetable):
    """A run a night, with the beginning of the day before as its logical date.

    The data interval is the day.

    :param hour: The hour of the run.
    :param timezone: The time zone of the hour and of the days.
    """

    def __init__(self, hour: int, timezone: str | Timezone | FixedTimezone) -> None:
        super().__init__(f"0 {hour} * * *", timezone=timezone)
        self.hour = hour

    def next_dagrun_info(
        self,
        *,
        last_automated_data_interval: DataInterval | None,
        restriction: TimeRestriction,
    ) -> DagRunInfo | None:
        """Return the run for the next day.

        Airflow asks for a backfill's days in the same way: the bounds of the restriction are
        bounds of days, both included.
        """
        zone, candidates = timezone_of(self), list[date]()
        if last_automated_data_interval:
            start = last_automated_data_interval.start
            candidates.append(start.in_timezone(zone).date() + DAY)
        if restriction.earliest:
            candidates.append(first_day(restriction.earliest, zone))
        if not restriction.catchup or not candidates:
            candidates.append(self._day_of_last_night())
        day = max(candidates)
        if restriction.latest and day > last_day(restriction.latest, zone):
            return None
        return self._run_for(day)

    def _day_of_last_night(self) -> date:
        """Return the latest day whose run may start by now."""
        zone, now = timezone_of(self), datetime.now(timezone.utc)
        today = now.astimezone(zone).date()
        return today - DAY if moment_of(today, self.hour, zone) <= now else today - DAY * 2

    def _run_for(self, day: date) -> DagRunInfo:
        zone = timezone_of(self)
        whole = DagRunInfo.interval(moment_of(day, 0, zone), moment_of(day + DAY, 0, zone))
        return whole._replace(run_after=moment_of(day + DAY, self.hour, zone))
