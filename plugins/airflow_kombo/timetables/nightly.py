"""A timetable for a run every night, for the day before.

The scheduler, the dag processor and the API server load this module too, as a plugin's timetable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.exceptions import AirflowTimetableInvalid

from airflow_kombo.airflow_compat import encoded_timezone_of, has_partitions

if TYPE_CHECKING or has_partitions():
    from airflow_kombo.timetables.by_partition import Nights
else:
    from airflow_kombo.timetables.by_logical_date import Nights

if TYPE_CHECKING:
    from pendulum.tz.timezone import FixedTimezone, Timezone


class NightlyTimetable(Nights):
    """A timetable of one run a night for the day before, also when the clocks change.

    A run's partition is its day. The partition key is written `2026-11-03`. A backfill makes a run
    for each of its days, including the last day. A run for a day that is not over waits for the
    night after it. In Airflow 3.1 and 3.2 a run has a logical date instead, the beginning of its
    day, and a backfill leaves out a day that is not over.

    :param hour: The hour of the run, 0 to 23. If the clocks skip the hour, the run starts at the
        next existing hour. If they repeat the hour, it starts at the second one.
    :param timezone: The time zone of the hour and of the days, such as `Europe/Berlin`.
    """

    def __init__(self, hour: int, timezone: str | Timezone | FixedTimezone) -> None:
        super().__init__(hour, timezone)
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
