"""What Airflow has to know of us: registrations, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from airflow.sdk import BaseOperatorLink
    from airflow.timetables.base import Timetable


class AirflowKomboPlugin(AirflowPlugin):
    """The plugin as `airflow plugins` lists it."""

    name = "airflow_kombo"

    @property
    def timetables(self) -> list[type[Timetable]]:  # type: ignore[override] # Airflow only reads it
        """Our timetable; every task process loads this module, and only some ask for it."""
        from airflow_kombo.timetables.nightly import NightlyTimetable  # noqa: PLC0415 - see above

        return [NightlyTimetable]

    @property
    def operator_extra_links(self) -> list[BaseOperatorLink]:  # type: ignore[override] # the same
        """The link from a task to its rows."""
        from airflow_kombo.operators.links import RowsLink  # noqa: PLC0415 - see above

        return [RowsLink()]

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override] # the same
        """The page; only the API server asks for it."""
        from airflow_kombo.web.app import make_app  # noqa: PLC0415 - see above

        return [{"name": "Kombo result links", "app": make_app(), "url_prefix": "/kombo"}]

    external_views = [  # noqa: RUF012 - Airflow takes out of it what it cannot use
        {
            "name": "Kombo result links",
            "href": "kombo/",  # relative: Airflow may be served below a prefix
            "url_route": "kombo",
            "destination": "nav",
            "category": "browse",
        }
    ]
