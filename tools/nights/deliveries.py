"""Shipped parts of a run, as the operators put them together."""

from __future__ import annotations

from typing import Final

from airflow_kombo.delivery.day_account import DayAccount
from airflow_kombo.delivery.run import DeliveryRun
from airflow_kombo.delivery.run_context import RunParts, Settings
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.run_scope import Days
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.planning.row_limit import RowLimit
from airflow_kombo.planning.shards import divide, limited
from airflow_kombo.rows.mapped_rows import MappedRows
from airflow_kombo.rows.query_source import QuerySource, parameters_of
from airflow_kombo.rows.shard import WHOLE, Shard
from airflow_kombo.rows.source import Selection
from tools.nights.plan import PlannedRun
from tools.nights.stage import Stage
from tools.nights.story import Try

_DAG: Final = "kombo_result_links"
_SHARD_TASK: Final = "deliver.shard"


def delivery_of(stage: Stage, one: Try) -> DeliveryRun:
    """Build the delivery of a day, or of a shard."""
    planned, shard = one.planned, one.shard
    selection = _selection(planned, shard or WHOLE)
    task_id, map_index = (_SHARD_TASK, one.map_index) if shard else ("deliver", -1)
    parts = RunParts(
        Run(one.process.name, _DAG, planned.name, task_id, map_index, one.number, planned.day),
        mapped=_mapped(stage, planned, selection),
        selection=selection,
        hook=stage.hook,
        ledger=Ledger(stage.engine, stage.tables),
        runs=Runs(stage.engine, stage.tables),
        settings=Settings(),
        guard=shard.row_limit if shard else None,
        is_shard=shard is not None,
    )
    return DeliveryRun(parts)


def divide_day(stage: Stage, one: Try) -> None:
    """Divide a day into shards, and keep them in the try."""
    planned = one.planned
    counts = _mapped(stage, planned, _selection(planned, WHOLE)).counts()
    rows = {count.integration_id: count.rows for count in counts}
    if planned.spare is not None:
        one.most_rows = sum(rows.values()) + planned.spare
    limit = None if one.most_rows is None else RowLimit(one.most_rows, "the night says so")
    one.shards = limited(divide(counts, planned.shards), rows, limit)


def account_of(stage: Stage, one: Try, shards: int) -> DayAccount:
    """Build the account of a day in shards."""
    planned = one.planned
    run = Run(one.process.name, _DAG, planned.name, _SHARD_TASK, None, one.number, planned.day)
    runs, read_again = Runs(stage.engine, stage.tables), _selection(planned, WHOLE).open_statuses
    return DayAccount(run, runs, Days(*planned.days), shards, read_again)


def _selection(planned: PlannedRun, shard: Shard) -> Selection:
    return Selection(
        result_ids=planned.result_ids,
        redeliver=planned.redeliver,
        limit=planned.limit,
        by_hand=planned.name.startswith("hand"),
        shard=shard,
    )


def _mapped(stage: Stage, planned: PlannedRun, selection: Selection) -> MappedRows:
    source = QuerySource(
        stage.engine,
        stage.tables,
        stage.sql,
        parameters_of(planned.day, planned.lookback_days),
        selection=selection,
    )
    return MappedRows(source, stage.mapping, selection)
