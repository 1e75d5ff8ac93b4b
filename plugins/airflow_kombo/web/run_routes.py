"""Addresses of the page about runs: the list, one run, and the calls by day."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse  # noqa: TC002 - FastAPI reads the annotation

from airflow_kombo.web.app_state import (
    PagesOfApp,
    StartersOfApp,
    WarehouseOfApp,
)
from airflow_kombo.web.call_days import CallFilter
from airflow_kombo.web.runs import RunFilter, RunKey
from airflow_kombo.web.views import read_calls, read_run, read_runs

router = APIRouter()


@router.get("/runs")
def show_runs(
    run_filter: Annotated[RunFilter, Query()],
    warehouse: WarehouseOfApp,
    pages: PagesOfApp,
    starters: StartersOfApp,
) -> HTMLResponse:
    """Show a page of runs, newest first."""
    view = read_runs(run_filter, warehouse, starters)
    return pages.render(
        "runs.html",
        here="runs",
        run_filter=run_filter,
        found=view.page,
        started_by=view.started_by,
    )


@router.get("/run")
def show_run(
    key: Annotated[RunKey, Query()],
    warehouse: WarehouseOfApp,
    pages: PagesOfApp,
    starters: StartersOfApp,
) -> HTMLResponse:
    """Show one run: its tasks, and its calls by integration."""
    view = read_run(key, warehouse, starters)
    return pages.render(
        "run.html", here="runs", run=view.run, calls=view.calls, started_by=view.started_by
    )


@router.get("/calls")
def show_calls(
    chosen: Annotated[CallFilter, Query()], warehouse: WarehouseOfApp, pages: PagesOfApp
) -> HTMLResponse:
    """Show the calls by integration and day."""
    found = read_calls(chosen, warehouse)
    return pages.render("calls.html", here="runs", chosen=chosen, found=found)
