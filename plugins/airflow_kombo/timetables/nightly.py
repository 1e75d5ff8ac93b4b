"""A timetable for a run every night, for the day before.

The scheduler, the dag processor and the API server load this module too, as a plugin's timetable.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow.exceptions import AirflowTimetableInvalid
from airflow.timetables.base import DagRunInfo
from airflow.timetables.trigger import CronPartitionTimetable

from airflow_kombo.airflow_compat import encoded_timezone_of, timezone_of

if TYPE_CHECKING:
    from airflow.timetables.base import TimeRestriction
    from pendulum import DateTime
    from pendulum.tz.timezone import FixedTimezone, Timezone

_DAY: Final = timedelta(days=1)


class NightlyTimetable(CronPartitionTimetable):
    """A timetable of one run a night for the day before, also when the clocks change.

    A run's partition is its day. The partition key is written `2026-11-03`. A backfill makes a run
    for each of its days, including the last day. A run for a day that is not over waits for the
    night after it.

    :param hour: The hour of the run, 0 to 23. If the clocks skip the hour, the run starts at the
        next existing hour. If they repeat the hour, it starts at the second one.
    :param timezone: The time zone of the hour and of the days, such as `Europe/Berlin`.
    """

    def __init__(self, hour: int, timezone: str | Timezone | FixedTimezone) -> None:
        super().__init__(f"0 {hour} * * *", timezone=timezone, key_format="%Y-%m-%d")
        self.hour = hour
        self.description = f"Nightly at {self.summary}, for the day before"

    @property
    def summary(self) -> str:
        """The hour and the time zone, for the list of dags."""
        return f"{self.hour:02}:00 {encoded_timezone_of(self)}"

    def validate(self) -> None:
        """Check the hour.

        :raises AirflowTimetableInvalid: if the hour is not one of 0 to 23.
        """
        if self.hour not in range(24):
            raise AirflowTimetableInvalid(f"The hour must be one of 0 to 23, not {self.hour}.")

    def serialize(self) -> dict[str, Any]:
        """Return the arguments of `deserialize`."""
        return {"hour": self.hour, "timezone": encoded_timezone_of(self)}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> NightlyTimetable:
        """Build the timetable from the result of `serialize`."""
        return cls(**data)

    def next_dagrun_info_v2(
        self, *, last_dagrun_info: DagRunInfo | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """Return the next night's run, for the day before that night."""
        info = super().next_dagrun_info_v2(
            last_dagrun_info=last_dagrun_info, restriction=restriction
        )
        return info and self._run_for(info.run_after.in_timezone(timezone_of(self)).date() - _DAY)

    def iter_partition_dagrun_infos(
        self, *, earliest: datetime, latest: datetime
    ) -> Iterable[DagRunInfo]:
        """Yield a run for each day with its beginning between two bounds, both included.

        A day begins at midnight, or at 01:00 where the clocks skip midnight.
        """
        first, last = self._wall_clock(earliest), self._wall_clock(latest)
        begins = self._local(self._at(first.date(), 0))
        day = first.date() if first <= begins else first.date() + _DAY
        while day <= last.date():
            yield self._run_for(day)
            day += _DAY

    def _wall_clock(self, bound: datetime) -> datetime:
        """Return a backfill's bound as a local time of the timetable's zone.

        The command line turns a date into midnight in a zone that may differ from ours. Such a
        bound is a date. Airflow's UI sends midnight in its user's zone. Such a bound is a moment.
        """
        if bound.time() == time.min:
            return bound.replace(tzinfo=None)
        return self._local(bound)

    def _local(self, moment: datetime) -> datetime:
        return moment.astimezone(timezone_of(self)).replace(tzinfo=None)

    def _run_for(self, day: date) -> DagRunInfo:
        return DagRunInfo(
            run_after=self._at(day + _DAY, self.hour),
            data_interval=None,
            partition_date=self._at(day, 0),
            partition_key=day.isoformat(),
        )

    def _at(self, day: date, hour: int) -> DateTime:
        return self.localize_partition_datetime(datetime.combine(day, time(hour)))
