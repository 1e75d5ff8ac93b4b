"""The link from a task in Airflow's UI to the task's rows on our page."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from airflow.sdk import BaseOperatorLink

from airflow_kombo.airflow_compat import configuration

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class RowsLink(BaseOperatorLink):
    """Link to the rows of a task's last run."""

    name = "Kombo rows"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the page's address for a task, below the worker's setting `api.base_url`."""
        task: dict[str, object] = {"dag_id": ti_key.dag_id, "dag_run_id": ti_key.run_id}
        if shard_task_id := getattr(operator, "shard_task_id", None):
            task |= {"task_id": shard_task_id}  # the rows of all shards
        else:
            task |= {"task_id": operator.task_id, "map_index": ti_key.map_index}
        base = configuration().get("api", "base_url", fallback="/").rstrip("/")
        return f"{base}/kombo/rows?{urlencode(task)}"
