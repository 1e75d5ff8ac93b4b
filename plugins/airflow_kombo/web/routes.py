"""Addresses of the page: overview, rows, export, one row, and static files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from http import HTTPStatus
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Final, get_args

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, Response, StreamingResponse
from pydantic import BaseModel

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.statuses import Status
from airflow_kombo.web.chart import chart
from airflow_kombo.web.csv_export import as_csv
from airflow_kombo.web.database import Warehouse
from airflow_kombo.web.overview import overview
from airflow_kombo.web.pagination import Id, Sort
from airflow_kombo.web.rendering import Pages
from airflow_kombo.web.rows import RowFilter, Rows
from airflow_kombo.web.status_styles import status_styles
from airflow_kombo.web.trigger_forms import forms

_STATIC: Final = Path(__file__).parent / "static"

router = APIRouter()


def pages_of(request: Request) -> Pages:
    """Return the templates of the app."""
    pages: Pages = request.app.state.pages
    return pages


def _warehouse_of(request: Request) -> Warehouse:
    warehouse: Warehouse = request.app.state.warehouse
    return warehouse


class _RowKey(BaseModel):
    integration_id: Id
    target_type: Id
    target_id: Id
    result_id: Id


_Pages = Annotated[Pages, Depends(pages_of)]
_Warehouse = Annotated[Warehouse, Depends(_warehouse_of)]
_RowFilter = Annotated[RowFilter, Query()]


@router.get("/")
def show_overview(warehouse: _Warehouse, pages: _Pages) -> HTMLResponse:
    """Show the latest run, the days by status, and the rows for a person."""
    with warehouse.reading() as connection:
        found = overview(connection, warehouse.tables)
    return pages.render("overview.html", here="overview", found=found, chart=chart(found.days))


@router.get("/rows")
def show_rows(row_filter: _RowFilter, warehouse: _Warehouse, pages: _Pages) -> HTMLResponse:
    """Show a page of rows."""
    with warehouse.reading() as connection:
        rows = Rows(connection, warehouse.tables)
        found, integrations = rows.page(row_filter), rows.integrations()
    return pages.render(
        "rows.html",
        here="rows",
        row_filter=row_filter,
        found=found,
        integrations=integrations,
        statuses=list(Status),
        orders=get_args(Sort),
    )


@router.get("/rows.csv")
def export_rows(row_filter: _RowFilter, warehouse: _Warehouse, pages: _Pages) -> StreamingResponse:
    """Export all matching rows, each batch read in one transaction."""
    lines = as_csv(_batches(row_filter, warehouse))
    # The first batch is read before the response begins, so that an error still gets its page.
    first = [next(lines), next(lines)]
    file_name = f"{pages.write.file_name}.csv"
    return StreamingResponse(
        chain(first, lines),
        media_type="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{file_name}"'},
    )


def _batches(row_filter: RowFilter, warehouse: Warehouse) -> Iterator[Sequence[Any]]:
    after: str | None = None
    while True:
        with warehouse.reading() as connection:
            batch = Rows(connection, warehouse.tables).batch(row_filter, after)
        yield batch.rows
        if batch.after is None:
            return
        after = batch.after


@router.get("/row")
def show_row(
    wanted: Annotated[_RowKey, Query()], warehouse: _Warehouse, pages: _Pages
) -> HTMLResponse:
    """Show one row with every attempt."""
    key = LinkKey(**wanted.model_dump())
    with warehouse.reading() as connection:
        rows = Rows(connection, warehouse.tables)
        row = rows.one(key)
        if row is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such row.")
        attempts, dag_id = rows.history(key), rows.dag_of(row)
    return pages.render(
        "row.html",
        here="rows",
        row=row,
        attempts=attempts,
        forms=forms(row, pages.write, dag_id),
    )


@router.get("/static/statuses.css")
def status_style_sheet() -> Response:
    """Send the style sheet of statuses."""
    return Response(status_styles(), media_type="text/css")


@router.get("/static/{name}")
def static(name: str) -> FileResponse:
    """Send a style sheet or a script."""
    file = {path.name: path for path in _STATIC.iterdir()}.get(name)
    if file is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such file.")
    return FileResponse(file)
