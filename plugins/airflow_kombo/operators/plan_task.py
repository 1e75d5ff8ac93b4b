"""The planning of a day in shards, from the operator's parameters to the shards.

Only `execute` imports this module: what it imports is too heavy for Airflow's dag processor.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.ledger.runs import Runs
from airflow_kombo.operators.assessment_day import day_of
from airflow_kombo.operators.job import Job, WriteTask, hook_of, opened_job
from airflow_kombo.operators.parameters import PlanParameters
from airflow_kombo.operators.run_configuration import refuse_misspelled_params
from airflow_kombo.operators.run_task import row_limit_of
from airflow_kombo.planning.planner import Planner
from airflow_kombo.planning.row_limit import RowLimit
from airflow_kombo.planning.shards import PlannedShard, divide, limited
from airflow_kombo.planning.unmatched_ids import report_unmatched_ids
from airflow_kombo.rows.shard import Shard
from airflow_kombo.rows.source import Unmatched

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_kombo.kombo_api.writes import Write
    from airflow_kombo.rows.mapped_rows import MappedRows

log = logging.getLogger(__name__)


class PlanTask(WriteTask, Protocol):
    """Attributes of the operator, beside the `PlanParameters`."""

    shard_task_id: str


def plan_task(task: PlanTask, write: Write, context: Context) -> list[dict[str, Any]]:
    """Divide a day into shards, and return them for the tasks that deliver them.

    :raises ConfigurationError: if a person has to change something, or has to approve the day.
    :raises LedgerError: if the database fails.
    :raises WarehouseError: if the warehouse fails, where the ledger is elsewhere.
    """
    refuse_misspelled_params(context)
    parameters = PlanParameters.of(task)
    day_of(context, parameters.assessment_date)  # a run without a day ends here, with one message
    if parameters.are_one_shard:
        log.info("One shard delivers all rows.")
        return [PlannedShard().as_xcom()]
    with opened_job(task, write, context, parameters) as job:
        return [shard.as_xcom() for shard in _Plan(job, task.shard_task_id).shards()]


class _Plan:
    """The plan of a day.

    :param shard_task_id: The task that delivers the shards, and that has the days before.
    """

    def __init__(self, job: Job[PlanParameters], shard_task_id: str) -> None:
        self._job = job
        self._run = replace(job.run, task_id=shard_task_id, map_index=None)
        self._mapped: MappedRows = job.mapped(asyncio.run(hook_of(job.task)))

    def shards(self) -> list[PlannedShard]:
        """Count the rows of each integration, and divide them."""
        counts = self._mapped.counts()
        rows = {one.integration_id: one.rows for one in counts}
        self._check_ids(rows)
        shards = divide(counts, self._job.parameters.shards)
        planned = limited(shards, *self._within_limit(rows))
        _log(shards, rows)
        return planned

    def _check_ids(self, rows: Mapping[str, int]) -> None:
        """Report ids of integrations without a row, as no shard can."""
        selection = self._job.selection
        unmatched = Unmatched(selection)
        unmatched.integration_ids.difference_update(rows)
        report_unmatched_ids(unmatched, selection, self._job.ledger)

    def _within_limit(self, rows: Mapping[str, int]) -> tuple[Mapping[str, int], RowLimit | None]:
        """Return the rows that the limit allows, and the limit.

        The rows are looked up in the ledger only if more are planned than may be sent.

        :raises ConfigurationError: if more rows would be sent than the day may send.
        """
        ledger = self._job.ledger
        limit = row_limit_of(Runs(ledger.engine, ledger.tables), self._run, self._job.parameters)
        if limit is None or not limit.refuses(sum(rows.values())):
            return rows, limit
        sent = Planner(self._mapped, ledger, self._job.selection).sent()
        if reason := limit.refuses(sum(sent.values())):
            raise ConfigurationError(reason)
        return sent, limit


def _log(shards: Sequence[Shard], rows: Mapping[str, int]) -> None:
    for number, shard in enumerate(shards):
        own = [rows[name] for name in rows if shard.has(name)]
        log.info("Shard %d: %d rows of %d integrations", number, sum(own), len(own))
