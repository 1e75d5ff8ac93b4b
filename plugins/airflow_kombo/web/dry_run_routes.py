"""Addresses of the page about dry runs: the list, and the rows of one."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import HTMLResponse  # noqa: TC002 - FastAPI reads the annotation

from airflow_kombo.statuses import Action
from airflow_kombo.web.app_state import (
    PagesOfApp,
    StartersOfApp,
    WarehouseOfApp,
)
from airflow_kombo.web.dry_run_rows import EFFECTS, DryRunFilter, DryRunRows
from airflow_kombo.web.dry_runs import DryRunList, DryRunListFilter
from airflow_kombo.web.runs import started_by

router = APIRouter()


@router.get("/dry-runs")
def show_dry_runs(
    wanted: Annotated[DryRunListFilter, Query()],
    warehouse: WarehouseOfApp,
    pages: PagesOfApp,
    starters: StartersOfApp,
) -> HTMLResponse:
    """Show a page of dry runs, newest first."""
    with warehouse.reading() as connection:
        found = DryRunList(connection, warehouse.tables).page(wanted)
    return pages.render(
        "dry_runs.html",
        here="dry runs",
        wanted=wanted,
        found=found,
        effects=EFFECTS,
        started_by=started_by([one.key for one in found.dry_runs], starters),
    )


@router.get("/dry-run")
def show_dry_run(
    wanted: Annotated[DryRunFilter, Query()],
    warehouse: WarehouseOfApp,
    pages: PagesOfApp,
    starters: StartersOfApp,
) -> HTMLResponse:
    """Show the rows of one dry run, each with its request and the reason."""
    with warehouse.reading() as connection:
        dry_run = DryRunList(connection, warehouse.tables).one(wanted.run_id)
        if dry_run is None:
            raise HTTPException(
                HTTPStatus.NOT_FOUND,
                "There is no such dry run. A later dry run of the same task and day has taken its"
                " place, or it was older than a week.",
            )
        rows = DryRunRows(connection, warehouse.tables)
        found, integrations = rows.page(wanted), rows.integrations(wanted.run_id)
    return pages.render(
        "dry_run.html",
        here="dry runs",
        wanted=wanted,
        dry_run=dry_run,
        found=found,
        integrations=integrations,
        actions=list(Action),
        effects=EFFECTS,
        started_by=started_by([dry_run.key], starters)[dry_run.key],
    )
