"""The run of a delivering task, from the operator's parameters to the counts.

Only `execute` imports this module: what it imports is too heavy for Airflow's dag processor.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from airflow.sdk import BaseXCom

from airflow_kombo.delivery.run import DeliveryRun
from airflow_kombo.delivery.run_context import RunParts, Settings
from airflow_kombo.delivery.run_report import RunReport
from airflow_kombo.hooks.kombo import KomboHook
from airflow_kombo.kombo_api.writes import Write
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.redaction import redactor
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.observability.asset_events import add_to_asset_events
from airflow_kombo.observability.log_summary import table
from airflow_kombo.operators.applied_policy import AppliedPolicy
from airflow_kombo.operators.assessment_day import day_of
from airflow_kombo.operators.databases import Databases, opened
from airflow_kombo.operators.execution_timeout import execution_timeout
from airflow_kombo.operators.failure_policy import Policy
from airflow_kombo.operators.parameters import RunParameters
from airflow_kombo.operators.row_selection import Rows, selection_of
from airflow_kombo.operators.task_stop import TaskStop
from airflow_kombo.planning.dry_run import dry_run
from airflow_kombo.planning.planner import Planner
from airflow_kombo.planning.row_limit import RowLimit
from airflow_kombo.rows.result_link_mapping import mapping_of
from airflow_kombo.rows.row_mapping import RowMapping

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_kombo.rows.transformed_source import Transform

log = logging.getLogger(__name__)


class WriteTask(Protocol):
    """Attributes of the operator for a run, beside the `RunParameters`."""

    mapping: str | Path | Mapping[str, Any]
    transform: Transform | None
    kombo_conn_id: str
    warehouse_conn_id: str
    ledger_conn_id: str | None
    integration_id: str | None
    status_table: str
    fail_on: Mapping[str, float]
    fail_below: float
    outlets: list[Any]
    do_xcom_push: bool


@dataclass(frozen=True)
class _Job:
    """The parts of a run before the first call to Kombo."""

    task: WriteTask
    context: Context
    parameters: RunParameters
    mapping: RowMapping
    day: date
    databases: Databases


def run_task(task: WriteTask, write: Write, context: Context, stop: TaskStop) -> dict[str, int]:
    """Run an operator's task, and return the counts by status.

    :raises ConfigurationError: if a person has to change something; nothing was sent.
    :raises TooManyRefusedError: if more rows ended badly than the task's policy allows.
    :raises TooFewDeliveredError: if fewer rows were delivered than the task's policy demands.
    :raises LedgerError: if the ledger failed.
    :raises WarehouseError: if a warehouse whose ledger is elsewhere failed. Another try goes on.
    :raises RunStoppedError: if the task was stopped.
    """
    parameters = RunParameters.of(task)
    mapping = _mapping_of(write, task.mapping)
    day = day_of(context, parameters.assessment_date)
    log.info("Assessment day: %s", day)
    with opened(task.warehouse_conn_id, task.ledger_conn_id, task.status_table) as databases:
        job = _Job(task, context, parameters, mapping, day, databases)
        if not parameters.dry_run:
            databases.check()
        return asyncio.run(_run(job, stop))


def _mapping_of(write: Write, declared: str | Path | Mapping[str, Any]) -> RowMapping:
    kind = mapping_of(write)
    return kind.parse(dict(declared)) if isinstance(declared, Mapping) else kind.load(declared)


async def _run(job: _Job, stop: TaskStop) -> dict[str, int]:
    parameters = job.parameters
    hook = await _hook_of(job.task)
    selection = selection_of(parameters, job.context)
    redact = redactor(parameters.masked_fields, store=parameters.store_request)
    engine, tables = job.databases.ledger, job.databases.tables
    ledger = Ledger(engine, tables, redact)
    rows = Rows(
        parameters,
        job.databases,
        selection,
        job.mapping,
        job.task.transform,
        hook.default_integration,
    )
    mapped = rows.mapped(job.context, job.day)
    run, runs = _run_of(job.context, job.day), Runs(engine, tables)
    row_limit = None if parameters.approve_rows else _row_limit(runs, run, parameters.max_rows)
    if parameters.dry_run:
        planner = Planner(mapped, ledger, selection)
        _add_asset_events(job)
        return _dry_run(run, planner, row_limit, parameters)
    parts = RunParts(
        run,
        mapped=mapped,
        selection=selection,
        hook=hook,
        ledger=ledger,
        runs=runs,
        settings=Settings(max_in_flight=parameters.max_in_flight),
        guard=row_limit,
    )
    return await _deliver(job, run, DeliveryRun(parts), stop)


async def _hook_of(task: WriteTask) -> KomboHook:
    hook = KomboHook(task.kombo_conn_id)
    await hook.config()
    hook.default_integration = task.integration_id or hook.default_integration
    return hook


def _run_of(context: Context, day: date) -> Run:
    instance = context["ti"]
    return Run(
        run_id=str(uuid4()),
        dag_id=instance.dag_id,
        dag_run_id=instance.run_id,
        task_id=instance.task_id,
        map_index=instance.map_index,
        try_number=instance.try_number,
        assessment_date=day,
    )


def _row_limit(runs: Runs, run: Run, max_rows: int | None) -> RowLimit:
    if max_rows is not None:
        return RowLimit(max_rows, "this is max_rows")
    return RowLimit.over(runs.usual(run))


def _dry_run(
    run: Run, planner: Planner, row_limit: RowLimit | None, parameters: RunParameters
) -> dict[str, int]:
    """Write and log the action for each row, and return the counts by action."""
    report = dry_run(run, planner, parameters.max_in_flight)
    _log_table(report.senders)
    if row_limit and (reason := row_limit.refuses(sum(report.to_send.values()))):
        log.warning("A run would stop before the first of them: %s", reason)
    log.info("This was a dry run: nothing was sent.")
    return dict(report.counts)


async def _deliver(job: _Job, run: Run, delivery: DeliveryRun, stop: TaskStop) -> dict[str, int]:
    """Deliver the rows, and return the counts by status."""
    stop.hand_over(delivery.stop)
    report = delivery.report
    try:
        with execution_timeout(delivery.stop):
            await delivery.deliver()
    finally:
        _log_table(report.integrations)
        if job.task.do_xcom_push:  # a task that fails has no return value to be its XCom
            job.context["ti"].xcom_push(BaseXCom.XCOM_RETURN_KEY, report.numbers)
    with _policy_of(job, run).after(report):
        job.databases.write_back()
    _add_asset_events(job, report)
    return report.numbers


def _policy_of(job: _Job, run: Run) -> AppliedPolicy:
    task = job.task
    return AppliedPolicy(
        Policy(task.fail_on),
        task.fail_below,
        is_whole=job.parameters.is_whole(job.day),
        where=f"{task.status_table}, run_id {run.run_id}",
    )


def _log_table(senders: Mapping[str, Counter[str]]) -> None:
    for line in table(senders):
        log.info("%s", line)


def _add_asset_events(job: _Job, report: RunReport | None = None) -> None:
    """Add the day, its counts and its doubt to the outlets' events.

    A part of a day has no event.

    :param report: The account of the run; None for a dry run.
    """
    task = job.task
    if report and job.parameters.is_whole(job.day):
        events, in_doubt = job.context["outlet_events"], report.day.in_doubt
        add_to_asset_events(task.outlets, events, job.day, report.numbers, in_doubt=in_doubt)
    elif task.outlets:
        log.info("No asset event: this run leaves out rows of its day on purpose.")
        task.outlets = []
