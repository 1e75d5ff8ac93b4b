"""The registrations that Airflow needs, and nothing else."""

from __future__ import annotations

from functools import cached_property
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
        """Our timetable, imported late: all task processes load this module, and few need it."""
        from airflow_kombo.timetables.nightly import NightlyTimetable  # noqa: PLC0415 - see above

        return [NightlyTimetable]

    @property
    def operator_extra_links(self) -> list[BaseOperatorLink]:  # type: ignore[override] # the same
        """The link from a task to its rows on the page."""
        from airflow_kombo.operators.links import RowsLink  # noqa: PLC0415 - see above

        return [RowsLink()]

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override] # the same
        """The page; only the API server asks for it."""
        from airflow_kombo.web.app import make_app  # noqa: PLC0415 - see above

        app = make_app()
        return [{"name": app.title, "app": app, "url_prefix": "/kombo"}]

    @cached_property
    def external_views(self) -> list[dict[str, Any]]:  # type: ignore[override] # the same
        """The page's entry in the navigation; cached, because Airflow removes entries from it."""
        from airflow_kombo.web.database import Settings  # noqa: PLC0415 - see above
        from airflow_kombo.web.shown_write import ShownWrite  # noqa: PLC0415

        return [
            {
                "name": ShownWrite(Settings.of_airflow().status_table).title,
                "href": "kombo/",  # relative: Airflow may be served below a prefix
                "url_route": "kombo",
                "destination": "nav",
                "category": "browse",
            }
        ]
