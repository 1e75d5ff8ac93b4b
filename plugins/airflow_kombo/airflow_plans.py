"""Plans of dags and starts of dag runs, read from Airflow's own database.

These are private parts of Airflow 3.3, as those of `airflow_compat`. Only the API server may read
this database.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Final, NamedTuple

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
