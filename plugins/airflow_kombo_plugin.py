"""What Airflow has to know of us: registrations, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from airflow.timetables.base import Timetable


class AirflowKomboPlugin(AirflowPlugin):
    """The plugin as `airflow plugins` lists it."""

    name = "airflow_kombo"

    @property
    def timetables(self) -> list[type[Timetable]]:  # type: ignore[override] # Airflow only reads it
        """Our timetable; every task process loads this module, and only some ask for it."""
        from airflow_kombo.timetable import NightlyTimetable  # noqa: PLC0415 - see above

        return [NightlyTimetable]
