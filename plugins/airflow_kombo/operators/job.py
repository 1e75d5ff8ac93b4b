"""The parts of a task's work: parameters, mapping, day and databases.

Only `execute` imports this module: what it imports is too heavy for Airflow's dag processor.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from uuid import uuid4

from airflow_kombo.hooks.kombo import KomboHook
from airflow_kombo.kombo_api.writes import Write
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.redaction import Redactor
from airflow_kombo.ledger.runs import Run
from airflow_kombo.operators.assessment_day import day_of
from airflow_kombo.operators.databases import Databases, opened
from airflow_kombo.operators.parameters import RunParameters
from airflow_kombo.operators.row_selection import Rows, selection_of
from airflow_kombo.rows.mapped_rows import MappedRows
from airflow_kombo.rows.result_link_mapping import mapping_of
from airflow_kombo.rows.row_mapping import RowMapping
from airflow_kombo.rows.source import Selection

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_kombo.rows.transformed_source import Transform

log = logging.getLogger(__name__)

Parameters = TypeVar("Parameters", bound=RunParameters)


class WriteTask(Protocol):
    """Attributes of the operator for a run, beside the `RunParameters`."""

    mapping: str | Path | Mapping[str, Any]
    transform: Transform | None
    kombo_conn_id: str
    warehouse_conn_id: str
    ledger_conn_id: str | None
    integration_id: str | None
    status_table: str
    fail_on: Mapping[str, float]
    fail_below: float
    outlets: list[Any]
    do_xcom_push: bool


@dataclass(frozen=True)
class Job(Generic[Parameters]):
    """The parts of a task's work before the first call to Kombo."""

    task: WriteTask
    context: Context
    parameters: Parameters
    mapping: RowMapping
    day: date
    databases: Databases

    @property
    def selection(self) -> Selection:
        """Return the selection of rows."""
        return selection_of(self.parameters, self.context)

    @property
    def ledger(self) -> Ledger:
        """Return the ledger, with the redaction and the seen versions of the parameters."""
        parameters, databases = self.parameters, self.databases
        redact = Redactor(
            parameters.masked_fields,
            store=parameters.store_request,
            keep_responses=parameters.keep_responses_days > 0,
        )
        return Ledger(databases.ledger, databases.tables, redact, parameters.seen)

    @property
    def run(self) -> Run:
        """Return a new run of the task, which nobody knows yet."""
        instance = self.context["ti"]
        return Run(
            run_id=str(uuid4()),
            dag_id=instance.dag_id,
            dag_run_id=instance.run_id,
            task_id=instance.task_id,
            map_index=instance.map_index,
            try_number=instance.try_number,
            assessment_date=self.day,
        )

    def mapped(self, hook: KomboHook) -> MappedRows:
        """Return the rows of the day as requests.

        :raises ConfigurationError: if the rows cannot be read, or lack a column.
        """
        rows = Rows(
            self.parameters,
            self.databases,
            self.selection,
            self.mapping,
            self.task.transform,
            hook.default_integration,
        )
        return rows.mapped(self.context, self.day)


@contextmanager
def opened_job(
    task: WriteTask, write: Write, context: Context, parameters: Parameters
) -> Iterator[Job[Parameters]]:
    """Read a task's mapping and day, and open its databases.

    :raises ConfigurationError: if a person has to change something.
    :raises LedgerError: if the ledger's database cannot be reached, or refuses.
    """
    kind, declared = mapping_of(write), task.mapping
    mapping = kind.parse(dict(declared)) if isinstance(declared, Mapping) else kind.load(declared)
    day = day_of(context, parameters.assessment_date)
    log.info("Assessment day: %s", day)
    with opened(task.warehouse_conn_id, task.ledger_conn_id, task.status_table) as databases:
        yield Job(task, context, parameters, mapping, day, databases)


async def hook_of(task: WriteTask) -> KomboHook:
    """Return the hook of a task, with the integration of rows without one.

    :raises ConfigurationError: if the connection cannot be used.
    """
    hook = KomboHook(task.kombo_conn_id)
    await hook.config()
    hook.default_integration = task.integration_id or hook.default_integration
    return hook
