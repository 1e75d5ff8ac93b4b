"""Schedules of the delivering dags, read from Airflow's own database."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.exc import SQLAlchemyError

from airflow_kombo.web.next_try import Schedule, ScheduledRun, UnknownSchedule

if TYPE_CHECKING:
    from airflow_kombo.airflow_plans import DagPlan, PlannedRun

log = logging.getLogger(__name__)

_PARAM: Final = re.compile(r"\{\{\s*params\.(\w+)\s*\}\}")
"""A template that is a param of the dag: a scheduled run has its default."""
_TEMPLATE: Final = re.compile(r"(?s)\s*\{\{[^}]*\}\}\s*")
"""A value that is nothing but a template."""
_LOOKS_BACK: Final = ":first_assessment_date"
"""The parameter of a query that reads the days before the run's own."""


_ATTRIBUTES: Final[Mapping[str, str]] = {"dry_run": "is_dry_run"}
"""The operators' attributes with another name than their argument."""


class DeliveringTask(NamedTuple):
    """Task with the last run of a row."""

    dag_id: str | None
    task_id: str | None = None


Schedules = Callable[[DeliveringTask], "Schedule | UnknownSchedule"]
"""Function that finds the schedule of a task's dag."""


class _Arguments(BaseModel):
    """Arguments of a delivering task in a scheduled run, for the next try of a row."""

    model_config = ConfigDict(extra="ignore")

    lookback_days: int = Field(default=0, ge=0, le=366)
    not_before: date | None = None
    integration_ids: list[str] = []
    sql: str | None = None
    assessment_date: None = None
    result_ids: list[str] = Field(default=[], max_length=0)
    limit: None = None
    dry_run: Literal[False] = False
    rows_task_id: None = None


def no_schedule(task: DeliveringTask) -> UnknownSchedule:
    """Return the schedule of any dag where there is no Airflow."""
    return UnknownSchedule(f"there is no Airflow here that has the dag {task.dag_id}")


def schedule_in_airflow(task: DeliveringTask) -> Schedule | UnknownSchedule:
    """Return the schedule of a task's dag, or the reason without one."""
    from airflow.exceptions import DeserializationError  # noqa: PLC0415 - the bench has no Airflow

    from airflow_kombo.airflow_compat import has_partitions  # noqa: PLC0415
    from airflow_kombo.airflow_plans import plan_of_dag  # noqa: PLC0415

    if task.dag_id is None:
        return UnknownSchedule("no run of a dag is recorded for the row")
    if not has_partitions():
        return UnknownSchedule("the page reads the plans of dags from Airflow 3.3 on")
    try:
        plan = plan_of_dag(task.dag_id)
    except SQLAlchemyError as error:
        log.warning("The schedule of %s cannot be read: %s", task.dag_id, type(error).__name__)
        return UnknownSchedule("Airflow's database did not answer")
    except DeserializationError:  # such as a timetable of a plugin that the API server lacks
        return UnknownSchedule(f"the API server cannot read the dag {task.dag_id}")
    if plan is None:
        return UnknownSchedule(f"Airflow has no dag {task.dag_id} now")
    return schedule_of(task, plan)


def schedule_of(task: DeliveringTask, plan: DagPlan) -> Schedule | UnknownSchedule:
    """Return the schedule of a task from the plan of the dag."""
    if plan.waits_for_assets:
        return UnknownSchedule(f"the runs of {task.dag_id} wait for other dags")
    attributes = plan.tasks.get(str(task.task_id)) or next(
        (one for one in plan.tasks.values() if "lookback_days" in one), None
    )
    if attributes is None:
        return UnknownSchedule(f"no task of {task.dag_id} delivers rows now")
    try:
        arguments = _arguments_of(attributes, plan.params)
        runs = [ScheduledRun(one.starts_at, _day_of(one, plan)) for one in plan.runs]
    except ValidationError as error:
        names = ", ".join(sorted({str(one["loc"][0]) for one in error.errors()}))
        return UnknownSchedule(f"{names} of {task.dag_id} leaves out rows, or differs by run")
    except ValueError:
        return UnknownSchedule(f"the partitions of {task.dag_id} are no days")
    return Schedule(
        str(task.dag_id),
        runs,
        lookback_days=arguments.lookback_days if _looks_back(arguments.sql) else 0,
        not_before=arguments.not_before,
        integration_ids=arguments.integration_ids,
        is_paused=plan.is_paused,
        is_running=plan.is_running,
    )


def _arguments_of(attributes: Mapping[str, Any], params: Mapping[str, Any]) -> _Arguments:
    given = {}
    for name in _Arguments.model_fields:
        value = attributes.get(_ATTRIBUTES.get(name, name), attributes.get(name))
        param = _PARAM.fullmatch(value.strip()) if isinstance(value, str) else None
        value = params.get(param[1]) if param else value
        if value not in (None, "", (), []):
            given[name] = value
    return _Arguments.model_validate(given)


def _looks_back(sql: str | None) -> bool:
    """Return False for a statement without the first day.

    Of a file only the name is known, and of a template nothing.
    """
    is_statement = bool(sql and re.search(r"\s", sql.strip()) and not _TEMPLATE.fullmatch(sql))
    return not is_statement or _LOOKS_BACK in str(sql)


def _day_of(run: PlannedRun, plan: DagPlan) -> date:
    """Return the day of a planned run, by the rule of the operator.

    :raises ValueError: if its partition is no day.
    """
    from airflow.sdk import timezone as airflow_timezone  # noqa: PLC0415 - the bench has no Airflow

    if run.partition_key:
        return date.fromisoformat(run.partition_key.strip())
    if run.logical_date is None:
        raise ValueError("no partition")
    typed: datetime = airflow_timezone.make_naive(run.logical_date)  # type: ignore[no-untyped-call]
    if typed.time() == time.min:
        return typed.date()
    return run.logical_date.astimezone(plan.timezone).date()
