"""The planning of a day in several shards, from the operator's parameters to the shards.

Only `plan_task` imports this module, and only for such a day: its imports take as long as a run's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.ledger.runs import Runs
from airflow_kombo.operators.job import Job, WriteTask, hook_of, opened_job
from airflow_kombo.operators.parameters import PlanParameters
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


def planned_shards(
    task: PlanTask, write: Write, context: Context, parameters: PlanParameters
) -> list[PlannedShard]:
    """Count a day's rows by integration, and divide them.

    :raises ConfigurationError: if a person has to change something, or has to approve the day.
    :raises LedgerError: if the database fails.
    :raises WarehouseError: if the warehouse fails, where the ledger is elsewhere.
    """
    with opened_job(task, write, context, parameters) as job:
        return _Plan(job, task.shard_task_id).shards()


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
