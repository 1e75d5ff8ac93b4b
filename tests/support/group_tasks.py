"""The tasks of a delivery in shards, executed in this process as Airflow would."""

from __future__ import annotations

from airflow.sdk import DAG, Asset
from airflow.sdk.execution_time.context import OutletEventAccessors
from support.harness import MAPPING

from airflow_kombo.operators.delivery_group import KomboResultLinkGroup
from airflow_kombo.operators.result_link import KomboResultLinkOperator

OUT = Asset("out")
_OF_THE_GROUP = {"shards", "outlets"}
"""Arguments that the task of a shard does not have."""


class GroupTasks:
    """The group's tasks, executed one after the other as Airflow would."""

    def __init__(self, context, **options):
        options = {"shards": 3, "table": "assessment_results", "outlets": [OUT], **options}
        with DAG("own", schedule=None) as self.dag:
            KomboResultLinkGroup("deliver", mapping=MAPPING, **options)
        self.options = options
        self.context = context
        self.shards = []
        self.states = {}
        self.counts = None
        context["ti"].max_tries = 0
        context["ti"].get_task_states = lambda **_: {context["ti"].run_id: dict(self.states)}
        context["ti"].xcom_pull = lambda **_: [self.counts]
        context["outlet_events"] = OutletEventAccessors()

    def execute(self, name, *, map_index=-1, **attributes):
        task_id = f"deliver.{name}"
        task = self.dag.task_dict[task_id]
        if name == "shard":
            task = KomboResultLinkOperator(task_id=f"s{map_index}", dag=None, **attributes)
        self.context["ti"].task_id, self.context["ti"].map_index = task_id, map_index
        return task.execute(self.context)

    def plan(self):
        self.shards = self.execute("plan")
        return self.shards

    def shard(self, number):
        taken = {name: self.options[name] for name in self.options if name not in _OF_THE_GROUP}
        name = f"deliver.shard_{number}"
        self.states[name] = "failed"
        self.counts = self.execute(
            "shard", map_index=number, shard=self.shards[number], mapping=MAPPING, **taken
        )
        self.states[name] = "success"

    def account(self):
        return self.execute("account")

    def deliver(self):
        for number in range(len(self.plan())):
            self.shard(number)
        return self.account()

    @property
    def event(self):
        events = self.context["outlet_events"]
        return events[OUT].extra if OUT in list(events) else None
