"""The account of a day in shards: its counts, its failure policy and its asset event.

Only `execute` imports this module: what it imports is too heavy for Airflow's dag processor.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from airflow_kombo.airflow_compat import XCOM_RETURN_KEY
from airflow_kombo.delivery.day_account import DayAccount
from airflow_kombo.delivery.run_report import RunReport
from airflow_kombo.exceptions import ShardsFailedError
from airflow_kombo.kombo_api.explanations import Cause
from airflow_kombo.ledger.day_rows import DayRows
from airflow_kombo.ledger.runs import Runs
from airflow_kombo.operators.job import Job, WriteTask, hook_of, opened_job
from airflow_kombo.operators.parameters import RunParameters
from airflow_kombo.operators.row_selection import days_of
from airflow_kombo.operators.run_task import (
    add_day_to_events,
    log_causes,
    log_table,
    policy_of,
)
from airflow_kombo.operators.task_stop import TaskStop
from airflow_kombo.statuses import Status

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_kombo.kombo_api.writes import Write

_REMOVED: Final = "removed"
"""Airflow's state of a shard that a new plan has no more."""
_DONE: Final = frozenset({"success", _REMOVED})
"""Airflow's states of a shard that delivered its rows, or that has none any more."""


class AccountTask(WriteTask, Protocol):
    """Attributes of the operator, beside the `RunParameters`."""

    shard_task_id: str


def account_task(
    task: AccountTask, write: Write, context: Context, stop: TaskStop
) -> dict[str, int]:
    """Account for a day in shards, and return the counts by status.

    :raises ShardsFailedError: if a shard failed; the counts are the task's XCom all the same.
    :raises TooManyRefusedError: if more rows ended badly than the task's policy allows.
    :raises TooFewDeliveredError: if fewer rows were delivered than the task's policy demands.
    :raises LedgerError: if the ledger failed.
    :raises WarehouseError: if a warehouse whose ledger is elsewhere failed. Another try goes on.
    :raises RunStoppedError: if the task was stopped.
    """
    parameters = RunParameters.of(task)
    states = _states_of_shards(task, context)
    with opened_job(task, write, context, parameters) as job:
        if parameters.dry_run:
            _refuse_failed(states)
            add_day_to_events(job)
            return _counts_of_dry_run(task, context)
        shards = sum(state != _REMOVED for state in states.values())
        report = asyncio.run(_report(job, task.shard_task_id, shards, stop))
        log_table(report.integrations)
        log_causes({"the day": _causes_of(report.day)})
        if task.do_xcom_push:  # a task that fails has no return value to be its XCom
            context["ti"].xcom_push(XCOM_RETURN_KEY, report.numbers)
        with policy_of(job, f"dag_run_id {context['ti'].run_id}").after(report):
            job.databases.write_back()
            _refuse_failed(states)
        add_day_to_events(job, report)
        return report.numbers


async def _report(
    job: Job[RunParameters], shard_task_id: str, shards: int, stop: TaskStop
) -> RunReport:
    """Return the account of a day.

    :param shards: Number of the shards of the newest plan.
    """
    ledger = job.ledger
    hook = await hook_of(job.task)
    async with hook.client() as client:
        host = client.host
    run = replace(job.run, task_id=shard_task_id, map_index=None)
    days = days_of(job.parameters, job.context, job.day)
    runs, read_again = Runs(ledger.engine, ledger.tables), job.selection.open_statuses
    account = DayAccount(run, runs, days, shards, read_again)
    stop.hand_over(account.stop)
    return await account.report(host)


def _causes_of(day: DayRows) -> Counter[Cause]:
    """Return the causes of a day's undelivered rows; only the shards know them by integration."""
    return Counter(
        {
            Cause(Status(name), None if cause == name else cause): rows
            for (name, cause), rows in day.causes.items()
        }
    )


def _states_of_shards(task: AccountTask, context: Context) -> dict[str, str | None]:
    """Return Airflow's states of the shards, by their names."""
    instance: Any = context["ti"]
    states = instance.get_task_states(
        dag_id=instance.dag_id, task_ids=[task.shard_task_id], run_ids=[instance.run_id]
    )
    return dict(states.get(instance.run_id, {}))


def _refuse_failed(states: Mapping[str, str | None]) -> None:
    failed = sorted(name for name, state in states.items() if state not in _DONE)
    if failed:
        raise ShardsFailedError(
            f"{len(failed)} of {len(states)} shards failed: {', '.join(failed)}. Their logs have"
            " the causes. Clear them together with this task: a shard runs alone, and delivered"
            " rows are not sent again."
        )


def _counts_of_dry_run(task: AccountTask, context: Context) -> dict[str, int]:
    """Return the counts of a dry run, which is one shard; none if the shard pushed no XCom."""
    (counts,) = context["ti"].xcom_pull(task_ids=task.shard_task_id, map_indexes=[0])
    return dict(counts or {})
