"""Jinja's templates and their filters; every value from the warehouse is escaped."""

from __future__ import annotations

import re
from datetime import datetime
from math import floor
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from airflow_kombo.database.sql import in_utc
from airflow_kombo.ledger.tables import KEY
from airflow_kombo.statuses import Status
from airflow_kombo.web.chart import BAR, HEIGHT
from airflow_kombo.web.shown_write import ShownWrite

_TIME: Final = re.compile(r"\b(\d{4}-\d\d-\d\d) (\d\d:\d\d(?::\d\d)?) UTC\b")


class Pages:
    """Templates, filled in with the names of one write.

    :param write: The write whose tables the page shows.
    """

    def __init__(self, write: ShownWrite) -> None:
        self.write = write

    def render(
        self, template: str, *, here: str = "", status: int = 200, **values: Any
    ) -> HTMLResponse:
        """Render a template.

        :param here: The view that the navigation marks as the current one.
        :param status: The HTTP status of the response.
        :param values: The template's own values.
        """
        html = _ENVIRONMENT.get_template(template).render(values, here=here, write=self.write)
        return HTMLResponse(html, status_code=status)


def _utc(moment: datetime | None) -> str:
    return f"{in_utc(moment):%Y-%m-%d %H:%M:%S} UTC" if moment else "-"


def _times(text: str) -> Markup:
    """Return a text with its times as elements, which the page shows in the reader's zone."""
    return Markup(_TIME.sub(_as_element, str(escape(text))))  # noqa: S704 - escaped here


def _as_element(time: re.Match[str]) -> str:
    return f'<time datetime="{time[1]}T{time[2]}Z">{time[0]}</time>'


def _moment(moment: datetime | None) -> Markup:
    return _times(_utc(moment))


def _number(number: int) -> str:
    return f"{number:,}"


def _duration(seconds: float) -> str:
    """Return a time span, such as `1 h 05 min` or `42 s`."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _percent(share: float | None) -> str:
    """Return a share in percent; 100 % only if nothing is missing."""
    if share is None:
        return "-"
    return f"{floor(share * 1000) / 10:.1f} %"


def _web(address: object) -> str | None:
    """Return an http(s) address, or None: a browser must not open any other."""
    text = str(address or "")
    try:
        parts = urlsplit(text)
    except ValueError:  # such as an IPv6 address without its bracket
        return None
    return text if parts.scheme in {"http", "https"} and parts.netloc else None


def _is_status(name: str) -> bool:
    return name in set(Status)


def _query(**parameters: object) -> str:
    given = {name: value for name, value in parameters.items() if value not in {None, ""}}
    return urlencode(given)


def _row(row: Any) -> str:
    """Return the address of a row's own view."""
    return f"row?{urlencode({name: getattr(row, name) for name in KEY})}"


def _task(run: Any, *, of_all_shards: bool = False) -> str | None:
    """Return the address of a task in Airflow's UI, relative to this page.

    :param of_all_shards: True for the list of a task's shards, in place of the run's own.
    """
    if not (run.dag_id and run.dag_run_id and run.task_id):
        return None
    path = ["dags", run.dag_id, "runs", run.dag_run_id, "tasks", run.task_id]
    is_mapped = run.map_index is not None and run.map_index >= 0
    if is_mapped and not of_all_shards:
        path += ["mapped", str(run.map_index)]
    address = "../" + "/".join(quote(part, safe="") for part in path)
    has_try = run.try_number and not of_all_shards
    return f"{address}?try_number={run.try_number}" if has_try else address


def _dag(dag_id: str) -> str:
    return f"../dags/{quote(dag_id, safe='')}"


_ENVIRONMENT: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters.update(
    duration=_duration,
    moment=_moment,
    number=_number,
    percent=_percent,
    times=_times,
    utc=_utc,
    web=_web,
)
_ENVIRONMENT.tests.update(a_status=_is_status)
_ENVIRONMENT.globals.update(
    query=_query, row_address=_row, task_address=_task, dag_address=_dag, BAR=BAR, HEIGHT=HEIGHT
)
