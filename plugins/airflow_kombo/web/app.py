"""The page's addresses. Each needs a login and the permission to see plugins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from http import HTTPStatus
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Final, get_args

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, StreamingResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.exceptions import ConfigurationError, KomboError
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.statuses import Status
from airflow_kombo.web.auth import permission
from airflow_kombo.web.chart import chart
from airflow_kombo.web.csv_export import as_csv
from airflow_kombo.web.database import (
    SECTION,
    EngineOfConnection,
    NoTablesError,
    Settings,
    Warehouse,
)
from airflow_kombo.web.overview import overview
from airflow_kombo.web.pagination import Id, InvalidPositionError, Sort
from airflow_kombo.web.rendering import page
from airflow_kombo.web.rows import RowFilter, Rows
from airflow_kombo.web.trigger_forms import forms

_STATIC: Final = Path(__file__).parent / "static"
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self';"
    " img-src 'self' data:; form-action 'self'; frame-ancestors 'self'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

router = APIRouter()


def make_app(warehouse: Warehouse | None = None) -> FastAPI:
    """Make the app that Airflow's API server mounts.

    :param warehouse: What it reads; by default what Airflow's configuration names.
    """
    app = FastAPI(
        title="Kombo result links",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(permission())],
    )
    if warehouse is None:
        settings = Settings.of_airflow()
        engine = EngineOfConnection(settings.warehouse_conn_id)
        warehouse = Warehouse(engine, Tables.named(settings.status_table))
    app.state.warehouse = warehouse
    app.include_router(router)
    app.middleware("http")(_with_headers)
    app.add_exception_handler(StarletteHTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _misunderstood)
    app.add_exception_handler(InvalidPositionError, _no_place)
    app.add_exception_handler(NoTablesError, _nothing_yet)
    app.add_exception_handler(KomboError, _failed)
    return app


def _warehouse(request: Request) -> Warehouse:
    warehouse: Warehouse = request.app.state.warehouse
    return warehouse


_Warehouse = Annotated[Warehouse, Depends(_warehouse)]
_Asked = Annotated[RowFilter, Query()]


@router.get("/")
def show_overview(warehouse: _Warehouse) -> HTMLResponse:
    """Show what runs, what arrived and what needs somebody."""
    with warehouse.reading() as connection:
        found = overview(connection, warehouse.tables)
    return page("overview.html", here="overview", found=found, chart=chart(found.days))


@router.get("/rows")
def show_rows(asked: _Asked, warehouse: _Warehouse) -> HTMLResponse:
    """Show a page of rows."""
    with warehouse.reading() as connection:
        rows = Rows(connection, warehouse.tables)
        found, integrations = rows.page(asked), rows.integrations()
    return page(
        "rows.html",
        here="rows",
        asked=asked,
        found=found,
        integrations=integrations,
        statuses=list(Status),
        orders=get_args(Sort),
    )


@router.get("/rows.csv")
def export_rows(asked: _Asked, warehouse: _Warehouse) -> StreamingResponse:
    """Export all rows that were asked for, each batch read in a transaction of its own."""
    lines = as_csv(_batches(asked, warehouse))
    first = [next(lines), next(lines)]  # what cannot be read is said before the file begins
    return StreamingResponse(
        chain(first, lines),
        media_type="text/csv",
        headers={"Content-Disposition": 'attachment; filename="kombo_result_links.csv"'},
    )


def _batches(asked: RowFilter, warehouse: Warehouse) -> Iterator[Any]:
    after: str | None = None
    while True:
        with warehouse.reading() as connection:
            batch = Rows(connection, warehouse.tables).batch(asked, after)
        yield batch.rows
        if batch.after is None:
            return
        after = batch.after


@router.get("/row")
def show_row(
    integration_id: Id,
    target_type: Id,
    target_id: Id,
    result_id: Id,
    warehouse: _Warehouse,
) -> HTMLResponse:
    """Show one row with every attempt."""
    key = LinkKey(integration_id, target_type, target_id, result_id)
    with warehouse.reading() as connection:
        rows = Rows(connection, warehouse.tables)
        row, attempts = rows.one(key), rows.history(key)
    if row is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such row.")
    dag_id = next((one.dag_id for one in attempts if one.dag_id), None)
    return page("row.html", here="rows", row=row, attempts=attempts, forms=forms(row, dag_id))


@router.get("/static/{name}")
def static(name: str) -> FileResponse:
    """Give the style sheet or the script."""
    file = {path.name: path for path in _STATIC.iterdir()}.get(name)
    if file is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such file.")
    return FileResponse(file)


async def _with_headers(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await call_next(request)
    response.headers.update(_HEADERS)
    return response


def _refused(_: Request, error: Any) -> HTMLResponse:
    status = HTTPStatus(error.status_code)
    told = {
        HTTPStatus.UNAUTHORIZED: "Log in to Airflow, then open this page again.",
        HTTPStatus.FORBIDDEN: "Your Airflow user may not see plugins: ask who runs Airflow.",
    }
    return _error(
        status,
        status.phrase,
        told.get(status, str(error.detail)),
        needs_login=status == HTTPStatus.UNAUTHORIZED,
    )


def _misunderstood(_: Request, error: Any) -> HTMLResponse:
    names = ", ".join(sorted({str(one["loc"][-1]) for one in error.errors()}))
    return _error(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "This cannot be looked for",
        f"Correct {names} in the address or in the form.",
    )


def _no_place(_: Request, error: Any) -> HTMLResponse:
    return _error(HTTPStatus.BAD_REQUEST, "There is no such page", str(error))


def _nothing_yet(_: Request, error: Any) -> HTMLResponse:
    return page("empty.html", here="overview", told=str(error), section=SECTION)


def _failed(_: Request, error: Any) -> HTMLResponse:
    if isinstance(error, ConfigurationError):
        title, more = "Something has to be set up", ""
    else:
        title = "The warehouse did not answer"
        more = "Narrow what you look for, or try again in a moment."
    return _error(HTTPStatus.SERVICE_UNAVAILABLE, title, str(error), more)


def _error(
    status: HTTPStatus, title: str, told: str, more: str = "", *, needs_login: bool = False
) -> HTMLResponse:
    return page(
        "error.html", status=status, title=title, told=told, more=more, needs_login=needs_login
    )
