"""Build what a run's parameters ask for: the selection of rows, and their source."""

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
"""Airflow's types of the runs that nobody asked for by hand, who would have named days."""
_BY_HAND: Final = "manual"


def selection_of(asked: RunParameters, context: Context) -> Selection:
    """Build the selection that a run's parameters ask for."""
    return Selection(
        integration_ids=frozenset(asked.integration_ids),
        result_ids=frozenset(asked.result_ids),
        redeliver=frozenset(asked.redeliver),
        limit=asked.limit,
        not_before=asked.not_before,
        also_done=asked.preview,
        by_hand=context["dag_run"].run_type == _BY_HAND,
    )


def source_of(
    asked: RunParameters,
    context: Context,
    day: date,
    *,
    ledger: Ledger,
    selection: Selection,
    default_integration: str | None,
    write: Write,
) -> Source:
    """Build the source that a run's parameters name, for its day and those it looks back to.

    :raises ConfigurationError: if the rows cannot be read from it.
    """
    if asked.rows_task_id is not None:
        rows = context["ti"].xcom_pull(task_ids=asked.rows_task_id)
        return TaskSource(rows, selection, default_integration, write)
    days = asked.lookback_days if context["dag_run"].run_type in _LOOKING_BACK else 0
    source = QuerySource(
        ledger.engine,
        ledger.tables,
        asked.sql if asked.sql is not None else rows_of_day(ledger.engine, str(asked.table)),
        parameters_of(day, days),
        selection=selection,
        default_integration=default_integration,
        write=write,
    )
    if days and FIRST_DAY in source.uses:
        log.info("Also the rows of the %d days before that were never delivered", days)
    elif days:
        log.info("No other day: the query does not use :%s, so it cannot look", FIRST_DAY)
    return source
