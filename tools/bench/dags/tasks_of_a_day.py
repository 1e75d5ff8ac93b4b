"""Dags of `tools.bench.task_cost`: a day in one task, and in plan, shard and account."""

from __future__ import annotations

import os
from typing import Any, Final

from airflow.sdk import DAG

from airflow_kombo.operators.delivery_group import KomboResultLinkGroup
from airflow_kombo.operators.result_link import KomboResultLinkOperator

_SHIPPED: Final[dict[str, Any]] = {
    "table": "assessment_results",
    "mapping": os.environ["KOMBO_BENCH_MAPPING"],
    "assessment_date": "2026-11-03",
}

with DAG(dag_id="one_task", schedule=None):
    KomboResultLinkOperator(task_id="deliver", **_SHIPPED)

with DAG(dag_id="three_tasks", schedule=None):
    KomboResultLinkGroup("deliver", **_SHIPPED)
