"""The plan of a day: one shard, or several that the rows decide.

Only `execute` imports this module. A day in one shard, the usual one, needs no row for its plan, no
database and no library for them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_kombo.operators.assessment_day import day_of
from airflow_kombo.operators.parameters import PlanParameters
from airflow_kombo.operators.run_configuration import refuse_misspelled_params
from airflow_kombo.planning.shards import PlannedShard

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_kombo.kombo_api.writes import Write
    from airflow_kombo.operators.shard_plan import PlanTask

log = logging.getLogger(__name__)


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
    from airflow_kombo.operators.shard_plan import planned_shards  # noqa: PLC0415 - see above

    return [shard.as_xcom() for shard in planned_shards(task, write, context, parameters)]
