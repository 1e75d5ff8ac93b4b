"""Data of each view, read in one place for the page and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import HTTPException
from sqlalchemy import Connection, select

from airflow_kombo.database.sql import in_utc, utc_now
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.ledger.run_calls import IntegrationCalls, calls_of
from airflow_kombo.web.call_days import CallFilter, CallsView, calls_by_day
from airflow_kombo.web.database import Warehouse
from airflow_kombo.web.explained_rows import Delivery, ExplainedRow, RowExplainer, delivery_of
from airflow_kombo.web.overview import Overview, Period, overview
from airflow_kombo.web.row_filter import RowFilter
from airflow_kombo.web.rows import PAGE_ROWS, Page, Rows
from airflow_kombo.web.run_starts import Starters
from airflow_kombo.web.runs import (
    PAGE_RUNS,
    RunFilter,
    RunKey,
    RunList,
    RunPage,
    ShownRun,
    started_by,
)

if TYPE_CHECKING:
    from sqlalchemy import Row


@dataclass(frozen=True)
class RowsView:
    """A page of the list of rows.

    :param explained: The rows of the page, each with an explanation.
    :param integrations: The integrations of all rows, for a form; empty if not asked for.
    """

    page: Page
    explained: Sequence[ExplainedRow]
    integrations: Sequence[str]


@dataclass(frozen=True)
class RowView:
    """One row.

    :param attempts: The row's attempts, newest first.
    :param delivery: The delivery; None for an undelivered row.
    """

    explained: ExplainedRow
    attempts: Sequence[Row[Any]]
    delivery: Delivery | None


@dataclass(frozen=True)
class RunsView:
    """A page of the list of runs.

    :param started_by: The starter of each run.
    """

    page: RunPage
    started_by: Mapping[RunKey, str]


@dataclass(frozen=True)
class RunView:
    """One run.

    :param calls: The calls of the run by integration.
    """

    run: ShownRun
    calls: Sequence[IntegrationCalls]
    started_by: str


def read_overview(period: Period, warehouse: Warehouse, explainer: RowExplainer) -> Overview:
    """Read the latest run, the days by status, and the rows for a person."""
    schedule = explainer.schedule_of()
    with warehouse.reading() as connection:
        return overview(connection, warehouse.tables, schedule, period)


def read_rows(
    row_filter: RowFilter,
    warehouse: Warehouse,
    explainer: RowExplainer,
    size: int = PAGE_ROWS,
    *,
    with_integrations: bool = False,
) -> RowsView:
    """Read a page of rows.

    :param size: The most rows on the page.
    :param with_integrations: True if a form needs the integrations of all rows.
    """
    with warehouse.reading() as connection:
        rows = Rows(connection, warehouse.tables)
        page = rows.page(row_filter, size)
        tasks = rows.tasks_of(page.rows)
        integrations = rows.integrations() if with_integrations else []
    return RowsView(page, explainer.explain(page.rows, tasks), integrations)


def read_row(key: LinkKey, warehouse: Warehouse, explainer: RowExplainer) -> RowView:
    """Read one row with all attempts.

    :raises HTTPException: if there is no such row.
    """
    with warehouse.reading() as connection:
        rows = Rows(connection, warehouse.tables)
        row = rows.one(key)
        if row is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such row.")
        attempts, tasks = rows.history(key), rows.tasks_of([row])
    (explained,) = explainer.explain([row], tasks)
    return RowView(explained, attempts, delivery_of(row, attempts))


def read_runs(
    run_filter: RunFilter, warehouse: Warehouse, starters: Starters, size: int = PAGE_RUNS
) -> RunsView:
    """Read a page of runs, newest first.

    :param size: The most runs on the page.
    """
    with warehouse.reading() as connection:
        page = RunList(connection, warehouse.tables, _now(connection)).page(run_filter, size)
    return RunsView(page, started_by([one.key for one in page.runs], starters))


def read_run(key: RunKey, warehouse: Warehouse, starters: Starters) -> RunView:
    """Read one run with its tasks and calls.

    :raises HTTPException: if there is no such run.
    """
    with warehouse.reading() as connection:
        run = RunList(connection, warehouse.tables, _now(connection)).one(key)
        if run is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such run.")
        calls = calls_of(connection, warehouse.tables, run.tries)
    return RunView(run, calls, started_by([run.key], starters)[run.key])


def read_calls(chosen: CallFilter, warehouse: Warehouse) -> CallsView:
    """Read the calls by integration and day."""
    with warehouse.reading() as connection:
        return calls_by_day(connection, warehouse.tables, chosen)


def _now(connection: Connection) -> datetime:
    return in_utc(connection.execute(select(utc_now())).scalar_one())
