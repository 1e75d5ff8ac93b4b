"""The run of a delivering task, from the operator's parameters to the counts.

Only `execute` imports this module: what it imports is too heavy for Airflow's dag processor.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_kombo.airflow_compat import XCOM_RETURN_KEY
from airflow_kombo.delivery.run import DeliveryRun
from airflow_kombo.delivery.run_context import RunParts, Settings
from airflow_kombo.delivery.run_report import RunReport
from airflow_kombo.exceptions import LedgerError
from airflow_kombo.kombo_api.explanations import Cause
from airflow_kombo.ledger.response_retention import ResponseRetention
from airflow_kombo.ledger.run_calls import keep_calls
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.observability.asset_events import add_to_asset_events
from airflow_kombo.observability.log_summary import explained, table
from airflow_kombo.operators.applied_policy import AppliedPolicy
from airflow_kombo.operators.execution_timeout import execution_timeout
from airflow_kombo.operators.failure_policy import Policy
from airflow_kombo.operators.job import Job, WriteTask, hook_of, opened_job
from airflow_kombo.operators.parameters import RunParameters
from airflow_kombo.operators.run_configuration import refuse_misspelled_params
from airflow_kombo.operators.task_stop import TaskStop
from airflow_kombo.planning.dry_run import dry_run
from airflow_kombo.planning.planner import Planner
from airflow_kombo.planning.row_limit import RowLimit

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_kombo.kombo_api.writes import Write

log = logging.getLogger(__name__)

_Job = Job[RunParameters]


def run_task(task: WriteTask, write: Write, context: Context, stop: TaskStop) -> dict[str, int]:
    """Run an operator's task, and return the counts by status.

    :raises ConfigurationError: if a person has to change something; nothing was sent.
    :raises TooManyRefusedError: if more rows ended badly than the task's policy allows.
    :raises TooFewDeliveredError: if fewer rows were delivered than the task's policy demands.
    :raises LedgerError: if the ledger failed.
    :raises WarehouseError: if a warehouse whose ledger is elsewhere failed. Another try goes on.
    :raises RunStoppedError: if the task was stopped.
    """
    refuse_misspelled_params(context)
    parameters = RunParameters.of(task)
    with opened_job(task, write, context, parameters) as job:
        if not parameters.dry_run:
            job.databases.check()
        return asyncio.run(_run(job, stop))


async def _run(job: _Job, stop: TaskStop) -> dict[str, int]:
    parameters, ledger, run = job.parameters, job.ledger, job.run
    hook = await hook_of(job.task)
    mapped, runs = job.mapped(hook), Runs(ledger.engine, ledger.tables)
    row_limit = row_limit_of(runs, run, parameters)
    if parameters.dry_run:
        add_day_to_events(job)
        return _dry_run(run, Planner(mapped, ledger, job.selection), row_limit, parameters)
    parts = RunParts(
        run,
        mapped=mapped,
        selection=job.selection,
        hook=hook,
        ledger=ledger,
        runs=runs,
        settings=Settings(max_in_flight=parameters.max_in_flight),
        guard=row_limit,
        is_shard=parameters.shard is not None,
    )
    return await _deliver(job, run, DeliveryRun(parts), stop)


def row_limit_of(runs: Runs, run: Run, parameters: RunParameters) -> RowLimit | None:
    """Return the most rows that a run may send without approval; None for any number.

    The limit of a day is learned from all shards of its task.
    """
    shard = parameters.shard
    if parameters.approve_rows:
        return None
    if shard and not shard.is_whole:
        return shard.row_limit
    if parameters.max_rows is not None:
        return RowLimit(parameters.max_rows, "this is max_rows")
    return RowLimit.over(runs.usual(replace(run, map_index=None) if shard else run))


def _dry_run(
    run: Run, planner: Planner, row_limit: RowLimit | None, parameters: RunParameters
) -> dict[str, int]:
    """Write and log the action for each row, and return the counts by action."""
    report = dry_run(run, planner, parameters.max_in_flight)
    log_table(report.senders)
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
        log_table(report.integrations)
        log_causes(report.causes)
        if job.task.do_xcom_push:  # a task that fails has no return value to be its XCom
            job.context["ti"].xcom_push(XCOM_RETURN_KEY, report.numbers)
        _keep_calls(job, run)
    _delete_old_responses(job)
    policy = policy_of(job, f"run_id {run.run_id}")
    if job.parameters.shard is None:
        with policy.after(report):
            job.databases.write_back()
        add_day_to_events(job, report)
    elif _is_tried_again(job.context):
        policy.apply_to_shard(report)
    return report.numbers


def _keep_calls(job: _Job, run: Run) -> None:
    """Keep the run's calls for the page. The rows are complete without them."""
    try:
        keep_calls(job.ledger.engine, job.ledger.tables, run.run_id)
    except LedgerError as error:
        log.warning("The page will lack this run's calls by integration and day: %s", error)


def _delete_old_responses(job: _Job) -> None:
    """Delete the responses of before the time for which the task keeps them."""
    ledger, days = job.ledger, job.parameters.keep_responses_days
    try:
        deleted = ResponseRetention(ledger.engine, ledger.tables, days).apply()
    except LedgerError as error:
        log.warning("Responses older than %d days are left to the next run: %s", days, error)
        return
    if deleted:
        log.info("%d responses older than %d days were deleted", deleted, days)


def _is_tried_again(context: Context) -> bool:
    """Return True if Airflow tries the task again when it fails now."""
    instance = context["ti"]
    return instance.try_number <= instance.max_tries


def policy_of(job: _Job, where: str) -> AppliedPolicy:
    """Return the failure policy of a task.

    :param where: The rows in the status table, for messages.
    """
    task = job.task
    return AppliedPolicy(
        Policy(task.fail_on),
        task.fail_below,
        is_whole=job.parameters.is_whole(job.day),
        where=f"{task.status_table}, {where}",
    )


def log_table(senders: Mapping[str, Counter[str]]) -> None:
    """Log the rows by integration and status."""
    for line in table(senders):
        log.info("%s", line)


def log_causes(causes: Mapping[str, Counter[Cause]]) -> None:
    """Log the causes of undelivered rows, each with turn and next step."""
    for line in explained(causes):
        log.info("%s", line)


def add_day_to_events(job: _Job, report: RunReport | None = None) -> None:
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
