"""Private and changing parts of Airflow, each with version and reason.

The versions are those that the tests run: Airflow 3.3.2 with its task SDK 1.3.2, and the providers
http 6.3, standard 1.21. When another version breaks something, look here first. Two modules rely on
Airflow's behaviour without using a private name: `operators.execution_timeout` (the alarm of the
task SDK, 3.3, raises in the main thread) and `operators.task_stop` (the task SDK, 3.3, calls
`on_kill` in the main thread at a SIGTERM, and does not end the task by itself).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any, Final, NamedTuple

# Task SDK 1.3: no public name of Airflow's sends metrics, and this one re-exports a `_shared` one.
from airflow.sdk.observability import stats

if TYPE_CHECKING:
    from airflow.providers.http.hooks.http import HttpAsyncHook
    from airflow.sdk import Param
    from airflow.sdk.definitions.param import ParamsDict
    from airflow.timetables.trigger import CronPartitionTimetable
    from pendulum.tz.timezone import FixedTimezone, Timezone

__all__ = [
    "DagPlan",
    "PlannedRun",
    "add_param",
    "adds_to_resumption",
    "encoded_timezone_of",
    "has_config",
    "plan_of_dag",
    "plugins_permission",
    "starts_of_dag_runs",
    "stats",
    "timezone_of",
]


_PLANNED_RUNS: Final = 8
"""Most runs of a dag that a plan looks ahead."""


class PlannedRun(NamedTuple):
    """Future run of a dag.

    :param starts_at: The earliest time of its start.
    """

    starts_at: datetime
    partition_key: str | None
    logical_date: datetime | None


@dataclass(frozen=True)
class DagPlan:
    """Plan of a dag in Airflow's database.

    :param is_running: Whether a run is queued or running.
    :param waits_for_assets: Whether other dags start its runs.
    :param runs: The next runs, in their order.
    :param params: Defaults of the dag's params.
    :param tasks: The attributes of each task, by its id.
    """

    is_paused: bool
    is_running: bool
    waits_for_assets: bool
    timezone: tzinfo
    runs: list[PlannedRun]
    params: dict[str, Any]
    tasks: dict[str, dict[str, Any]]


def plan_of_dag(dag_id: str) -> DagPlan | None:
    """Read the plan of a dag from Airflow's database; return None for an unknown dag.

    Airflow 3.3: only the API server may read the database; the models are not public, and no
    public interface has the next runs of a dag together with its tasks' attributes.

    :raises SQLAlchemyError: if the database cannot be read.
    :raises DeserializationError: if the dag cannot be read, as for want of its timetable.
    """
    from airflow.exceptions import DeserializationError  # noqa: PLC0415 - only the page reads plans
    from airflow.models.dag import DagModel  # noqa: PLC0415
    from airflow.models.dagrun import DagRun  # noqa: PLC0415
    from airflow.models.serialized_dag import SerializedDagModel  # noqa: PLC0415
    from airflow.serialization.helpers import TimetableNotRegistered  # noqa: PLC0415
    from airflow.utils.session import create_session  # noqa: PLC0415
    from airflow.utils.state import State  # noqa: PLC0415
    from sqlalchemy import select  # noqa: PLC0415

    with create_session() as session:
        model = session.get(DagModel, dag_id)
        try:
            dag = SerializedDagModel.get_dag(dag_id, session=session)
        except TimetableNotRegistered as error:
            raise DeserializationError(str(error)) from error
        if model is None or model.is_stale or dag is None:
            return None
        unfinished = select(DagRun.id).where(
            DagRun.dag_id == dag_id, DagRun.state.in_(State.unfinished_dr_states)
        )
        return DagPlan(
            is_paused=model.is_paused,
            is_running=session.scalar(unfinished.limit(1)) is not None,
            waits_for_assets=model.asset_expression is not None,
            timezone=dag.timezone,
            runs=_planned_runs(model, dag),
            params=dict(dag.params.dump()),
            tasks={task.task_id: _attributes(task) for task in dag.tasks},
        )


def starts_of_dag_runs(
    keys: Collection[tuple[str, str]],
) -> dict[tuple[str, str], tuple[str, str | None]]:
    """Return kind and user of dag runs, by the ids of dag and dag run.

    Airflow 3.3: as for `plan_of_dag`.

    :raises SQLAlchemyError: if the database cannot be read.
    """
    from airflow.models.dagrun import DagRun  # noqa: PLC0415
    from airflow.utils.session import create_session  # noqa: PLC0415
    from sqlalchemy import select  # noqa: PLC0415

    query = select(DagRun.dag_id, DagRun.run_id, DagRun.run_type, DagRun.triggering_user_name)
    query = query.where(
        DagRun.dag_id.in_({dag_id for dag_id, _ in keys}),
        DagRun.run_id.in_({run_id for _, run_id in keys}),
    )
    with create_session() as session:
        return {(one.dag_id, one.run_id): (one[2], one[3]) for one in session.execute(query)}


def _planned_runs(model: Any, dag: Any) -> list[PlannedRun]:
    """Return the scheduler's next run, and the following runs by the timetable."""
    from airflow.timetables.base import DagRunInfo, TimeRestriction  # noqa: PLC0415

    if model.next_dagrun_create_after is None:
        return []
    info = DagRunInfo(
        run_after=model.next_dagrun_create_after,
        data_interval=model.next_dagrun_data_interval,
        partition_date=model.next_dagrun_partition_date,
        partition_key=model.next_dagrun_partition_key,
    )
    planned = [PlannedRun(info.run_after, info.partition_key, model.next_dagrun)]
    within = TimeRestriction(earliest=None, latest=dag.end_date, catchup=dag.catchup)
    while len(planned) < _PLANNED_RUNS:
        following = dag.timetable.next_dagrun_info_v2(last_dagrun_info=info, restriction=within)
        if following is None or following.run_after <= info.run_after:
            break
        info = following
        planned.append(PlannedRun(info.run_after, info.partition_key, info.logical_date))
    return planned


