"""Runs: a list by dag run with their counts, and the tasks of one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy import Connection, Subquery, and_, func, literal, or_, select

from airflow_kombo.database.sql import in_utc
from airflow_kombo.ledger.run_calls import kept_calls
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.web.call_days import RunDays
from airflow_kombo.web.lookups import columns_of
from airflow_kombo.web.pagination import Id, read_token, token_of
from airflow_kombo.web.row_filter import OptionalText
from airflow_kombo.web.run_progress import Progress
from airflow_kombo.web.run_starts import Starters, starter_by_name

PAGE_RUNS: Final = 25
"""Number of runs on one page of the list."""


class RunKey(BaseModel):
    """Key of a run: the dag run in Airflow, or our own id without one."""

    model_config = ConfigDict(frozen=True)

    dag_id: Id | None = Field(None, description="The dag, with `dag_run_id`.")
    dag_run_id: Id | None = Field(None, description="The dag run in Airflow, with `dag_id`.")
    run_id: Id | None = Field(None, description="Our own id of a run without a dag run.")

    @property
    def parameters(self) -> dict[str, str]:
        """Parameters of the run's address."""
        return self.model_dump(exclude_none=True)


class RunPosition(BaseModel):
    """Position of a run in the list, as part of an address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    began: AwareDatetime
    dag_id: Id
    name: Id

    @property
    def token(self) -> str:
        """Position as text for an address."""
        return token_of(self.began.isoformat(), self.dag_id, self.name)

    @classmethod
    def read(cls, token: str) -> RunPosition:
        """Read the text of a position.

        :raises InvalidPositionError: if the text is not one that `token` made.
        """
        return read_token(
            token, lambda began, dag_id, name: cls(began=began, dag_id=dag_id, name=name)
        )


class RunFilter(RunDays):
    """Conditions for the runs to show."""

    after: OptionalText = Field(
        None, description="The position of the last run of the page before."
    )

    @property
    def conditions(self) -> dict[str, str]:
        """Conditions as parameters of an address, without the position in the list."""
        return self.model_dump(mode="json", include={"since", "until"}, exclude_none=True)


@dataclass(frozen=True)
class ShownRun:
    """Run with progress.

    :param tries: All tries of all tasks.
    :param limited: The number of 429s.
    """

    key: RunKey
    progress: Progress
    tries: Sequence[Any]
    limited: int

    @property
    def started_at(self) -> datetime:
        """Start of the first try."""
        return min(in_utc(task.started_at) for task in self.tries)

    @property
    def sent(self) -> int | None:
        """Results that were sent, by all tries; None if no try has kept its calls."""
        kept = [calls for task in self.tries if (calls := kept_calls(task.calls)) is not None]
        return sum(one.rows for calls in kept for one in calls) if kept else None

    @property
    def is_running(self) -> bool:
        """True while the run is alive."""
        return self.progress.ended_at is None and not self.progress.is_silent

    @property
    def seconds(self) -> float | None:
        """Seconds from the first start to the last end; None while a task runs."""
        ended = self.progress.ended_at
        return (ended - self.started_at).total_seconds() if ended else None


@dataclass(frozen=True)
class RunPage:
    """Some runs of the list, newest first.

    :param after: The position to read the next page from; None if this page is the last.
    """

    runs: Sequence[ShownRun]
    after: str | None


class RunList:
    """Runs of one write's tables, by their dag runs.

    The runs table has a row for each try of each shard: some thousands a year.

    :param connection: A connection that reads the warehouse.
    :param tables: The tables of the write that is shown.
    :param now: The database's time.
    """

    def __init__(self, connection: Connection, tables: Tables, now: datetime) -> None:
        self._connection = connection
        self._tables = tables
        self._runs = tables.runs.c
        self._now = now

    def page(self, run_filter: RunFilter, size: int = PAGE_RUNS) -> RunPage:
        """Read a page.

        :param size: The most runs on the page.
        :raises InvalidPositionError: if the position in the address is not valid.
        """
        began = self._first_starts(run_filter)
        order = [began.c.started_at, began.c.dag_id, began.c.name]
        query = select(began).order_by(*(column.desc() for column in order)).limit(size + 1)
        if run_filter.after:
            at = RunPosition.read(run_filter.after)
            moment = literal(at.began, self._runs.started_at.type)
            earlier = or_(
                began.c.dag_id < at.dag_id,
                and_(began.c.dag_id == at.dag_id, began.c.name < at.name),
            )
            same = and_(began.c.started_at == moment, earlier)
            query = query.where(or_(began.c.started_at < moment, same))
        found = self._connection.execute(query).all()
        keys = [
            RunKey(dag_id=one.dag_id or None, dag_run_id=one.dag_run_id)
            if one.dag_run_id
            else RunKey(run_id=one.name)
            for one in found[:size]
        ]
        after = None
        if len(found) > size:
            last = found[size - 1]
            began_at = in_utc(last.started_at)
            after = RunPosition(began=began_at, dag_id=last.dag_id, name=last.name).token
        return RunPage(self._shown(keys), after)

    def one(self, key: RunKey) -> ShownRun | None:
        """Return one run, or None if there is no such run."""
        found = self._shown([key])
        return found[0] if found else None

    def _first_starts(self, run_filter: RunFilter) -> Subquery:
        """Select each run with the first start of its tasks in the period."""
        runs = self._runs
        tasks = (
            select(
                runs.started_at,
                func.coalesce(runs.dag_id, "").label("dag_id"),
                func.coalesce(runs.dag_run_id, runs.run_id).label("name"),
                runs.dag_run_id,
            )
            .where(*run_filter.within(runs.started_at))
            .subquery()
        )
        return (
            select(
                func.min(tasks.c.started_at).label("started_at"),
                tasks.c.dag_id,
                tasks.c.name,
                func.max(tasks.c.dag_run_id).label("dag_run_id"),
            )
            .group_by(tasks.c.dag_id, tasks.c.name)
            .subquery()
        )

    def _shown(self, keys: Sequence[RunKey]) -> list[ShownRun]:
        """Return the runs of keys in the same order, without unknown ones."""
        runs = self._runs
        dag_runs = sorted({key.dag_run_id for key in keys if key.dag_run_id})
        alone = sorted({key.run_id for key in keys if key.run_id})
        query = (
            select(*columns_of(self._connection, self._tables.runs))
            .where(or_(runs.dag_run_id.in_(dag_runs), runs.run_id.in_(alone)))
            .order_by(runs.started_at)
        )
        tasks: dict[RunKey, list[Any]] = {key: [] for key in keys}
        for task in self._connection.execute(query):
            own = RunKey(run_id=task.run_id)
            of_dag = RunKey(dag_id=task.dag_id, dag_run_id=task.dag_run_id)
            for key in {own, of_dag} & tasks.keys():
                tasks[key].append(task)
        limited = self._limited([task for found in tasks.values() for task in found])
        return [
            ShownRun(
                key,
                Progress(_last_tries(found), self._now),
                found,
                sum(limited.get(task.run_id, 0) for task in found),
            )
            for key, found in tasks.items()
            if found
        ]

    def _limited(self, tasks: Sequence[Any]) -> dict[str, int]:
        """Count the 429s of tasks by run, among the attempts only of runs that kept no calls."""
        kept = {task.run_id: kept_calls(task.calls) for task in tasks}
        limited = {name: sum(one.limited for one in calls) for name, calls in kept.items() if calls}
        attempts = self._tables.attempts.c
        query = (
            select(attempts.run_id, func.count())
            .where(
                attempts.http_status == HTTPStatus.TOO_MANY_REQUESTS.value,
                attempts.run_id.in_([name for name, calls in kept.items() if calls is None]),
            )
            .group_by(attempts.run_id)
        )
        return limited | {name: int(calls) for name, calls in self._connection.execute(query)}


def started_by(keys: Collection[RunKey], starters: Starters) -> dict[RunKey, str]:
    """Return the starters of runs, by the name of the dag run where Airflow knows none."""
    found = starters(
        {(key.dag_id, key.dag_run_id) for key in keys if key.dag_id and key.dag_run_id}
    )
    return {
        key: found.get((str(key.dag_id), str(key.dag_run_id))) or starter_by_name(key.dag_run_id)
        for key in keys
    }


def _last_tries(tasks: Sequence[Any]) -> list[Any]:
    return list({(task.task_id, task.map_index): task for task in tasks}.values())
