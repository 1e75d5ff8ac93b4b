"""Read how far the last run has come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, select

from airflow_kombo.database.sql import in_utc
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.ledger.time_limits import DEAD_AFTER_SECONDS
from airflow_kombo.statuses import COUNTED
from airflow_kombo.web.rows import columns_of

SILENT: Final = timedelta(seconds=DEAD_AFTER_SECONDS)
"""A run without a heartbeat for longer is dead."""


@dataclass(frozen=True)
class Progress:
    """The latest run: all tasks that it was mapped to, each by its last try.

    :param planned: Rows that it is to deliver, as far as its tasks have said so.
    :param now: The database's time.
    """

    tasks: Sequence[Row[Any]]
    now: datetime

    @property
    def first(self) -> Row[Any]:
        """One of its tasks."""
        return self.tasks[0]

    @property
    def planned(self) -> int | None:
        """Rows that it is to deliver; None while it has not said so."""
        return sum(filter(None, said)) if any(said := [t.planned for t in self.tasks]) else None

    @property
    def counts(self) -> Counter[str]:
        """Its rows by what became of them."""
        return Counter({name: sum(getattr(t, name) or 0 for t in self.tasks) for name in COUNTED})

    @property
    def done(self) -> int:
        """Rows whose fate is known."""
        return self.counts.total()

    @property
    def started_at(self) -> datetime:
        """When its first task began."""
        return min(in_utc(task.started_at) for task in self.tasks)

    @property
    def ended_at(self) -> datetime | None:
        """When its last task ended; None while one has not."""
        ends = [task.ended_at for task in self.tasks]
        return max(map(in_utc, ends)) if all(ends) else None

    @property
    def silent(self) -> bool:
        """Whether a task that has not ended has shown no life for too long."""
        return any(
            self.now - in_utc(task.heartbeat_at) > SILENT
            for task in self.tasks
            if not task.ended_at
        )

    @property
    def errors(self) -> list[str]:
        """What ended its tasks, where something did."""
        return sorted({task.error for task in self.tasks if task.error})

    @property
    def expected_at(self) -> datetime | None:
        """When it will end if it goes on as until its last heartbeat; None if nobody can say."""
        if self.ended_at or self.silent or not self.planned or not self.done:
            return None
        told = max(in_utc(task.heartbeat_at) for task in self.tasks)
        spent = told - self.started_at
        return told + spent * ((self.planned - self.done) / self.done)


def progress_of(connection: Connection, tables: Tables, now: datetime) -> Progress | None:
    """Read how far the newest run has come, or return None if there was none."""
    runs = tables.runs
    newest = connection.execute(
        select(runs.c.dag_id, runs.c.dag_run_id, runs.c.run_id)
        .order_by(runs.c.started_at.desc())
        .limit(1)
    ).first()
    if newest is None:
        return None
    same = and_(runs.c.dag_id == newest.dag_id, runs.c.dag_run_id == newest.dag_run_id)
    found = connection.execute(
        select(*columns_of(connection, runs))
        .select_from(runs)
        .where(same if newest.dag_run_id else runs.c.run_id == newest.run_id)
        .order_by(runs.c.started_at)
    ).all()
    last_tries = {(task.task_id, task.map_index): task for task in found}
    return Progress(list(last_tries.values()), now)