def _attributes(task: Any) -> dict[str, Any]:
    """Return a task's attributes, with the unmapped arguments of a mapped task."""
    return {**vars(task), **getattr(task, "partial_kwargs", {})}


def add_param(params: object, name: str, param: Param) -> ParamsDict:
    """Return an operator's params with one more.

    Task SDK 1.3: `airflow.sdk` has `ParamsDict`, but its type stub lacks it.
    """
    from airflow.sdk.definitions.param import ParamsDict  # noqa: PLC0415 - a timetable needs no param

    added = ParamsDict(params)  # type: ignore[arg-type] # whatever an operator takes
    added[name] = param
    return added


@contextmanager
def adds_to_resumption(**kwargs: Any) -> Iterator[None]:
    """Add arguments to the call of `execute_complete` after a `HITLOperator` has waited.

    Airflow 3.3: `TaskAwaitingInput` parks the task without a triggerer, and is not in `airflow.sdk`
    itself; before 3.3 the operator deferred the task. The standard provider 1.21 takes no arguments
    for the resumption.
    """
    from airflow.sdk.exceptions import TaskAwaitingInput  # noqa: PLC0415 - only where a task asks

    try:
        yield
    except TaskAwaitingInput as waiting:
        waiting.kwargs = {**(waiting.kwargs or {}), **kwargs}
        raise


def has_config(hook: HttpAsyncHook) -> bool:
    """Return True if a hook has resolved its connection.

    Provider http 6.3: `HttpAsyncHook.config` keeps its result in this private attribute.
    """
    return hook._config is not None  # noqa: SLF001


def plugins_permission() -> Callable[..., Any]:
    """Return the dependency of a FastAPI route for a login with the permission to see plugins.

    Airflow 3.3: `airflow.api_fastapi` is not public, and a plugin's app has no other way to ask.

    :raises ImportError: in a version with other names.
    """
    from airflow.api_fastapi.auth.managers.models.resource_details import (  # noqa: PLC0415
        AccessView,
    )
    from airflow.api_fastapi.core_api.security import requires_access_view  # noqa: PLC0415

    return requires_access_view(AccessView.PLUGINS)


def timezone_of(timetable: CronPartitionTimetable) -> Timezone | FixedTimezone:
    """Return the time zone of a timetable.

    Airflow 3.3: timetables by cron keep it in this private attribute alone.
    """
    return timetable._timezone  # noqa: SLF001


def encoded_timezone_of(timetable: CronPartitionTimetable) -> str | int:
    """Return the time zone of a timetable, as Airflow serializes it.

    Airflow 3.3: `airflow.serialization` is not public, and Airflow's timetables use it alike.
    """
    from airflow.serialization.encoders import encode_timezone  # noqa: PLC0415 - as in Airflow's

    return encode_timezone(timezone_of(timetable))
