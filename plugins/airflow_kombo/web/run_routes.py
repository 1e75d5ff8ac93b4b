"""Addresses of the page about runs: the list, and one run."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import HTMLResponse  # noqa: TC002 - FastAPI reads the annotation
from sqlalchemy import select

from airflow_kombo.database.sql import in_utc, utc_now
from airflow_kombo.web.app_state import pages_of, warehouse_of
from airflow_kombo.web.database import Warehouse
from airflow_kombo.web.rendering import Pages
from airflow_kombo.web.run_starts import Starters, starter_by_name
from airflow_kombo.web.run_statistics import calls_of
from airflow_kombo.web.runs import RunFilter, RunKey, RunList, ShownRun

router = APIRouter()


def _starters_of(request: Request) -> Starters:
    starters: Starters = request.app.state.starters
    return starters


_Pages = Annotated[Pages, Depends(pages_of)]
_Warehouse = Annotated[Warehouse, Depends(warehouse_of)]
_Starters = Annotated[Starters, Depends(_starters_of)]


@router.get("/runs")
def show_runs(
    run_filter: Annotated[RunFilter, Query()],
    warehouse: _Warehouse,
    pages: _Pages,
    starters: _Starters,
) -> HTMLResponse:
    """Show a page of runs, newest first."""
    with warehouse.reading() as connection:
        now = in_utc(connection.execute(select(utc_now())).scalar_one())
        found = RunList(connection, warehouse.tables, now).page(run_filter)
    return pages.render(
        "runs.html",
        here="runs",
        run_filter=run_filter,
        found=found,
        started_by=_started_by(found.runs, starters),
    )


@router.get("/run")
def show_run(
    key: Annotated[RunKey, Query()], warehouse: _Warehouse, pages: _Pages, starters: _Starters
) -> HTMLResponse:
    """Show one run: its tasks, and its calls by integration."""
    with warehouse.reading() as connection:
        now = in_utc(connection.execute(select(utc_now())).scalar_one())
        run = RunList(connection, warehouse.tables, now).one(key)
        if run is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such run.")
        calls = calls_of(connection, warehouse.tables, run.tries)
    return pages.render(
        "run.html",
        here="runs",
        run=run,
        calls=calls,
        started_by=_started_by([run], starters)[run.key],
    )


def _started_by(runs: Sequence[ShownRun], starters: Starters) -> dict[RunKey, str]:
    keys = {(one.key.dag_id, one.key.dag_run_id) for one in runs}
    found = starters([(dag, run) for dag, run in keys if dag and run])
    return {
        one.key: found.get((str(one.key.dag_id), str(one.key.dag_run_id)))
        or starter_by_name(one.key.dag_run_id)
        for one in runs
    }
