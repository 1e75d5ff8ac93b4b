"""Progress of the latest run."""

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
from airflow_kombo.web.lookups import columns_of

SILENT: Final = timedelta(seconds=DEAD_AFTER_SECONDS)
"""A run without a heartbeat for longer is dead."""


@dataclass(frozen=True)
class Progress:
    """Latest run: all mapped tasks, each by the last try.

    :param now: The database's time.
    """

    tasks: Sequence[Row[Any]]
    now: datetime

    @property
    def first(self) -> Row[Any]:
        """First task of the run."""
        return self.tasks[0]

    @property
    def planned(self) -> int | None:
        """Number of planned rows; None until a task has planned some."""
        planned = [task.planned for task in self.tasks if task.planned]
        return sum(planned) if planned else None

    @property
    def counts(self) -> Counter[str]:
        """Rows of the run by outcome."""
        return Counter({name: sum(getattr(t, name) or 0 for t in self.tasks) for name in COUNTED})

    @property
    def done(self) -> int:
        """Number of rows with an outcome."""
        return self.counts.total()

    @property
    def started_at(self) -> datetime:
        """Start of the first task."""
        return min(in_utc(task.started_at) for task in self.tasks)

    @property
    def ended_at(self) -> datetime | None:
        """End of the last task; None while a task runs."""
        ends = [task.ended_at for task in self.tasks]
        return max(map(in_utc, ends)) if all(ends) else None

    @property
    def is_silent(self) -> bool:
        """True if a running task has sent no heartbeat for too long."""
        return any(
            self.now - in_utc(task.heartbeat_at) > SILENT
            for task in self.tasks
            if not task.ended_at
        )

    @property
    def silent_seconds(self) -> float:
        """Seconds without a heartbeat until a task counts as silent."""
        return SILENT.total_seconds()

    @property
    def errors(self) -> list[str]:
        """Errors of the tasks."""
        return sorted({task.error for task in self.tasks if task.error})

    @property
    def expected_at(self) -> datetime | None:
        """Expected end at the speed until the last heartbeat; None if there is no estimate."""
        if self.ended_at or self.is_silent or not self.planned or not self.done:
            return None
        last_beat = max(in_utc(task.heartbeat_at) for task in self.tasks)
        elapsed = last_beat - self.started_at
        return last_beat + elapsed * ((self.planned - self.done) / self.done)


def progress_of(connection: Connection, tables: Tables, now: datetime) -> Progress | None:
    """Read the progress of the newest run; return None if no run has started.

    :param connection: A connection that reads the warehouse.
    :param tables: The tables of the write that is shown.
    :param now: The database's time.
    """
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
