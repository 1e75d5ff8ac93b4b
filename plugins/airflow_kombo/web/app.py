"""FastAPI app of the page: routes, permission, headers and error pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException

from airflow_kombo.exceptions import ConfigurationError, KomboError
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.web.app_state import pages_of
from airflow_kombo.web.auth import permission
from airflow_kombo.web.database import (
    SECTION,
    EngineOfConnection,
    NoTablesError,
    Settings,
    Warehouse,
)
from airflow_kombo.web.pagination import InvalidPositionError
from airflow_kombo.web.rendering import Pages
from airflow_kombo.web.routes import router
from airflow_kombo.web.run_routes import router as run_router
from airflow_kombo.web.run_starts import Starters, no_starters, starters_in_airflow
from airflow_kombo.web.schedules import Schedules, no_schedule, schedule_in_airflow
from airflow_kombo.web.shown_write import ShownWrite
from airflow_kombo.web.static_files import router as static_router

_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self';"
    " connect-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'self';"
    " base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_TITLES: Final = {
    HTTPStatus.UNAUTHORIZED: "You are not logged in",
    HTTPStatus.FORBIDDEN: "You may not see this page",
    HTTPStatus.NOT_FOUND: "It is not here",
}
_MESSAGES: Final = {
    HTTPStatus.UNAUTHORIZED: "Log in to Airflow, then open this page again.",
    HTTPStatus.FORBIDDEN: "Your Airflow user may not see plugins. Ask your Airflow administrator.",
}


def make_app(
    warehouse: Warehouse | None = None,
    schedules: Schedules = no_schedule,
    starters: Starters = no_starters,
) -> FastAPI:
    """Build the app.

    :param warehouse: The tables to show; by default those that Airflow's configuration names, for
        Airflow's API server.
    :param schedules: A function that finds the schedule of a dag, for other tables.
    :param starters: A function that finds the starters of dag runs, for other tables.
    """
    if warehouse is None:
        settings = Settings.of_airflow()
        engine = EngineOfConnection(settings.ledger_conn_id)
        warehouse = Warehouse(engine, Tables.named(settings.status_table))
        schedules, starters = schedule_in_airflow, starters_in_airflow
    write = ShownWrite(warehouse.tables.links.fullname)
    app = FastAPI(
        title=write.title,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.warehouse = warehouse
    app.state.pages = Pages(write)
    app.state.schedules = schedules
    app.state.starters = starters
    allowed = [Depends(permission())]
    for own in (router, run_router):
        app.include_router(own, dependencies=allowed)
    app.include_router(static_router)
    app.middleware("http")(_with_headers)
    app.add_exception_handler(StarletteHTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid_parameters)
    app.add_exception_handler(InvalidPositionError, _invalid_position)
    app.add_exception_handler(NoTablesError, _no_tables)
    app.add_exception_handler(KomboError, _unavailable)
    return app


async def _with_headers(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await call_next(request)
    response.headers.update(_HEADERS)
    return response


def _http_error(request: Request, error: Any) -> Response:
    status = HTTPStatus(error.status_code)
    return _error_page(
        request,
        status,
        _TITLES.get(status, status.phrase),
        _MESSAGES.get(status, str(error.detail)),
        is_closed=status in _MESSAGES,
    )


def _invalid_parameters(request: Request, error: Any) -> Response:
    names = ", ".join(sorted({str(one["loc"][-1]) for one in error.errors()}))
    return _error_page(
        request,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "The search is not valid",
        f"Correct {names} in the address or in the form.",
    )


def _invalid_position(request: Request, error: Any) -> Response:
    return _error_page(request, HTTPStatus.BAD_REQUEST, "There is no such page", str(error))


def _no_tables(request: Request, error: Any) -> Response:
    return pages_of(request).render(
        "empty.html", here="overview", message=str(error), section=SECTION
    )


def _unavailable(request: Request, error: Any) -> Response:
    status = HTTPStatus.SERVICE_UNAVAILABLE
    if isinstance(error, ConfigurationError):
        return _error_page(request, status, "The page is not set up", str(error))
    title = "The warehouse did not answer"
    advice = "Narrow the search, or try again in a moment. Runs and rows are not affected."
    return _error_page(request, status, title, str(error), advice, may_pass=True)


def _error_page(
    request: Request,
    status: HTTPStatus,
    title: str,
    message: str,
    advice: str = "",
    *,
    is_closed: bool = False,
    may_pass: bool = False,
) -> Response:
    return pages_of(request).render(
        "error.html",
        status=status,
        title=title,
        message=message,
        advice=advice,
        is_closed=is_closed,
        may_pass=may_pass,
    )
