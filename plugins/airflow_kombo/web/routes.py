"""Addresses of the page: overview, rows, exports, one row, and decisions."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from itertools import chain, islice
from typing import Annotated, get_args

from fastapi import APIRouter, Depends, Query
from fastapi.responses import HTMLResponse, StreamingResponse

from airflow_kombo.exceptions import DecisionFileError
from airflow_kombo.statuses import Status
from airflow_kombo.web.action_plan import plan_of_file
from airflow_kombo.web.action_routes import router as action_router
from airflow_kombo.web.actions import actions_on_list, actions_on_row
from airflow_kombo.web.app_state import (
    ExplainerOfRequest,
    PagesOfApp,
    WarehouseOfApp,
)
from airflow_kombo.web.attempts import shown_attempts
from airflow_kombo.web.chart import chart
from airflow_kombo.web.csv_export import as_csv
from airflow_kombo.web.decisions import MOST_BYTES, DecisionForm, check_file, decision_form
from airflow_kombo.web.overview import Period
from airflow_kombo.web.pagination import Sort
from airflow_kombo.web.rendering import Pages
from airflow_kombo.web.row_filter import RowFilter, RowKey, UnknownFilter
from airflow_kombo.web.rows import batches
from airflow_kombo.web.unknown_csv import unknown_csv
from airflow_kombo.web.views import read_overview, read_row, read_rows

router = APIRouter()
router.include_router(action_router)


_RowFilter = Annotated[RowFilter, Query()]


@router.get("/")
def show_overview(
    period: Annotated[Period, Query()],
    warehouse: WarehouseOfApp,
    pages: PagesOfApp,
    explainer: ExplainerOfRequest,
) -> HTMLResponse:
    """Show the latest run, the days by status, and the rows for a person."""
    found = read_overview(period, warehouse, explainer)
    return pages.render("overview.html", here="overview", found=found, chart=chart(found.days))


@router.get("/rows")
def show_rows(
    row_filter: _RowFilter,
    warehouse: WarehouseOfApp,
    pages: PagesOfApp,
    explainer: ExplainerOfRequest,
) -> HTMLResponse:
    """Show a page of rows."""
    view = read_rows(row_filter, warehouse, explainer, with_integrations=True)
    return pages.render(
        "rows.html",
        here="rows",
        row_filter=row_filter,
        found=view.page,
        explained=view.explained,
        integrations=view.integrations,
        statuses=list(Status),
        orders=get_args(Sort),
        actions=actions_on_list(row_filter.status, row_filter.left_out),
    )


@router.get("/rows.csv")
def export_rows(
    row_filter: _RowFilter, warehouse: WarehouseOfApp, pages: PagesOfApp
) -> StreamingResponse:
    """Export all matching rows, each batch read in one transaction."""
    lines = as_csv(batches(row_filter, warehouse))
    # The first batch is read before the response begins, so that an error still gets its page.
    first = [next(lines), next(lines)]
    return _csv_file(chain(first, lines), pages.write.file_name)


@router.get("/unknown.csv")
def export_unknown(
    row_filter: Annotated[UnknownFilter, Query()], warehouse: WarehouseOfApp, pages: PagesOfApp
) -> StreamingResponse:
    """Export the unknown rows in the order of Kombo's log view, with columns for a decision."""
    lines = unknown_csv(row_filter, warehouse)
    first = list(islice(lines, 2))
    return _csv_file(chain(first, lines), f"{pages.write.file_name}_unknown")


def _csv_file(lines: Iterable[str], name: str) -> StreamingResponse:
    return StreamingResponse(
        lines,
        media_type="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )


@router.get("/decisions")
def show_decisions(pages: PagesOfApp) -> HTMLResponse:
    """Show the form for a file of decisions."""
    return _decisions(pages)


@router.post("/decisions")
def check_decisions(
    given: Annotated[DecisionForm, Depends(decision_form)],
    warehouse: WarehouseOfApp,
    pages: PagesOfApp,
) -> HTMLResponse:
    """Check a file of decisions, and show what the deciding dag would do.

    Nothing is written, so the request needs no protection against other sites' forms.
    """
    try:
        checked = check_file(given, warehouse)
    except DecisionFileError as error:
        return _decisions(pages, status=HTTPStatus.UNPROCESSABLE_ENTITY, problem=str(error))
    run = plan_of_file(checked.lines, pages.write) if checked.lines else None
    return _decisions(pages, checked=checked, run=run)


def _decisions(pages: Pages, status: int = HTTPStatus.OK, **values: object) -> HTMLResponse:
    given = {"problem": None, "checked": None, "run": None, **values}
    return pages.render(
        "decisions.html", here="decisions", status=status, most_bytes=MOST_BYTES, **given
    )


@router.get("/row")
def show_row(
    wanted: Annotated[RowKey, Query()],
    warehouse: WarehouseOfApp,
    pages: PagesOfApp,
    explainer: ExplainerOfRequest,
) -> HTMLResponse:
    """Show one row with every attempt."""
    view = read_row(wanted.link_key, warehouse, explainer)
    return pages.render(
        "row.html",
        here="rows",
        row=view.explained.row,
        attempts=shown_attempts(view.explained.row, view.attempts),
        explained=view.explained,
        delivery=view.delivery,
        actions=actions_on_row(view.explained.row),
    )
