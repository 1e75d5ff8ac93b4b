"""Addresses for programs: the data of the page as JSON, and an OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from pydantic import Field

from airflow_kombo.web import json_models as models
from airflow_kombo.web.app_state import (
    ExplainerOfRequest,
    PagesOfApp,
    StartersOfApp,
    WarehouseOfApp,
)
from airflow_kombo.web.call_days import CallFilter
from airflow_kombo.web.json_answers import (
    calls_answer,
    overview_answer,
    row_answer,
    rows_answer,
    run_answer,
    runs_answer,
)
from airflow_kombo.web.json_openapi import PROBLEMS, openapi_document
from airflow_kombo.web.json_overview import Counts
from airflow_kombo.web.overview import Period
from airflow_kombo.web.row_filter import RowFilter, RowKey
from airflow_kombo.web.rows import BATCH_ROWS, PAGE_ROWS
from airflow_kombo.web.runs import PAGE_RUNS, RunFilter, RunKey
from airflow_kombo.web.views import (
    read_calls,
    read_overview,
    read_row,
    read_rows,
    read_run,
    read_runs,
)

if TYPE_CHECKING:
    from fastapi.routing import APIRoute

_MOST_RUNS: Final = 100
"""Runs of one answer at most."""


def _operation_id(route: APIRoute) -> str:
    return route.name


router = APIRouter(responses=PROBLEMS, generate_unique_id_function=_operation_id)


# A program's misspelled condition would otherwise find all rows.
class RowQuery(RowFilter, extra="forbid"):
    """Conditions for the rows of an answer."""

    limit: int = Field(PAGE_ROWS, ge=1, le=BATCH_ROWS, description="The most rows of the answer.")


class RunQuery(RunFilter, extra="forbid"):
    """Conditions for the runs of an answer."""

    limit: int = Field(PAGE_RUNS, ge=1, le=_MOST_RUNS, description="The most runs of the answer.")


class CallQuery(CallFilter, extra="forbid"):
    """Conditions for the calls of an answer."""


class PeriodQuery(Period, extra="forbid"):
    """Days of an answer with counts."""


class RowKeyQuery(RowKey, extra="forbid"):
    """Key of the row of an answer."""


class RunKeyQuery(RunKey, extra="forbid"):
    """Key of the run of an answer."""


@router.get("/overview.json")
def read_counts(
    period: Annotated[PeriodQuery, Query()],
    warehouse: WarehouseOfApp,
    explainer: ExplainerOfRequest,
) -> Counts:
    """Read the latest run, the days by status, undelivered and undecided rows, and warnings."""
    return overview_answer(read_overview(period, warehouse, explainer))


@router.get("/rows.json")
def list_rows(
    row_filter: Annotated[RowQuery, Query()],
    warehouse: WarehouseOfApp,
    explainer: ExplainerOfRequest,
) -> models.Rows:
    """Read a page of rows."""
    return rows_answer(read_rows(row_filter, warehouse, explainer, row_filter.limit))


@router.get("/row.json")
def read_one_row(
    key: Annotated[RowKeyQuery, Query()], warehouse: WarehouseOfApp, explainer: ExplainerOfRequest
) -> models.RowHistory:
    """Read one row with every attempt."""
    return row_answer(read_row(key.link_key, warehouse, explainer))


@router.get("/runs.json")
def list_runs(
    run_filter: Annotated[RunQuery, Query()], warehouse: WarehouseOfApp, starters: StartersOfApp
) -> models.Runs:
    """Read a page of runs, newest first."""
    return runs_answer(read_runs(run_filter, warehouse, starters, run_filter.limit))


@router.get("/run.json")
def read_one_run(
    key: Annotated[RunKeyQuery, Query()], warehouse: WarehouseOfApp, starters: StartersOfApp
) -> models.RunTasks:
    """Read one run with tasks, and with the calls of each integration."""
    return run_answer(read_run(RunKey(**key.parameters), warehouse, starters))


@router.get("/calls.json")
def list_calls(
    chosen: Annotated[CallQuery, Query()], warehouse: WarehouseOfApp
) -> models.CallsOfDays:
    """Read the calls by integration and day."""
    return calls_answer(read_calls(chosen, warehouse))


@router.get("/openapi.json", include_in_schema=False)
def show_document(request: Request, pages: PagesOfApp) -> dict[str, Any]:
    """Describe the addresses for programs."""
    return openapi_document(router.routes, pages.write.title, request.scope.get("root_path", ""))
