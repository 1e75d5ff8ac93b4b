"""Nights with their days as partitions, for Airflow 3.3 and later."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import TYPE_CHECKING

from airflow.timetables.base import DagRunInfo
from airflow.timetables.trigger import CronPartitionTimetable

from airflow_kombo.airflow_compat import timezone_of
from airflow_kombo.timetables.local_days import DAY, first_day, last_day, moment_of

if TYPE_CHECKING:
    from airflow.timetables.base import TimeRestriction
    from pendulum.tz.timezone import FixedTimezone, Timezone


class Nights(CronPartitionTimetable):
    """A run a night, with the day before as its partition.

    :param hour: The hour of the run.
    :param timezone: The time zone of the hour and of the days.
    """

    def __init__(self, hour: int, timezone: str | Timezone | FixedTimezone) -> None:
        super().__init__(f"0 {hour} * * *", timezone=timezone, key_format="%Y-%m-%d")
        self.hour = hour

    def next_dagrun_info_v2(
        self, *, last_dagrun_info: DagRunInfo | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """Return the next night's run, for the day before that night."""
        info = super().next_dagrun_info_v2(
            last_dagrun_info=last_dagrun_info, restriction=restriction
        )
        return info and self._run_for(info.run_after.in_timezone(timezone_of(self)).date() - DAY)

    def iter_partition_dagrun_infos(
        self, *, earliest: datetime, latest: datetime
    ) -> Iterable[DagRunInfo]:
        """Yield a run for each day with its beginning between two bounds, both included."""
        day = first_day(earliest, timezone_of(self))
        while day <= last_day(latest, timezone_of(self)):
            yield self._run_for(day)
            day += DAY

    def _run_for(self, day: date) -> DagRunInfo:
        zone = timezone_of(self)
        return DagRunInfo(
            run_after=moment_of(day + DAY, self.hour, zone),
            data_interval=None,
            partition_date=moment_of(day, 0, zone),
            partition_key=day.isoformat(),
        )
