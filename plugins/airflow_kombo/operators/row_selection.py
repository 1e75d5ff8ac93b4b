"""The selection and the source of a run's rows."""

from __future__ import annotations

import logging
from datetime import date
from typing import TYPE_CHECKING, Final

from airflow_kombo.kombo_api.writes import Write
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.operators.parameters import RunParameters
from airflow_kombo.rows.query_source import QuerySource, parameters_of, rows_of_day
from airflow_kombo.rows.source import FIRST_DAY, Selection, Source
from airflow_kombo.rows.task_source import TaskSource

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

_LOOKING_BACK: Final = frozenset({"scheduled", "asset_triggered"})
"""Airflow's types of runs that no person started: a person would have named the days."""
_BY_HAND: Final = "manual"


def selection_of(parameters: RunParameters, context: Context) -> Selection:
    """Build the selection of rows from a run's parameters."""
    return Selection(
        integration_ids=frozenset(parameters.integration_ids),
        result_ids=frozenset(parameters.result_ids),
        redeliver=frozenset(parameters.redeliver),
        limit=parameters.limit,
        not_before=parameters.not_before,
        also_done=parameters.dry_run,
        by_hand=context["dag_run"].run_type == _BY_HAND,
    )


def source_of(
    parameters: RunParameters,
    context: Context,
    day: date,
    *,
    ledger: Ledger,
    selection: Selection,
    default_integration: str | None,
    write: Write,
) -> Source:
    """Build the source of a run's rows, for the day and the days of the look back.

    :raises ConfigurationError: if the rows cannot be read from it.
    """
    if parameters.rows_task_id is not None:
        rows = context["ti"].xcom_pull(task_ids=parameters.rows_task_id)
        return TaskSource(rows, selection)
    days = parameters.lookback_days if context["dag_run"].run_type in _LOOKING_BACK else 0
    sql = parameters.sql
    source = QuerySource(
        ledger.engine,
        ledger.tables,
        sql if sql is not None else rows_of_day(ledger.engine, str(parameters.table)),
        parameters_of(day, days),
        selection=selection,
        default_integration=default_integration,
        write=write,
    )
    if days and FIRST_DAY in source.uses:
        log.info("Also the rows of the %d days before that were never delivered", days)
    elif days:
        log.info("Only the run's own day: the query does not use :%s", FIRST_DAY)
    return source
