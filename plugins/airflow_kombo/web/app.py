"""FastAPI app of the page: routes, permission and headers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import Depends, FastAPI, Request, Response

from airflow_kombo.ledger.tables import Tables
from airflow_kombo.web.auth import permission
from airflow_kombo.web.database import EngineOfConnection, Settings, Warehouse
from airflow_kombo.web.dry_run_routes import router as dry_run_router
from airflow_kombo.web.failures import add_handlers
from airflow_kombo.web.json_routes import router as json_router
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
    for own in (router, run_router, dry_run_router, json_router):
        app.include_router(own, dependencies=allowed)
    app.include_router(static_router)
    app.middleware("http")(_with_headers)
    add_handlers(app)
    return app


async def _with_headers(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await call_next(request)
    response.headers.update(_HEADERS)
    return response
