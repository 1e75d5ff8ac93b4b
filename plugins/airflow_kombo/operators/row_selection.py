"""The selection of a run's rows, and the rows themselves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final

from airflow_kombo.database.hook_database import HookDatabase
from airflow_kombo.ledger.run_scope import Days
from airflow_kombo.operators.databases import Databases
from airflow_kombo.operators.parameters import RunParameters
from airflow_kombo.rows.described_query import bound_query
from airflow_kombo.rows.done_rows import DoneRows
from airflow_kombo.rows.hook_source import HookSource
from airflow_kombo.rows.mapped_rows import MappedRows
from airflow_kombo.rows.query_source import QuerySource, parameters_of, rows_of_day
from airflow_kombo.rows.row_mapping import RowMapping
from airflow_kombo.rows.shard import WHOLE
from airflow_kombo.rows.source import FIRST_DAY, Selection, Source
from airflow_kombo.rows.task_source import TaskSource
from airflow_kombo.rows.transformed_source import TransformedSource

if TYPE_CHECKING:
    from airflow.sdk import Context
    from sqlalchemy import Engine

    from airflow_kombo.rows.transformed_source import Transform

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
        shard=parameters.shard or WHOLE,
    )


def days_of(parameters: RunParameters, context: Context, day: date) -> Days:
    """Return the days of a run: its own day, and those before that it looks back to.

    :raises ConfigurationError: if the query has an unknown parameter.
    """
    if parameters.rows_task_id is not None:
        return Days(day, day)
    bound = parameters_of(day, _lookback(parameters, context))
    sql = parameters.sql or rows_of_day(str(parameters.table), str)
    _, uses = bound_query(sql, bound)
    return Days(bound[FIRST_DAY] if FIRST_DAY in uses else day, day)


def _lookback(parameters: RunParameters, context: Context) -> int:
    return parameters.lookback_days if context["dag_run"].run_type in _LOOKING_BACK else 0


@dataclass(frozen=True)
class Rows:
    """The parameters and parts for the rows of a run.

    :param transform: The function of the dag's author, from frame to frame; or None.
    :param default_integration: The integration of rows without one.
    """

    parameters: RunParameters
    databases: Databases
    selection: Selection
    mapping: RowMapping
    transform: Transform | None
    default_integration: str | None

    def mapped(self, context: Context, day: date) -> MappedRows:
        """Build the rows of a run as requests, for the day and the days of the look back.

        SQL leaves out what is done where the query gives the keys, and the ledger is in the same
        database. Otherwise the keys of each chunk are looked up in the ledger.

        :raises ConfigurationError: if the rows cannot be read, or lack a column.
        """
        source, first_day = self._source(context, day)
        leaves_out_done = isinstance(source, QuerySource) and source.tables is not None
        if self.transform:
            source = TransformedSource(source, self.transform)
        done = None
        if not leaves_out_done and not self.selection.also_done:
            done = DoneRows(self.databases.ledger, self.databases.tables, self.selection)
        mapped = MappedRows(
            source,
            self.mapping,
            self.selection,
            self.default_integration,
            done=done,
            first_day=first_day,
        )
        mapped.check()
        return mapped

    def _source(self, context: Context, day: date) -> tuple[Source, date]:
        parameters = self.parameters
        if parameters.rows_task_id is not None:
            return TaskSource(context["ti"].xcom_pull(task_ids=parameters.rows_task_id)), day
        days = _lookback(parameters, context)
        bound = parameters_of(day, days)
        source = self._of_query(bound)
        if days and FIRST_DAY in source.uses:
            log.info("Also the rows of the %d days before that were never delivered", days)
            return source, bound[FIRST_DAY]
        if days:
            log.info("Only the run's own day: the query does not use :%s", FIRST_DAY)
        return source, day

    def _of_query(self, days: Mapping[str, date]) -> QuerySource | HookSource:
        databases, sql, warehouse = self.databases, self.parameters.sql, self.databases.warehouse
        if sql is None:
            sql = rows_of_day(str(self.parameters.table), _quote_of(warehouse))
        if isinstance(warehouse, HookDatabase):
            return HookSource(warehouse, sql, days)
        has_keys = databases.are_one and not self.transform
        return QuerySource(
            warehouse,
            databases.tables if has_keys else None,
            sql,
            days,
            selection=self.selection,
            default_integration=self.default_integration,
            write=self.mapping.write,
            has_keys=not self.transform,
        )


def _quote_of(warehouse: Engine | HookDatabase) -> Callable[[str], str]:
    if isinstance(warehouse, HookDatabase):
        return warehouse.quote
    return warehouse.dialect.identifier_preparer.quote
