"""Tasks of a day in shards, as Airflow runs them: plan, shard and account.

Each task is a process of its own, as all clients are. A task runs the shipped operator with as much
of Airflow's context as the operator reads, and gets its place in the day from the environment.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from airflow.sdk import Asset

from airflow_kombo.database.connections import hook_of
from airflow_kombo.operators import account_task, plan_task, shard_plan  # noqa: F401 - not in what is measured
from airflow_kombo.operators.delivery_group import KomboAccountOperator, KomboPlanOperator
from airflow_kombo.operators.result_link import RESULT_LINKS, KomboResultLinkOperator
from tools.bench.process import ROOT, Took, measured
from tools.bench.tasks import TASK, Task

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

_SHARD: Final = "deliver.shard"
_DAG_RUN: Final = "bench"
_OUT: Final = Asset("kombo_result_links")
_BESIDE: Final[Mapping[str, Any]] = {**RESULT_LINKS, "shard_task_id": _SHARD}
"""Arguments of the tasks beside the shards."""
_LOOKBACK_DAYS: Final = 7
_USUAL: Final = 10
"""The row limit, as a multiple of the day's rows."""


def plan_shards(day: date, _rows: int | None) -> Took:
    """Divide the day, and return the shards."""
    task = _task()
    operator = KomboPlanOperator(
        task_id="deliver.plan", shards=task.shards, **_BESIDE, **_arguments(task, day)
    )
    return _took(operator, _Instance(operator.task_id))


def deliver_shard(day: date, _rows: int | None) -> Took:
    """Deliver one shard."""
    task = _task()
    operator = KomboResultLinkOperator(task_id=_SHARD, shard=task.shard, **_arguments(task, day))
    return _took(operator, _Instance(_SHARD, task.map_index))


def account(day: date, _rows: int | None) -> Took:
    """Account for the day, and return the number of asset events."""
    task = _task()
    operator = KomboAccountOperator(
        task_id="deliver.account", outlets=[_OUT], **_BESIDE, **_arguments(task, day)
    )
    instance = _Instance(operator.task_id, shards=task.shards)
    took = _took(operator, instance)
    return replace(took, result=sum(len(event.days) for event in instance.events.values()))


def _task() -> Task:
    return Task(**json.loads(os.environ[TASK]))


def _arguments(task: Task, day: date) -> dict[str, Any]:
    """Return the arguments of the shipped dag, after its templates."""
    return {
        "sql": (ROOT / "include" / "sql" / "assessment_results.sql").read_text("utf-8"),
        "mapping": ROOT / "include" / "result_link_mapping.yaml",
        "assessment_date": day.isoformat(),
        "lookback_days": _LOOKBACK_DAYS,
        "max_rows": _USUAL * task.rows,
    }


def _took(operator: BaseOperator, instance: _Instance) -> Took:
    """Run an operator, and return its time and its result, without the time of imports."""
    hook_of("warehouse_default")  # imports the driver
    returned: list[Any] = []

    def run() -> Mapping[str, int]:
        returned.append(operator.execute(instance.context))  # type: ignore[arg-type]
        return returned[0] if isinstance(returned[0], dict) else {}

    return replace(measured(run), result=returned[0])


@dataclass
class _Event:
    """An asset's event, as far as an operator writes it."""

    days: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    def add_partitions(self, day: str) -> None:
        """Add a day to the event."""
        self.days.append(day)


@dataclass(frozen=True)
class _Instance:
    """A task instance of a scheduled run, as far as an operator reads it.

    :param shards: Shards of the day, all of which succeeded.
    """

    task_id: str
    map_index: int = -1
    shards: int = 0
    dag_id: str = "kombo_result_links"
    run_id: str = _DAG_RUN
    try_number: int = 1
    max_tries: int = 2
    events: defaultdict[Asset, _Event] = field(default_factory=lambda: defaultdict(_Event))

    @property
    def context(self) -> dict[str, Any]:
        """Return Airflow's context."""
        dag_run = SimpleNamespace(run_type="scheduled", run_id=self.run_id)
        return {"ti": self, "dag_run": dag_run, "outlet_events": self.events}

    def xcom_push(self, key: str, value: object) -> None:
        """Leave an XCom out: the result is the only one that another task reads."""

    def get_task_states(self, **_names: object) -> dict[str, dict[str, str]]:
        """Return the states of the shards."""
        return {self.run_id: {f"{_SHARD}_{n}": "success" for n in range(self.shards)}}
