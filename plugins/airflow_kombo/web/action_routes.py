"""Addresses of actions: plan and outcome."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse  # noqa: TC002 - FastAPI reads the annotation

from airflow_kombo.web.action_outcome import Sentence, StartedRuns, sentences
from airflow_kombo.web.action_plan import MOST_DAYS, MOST_IDS, PlanFilter, plan_of
from airflow_kombo.web.app_state import PagesOfApp, WarehouseOfApp

router = APIRouter()


@router.get("/plan")
def show_plan(
    chosen: Annotated[PlanFilter, Query()], warehouse: WarehouseOfApp, pages: PagesOfApp
) -> HTMLResponse:
    """Show the runs of an action before their start, and ask for a confirmation."""
    plan = plan_of(chosen, warehouse, pages.write)
    return pages.render(
        "plan.html", here="rows", plan=plan, chosen=chosen, most_days=MOST_DAYS, most_ids=MOST_IDS
    )


@router.post("/outcome")
def read_outcome(started: StartedRuns, warehouse: WarehouseOfApp) -> list[Sentence]:
    """Describe the rows of started runs as they are now.

    Nothing is written: the request is a POST because its ids are too long for an address.
    """
    return sentences(started, warehouse)
