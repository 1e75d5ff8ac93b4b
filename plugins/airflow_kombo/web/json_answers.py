"""Answers of the JSON views, built from the data of the page's views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_kombo.ledger.tables import KEY
from airflow_kombo.statuses import COUNTED
from airflow_kombo.web import json_models as models
from airflow_kombo.web import json_overview
from airflow_kombo.web.rows import COLUMNS
from airflow_kombo.web.runs import RunKey

if TYPE_CHECKING:
    from airflow_kombo.ledger.run_calls import IntegrationCalls
    from airflow_kombo.web.call_days import CallsView
    from airflow_kombo.web.explained_rows import ExplainedRow
    from airflow_kombo.web.overview import Overview, UndecidedRows
    from airflow_kombo.web.run_progress import Progress
    from airflow_kombo.web.runs import ShownRun
    from airflow_kombo.web.views import RowsView, RowView, RunsView, RunView


def rows_answer(view: RowsView) -> models.Rows:
    """Build the answer with a page of rows."""
    return models.Rows(
        rows=[_row(one) for one in view.explained],
        next=view.page.after,
        previous=view.page.before,
    )


def row_answer(view: RowView) -> models.RowHistory:
    """Build the answer with one row."""
    return models.RowHistory(
        row=_row(view.explained),
        delivery=models.Delivery.model_validate(view.delivery) if view.delivery else None,
        history=[models.Attempt.model_validate(one) for one in view.attempts],
    )


def runs_answer(view: RunsView) -> models.Runs:
    """Build the answer with a page of runs."""
    return models.Runs(
        runs=[_run(one, view.started_by[one.key]) for one in view.page.runs],
        next=view.page.after,
    )


def run_answer(view: RunView) -> models.RunTasks:
    """Build the answer with one run."""
    return models.RunTasks(
        run=_run(view.run, view.started_by),
        calls=[_calls(one) for one in view.calls],
        tasks=[_task(one) for one in view.run.tries],
    )


def overview_answer(found: Overview) -> json_overview.Counts:
    """Build the answer with the counts of the overview."""
    return json_overview.Counts(
        read_at=found.now,
        run=_progress(found.progress) if found.progress else None,
        days=[
            json_overview.DayCounts.model_validate(
                {"day": day, "rows": counts.total(), "statuses": counts}
            )
            for day, counts in found.days.items()
        ],
        integrations=found.integrations,
        undelivered=[json_overview.Undelivered.model_validate(one) for one in found.undelivered],
        left_out=found.left_out,
        waiting_until=found.waiting_until,
        warnings=[json_overview.Warned(text=text, rows=rows) for text, rows in found.warnings],
        warned=found.warned,
        is_cut=found.is_cut,
        undecided=_undecided(found.undecided),
    )


def _row(explained: ExplainedRow) -> models.Row:
    return models.Row.model_validate(
        {
            **{name: getattr(explained.row, name) for name in COLUMNS},
            "explanation": explained.explanation,
            "next_try": explained.next_try,
        }
    )


def _run(run: ShownRun, started_by: str) -> models.Run:
    return models.Run.model_validate(
        {
            **_progress_values(run.progress, run.key),
            "started_at": run.started_at,
            "started_by": started_by,
            "seconds": run.seconds,
            "sent": run.sent,
            "limited": run.limited,
        }
    )


def _progress(progress: Progress) -> models.RunProgress:
    first = progress.first
    if first.dag_run_id:
        key = RunKey(dag_id=first.dag_id, dag_run_id=first.dag_run_id)
    else:
        key = RunKey(run_id=first.run_id)
    return models.RunProgress.model_validate(_progress_values(progress, key))


def _progress_values(progress: Progress, key: RunKey) -> Mapping[str, Any]:
    names = ("started_at", "ended_at", "expected_at", "is_silent", "planned", "done", "errors")
    return {
        **key.model_dump(),
        **{name: getattr(progress, name) for name in names},
        "assessment_date": progress.first.assessment_date,
        "counts": progress.counts,
    }


def _task(task: Any) -> models.Task:
    names = models.Task.model_fields.keys() - {"counts"}
    counts = {name: getattr(task, name) or 0 for name in COUNTED}
    return models.Task.model_validate(
        {**{name: getattr(task, name) for name in names}, "counts": counts}
    )


def calls_answer(view: CallsView) -> models.CallsOfDays:
    """Return the answer with the calls by integration and day."""
    days = [
        models.CallsOfDay.model_validate({"day": one.day, **_calls(one.calls).model_dump()})
        for one in view.days
    ]
    return models.CallsOfDays(calls=days, is_cut=view.is_cut)


def _calls(calls: IntegrationCalls) -> models.Calls:
    return models.Calls(
        integration_id=calls.integration_id,
        sent=calls.rows,
        calls=calls.calls,
        confirmed=calls.confirmed,
        limited=calls.limited,
        success_rate=calls.success_rate,
        milliseconds_p50=calls.median,
        milliseconds_p95=calls.slowest,
    )


def _undecided(undecided: UndecidedRows) -> json_overview.Undecided:
    rows = [
        json_overview.UndecidedRow.model_validate(
            {
                **{name: getattr(row, name) for name in (*KEY, "error_code", "log_url")},
                "sent_at": undecided.sent_at(row),
                "days_left": undecided.days_left(row),
            }
        )
        for row in undecided.rows
    ]
    return json_overview.Undecided.model_validate(
        {"total": undecided.total, "statuses": undecided.counts, "rows": rows}
    )
