"""Runs: their start, their heartbeat, their end, and the settling of dead ones.

All times are the database's. The clocks of two workers may differ by more than a heartbeat.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from functools import lru_cache, partial
from math import inf
from statistics import median
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Engine,
    Select,
    and_,
    bindparam,
    func,
    insert,
    select,
    update,
)

from airflow_kombo.database.sql import in_utc, utc_now
from airflow_kombo.database.transactions import in_race, transaction
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.exceptions import DeclaredDeadError
from airflow_kombo.ledger.migrations import SCHEMA_VERSION
from airflow_kombo.ledger.run_scope import Days, LeftRow, RunScope, day_of_link
from airflow_kombo.ledger.settled_runs import has_sending, mark_settled
from airflow_kombo.ledger.settling import RowsInDoubt, days_of_sending, settle_by_attempts
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.ledger.time_limits import DEAD_AFTER_SECONDS
from airflow_kombo.statuses import COUNTED, Status

log = logging.getLogger(__name__)

_USUAL_DAYS: Final = 14
_TASK: Final = ("dag_id", "task_id", "map_index")

_UNCOUNTED: Final = dict.fromkeys(("planned", *COUNTED))
"""Counts of a dead run. The counts of its last heartbeat do not cover all of its rows."""


@dataclass(frozen=True)
class Run:
    """One execution of one task, by the columns of the runs table.

    :param run_id: The id of this project, not Airflow's `dag_run_id`.
    """

    run_id: str
    dag_id: str | None = None
    dag_run_id: str | None = None
    task_id: str | None = None
    map_index: int | None = None
    try_number: int | None = None
    assessment_date: date | None = None

    @property
    def tags(self) -> dict[str, str]:
        """Return the tags of the run's metrics: the task, by the names of Airflow's own metrics."""
        named = {"dag_id": self.dag_id, "task_id": self.task_id}
        return {name: value for name, value in named.items() if value}


class Runs:
    """The runs table.

    :param dead_after: Seconds without a heartbeat after which a run counts as dead.
    """

    def __init__(
        self, engine: Engine, tables: Tables, *, dead_after: float = DEAD_AFTER_SECONDS
    ) -> None:
        self.engine = engine
        self.tables = tables
        self.dead_after = dead_after

    def start(self, run: Run) -> None:
        """Insert the row of a run, with the first heartbeat and the version of the tables."""
        with transaction(self.engine, "start a run") as connection:
            connection.execute(
                insert(self.tables.runs).values(
                    **asdict(run),
                    started_at=utc_now(),
                    heartbeat_at=utc_now(),
                    schema_version=SCHEMA_VERSION,
                )
            )

    def beat(self, run_id: str, counts: Mapping[str, int] | None = None) -> None:
        """Renew a run's heartbeat.

        :param counts: Rows so far by column, once the rows are planned.
        :raises LedgerError: if the heartbeat cannot be written.
        :raises DeclaredDeadError: if another run has declared this one dead.
        """
        runs = self.tables.runs
        with transaction(self.engine, "renew the run's heartbeat") as connection:
            renewed = connection.execute(
                update(runs)
                .where(runs.c.run_id == run_id, runs.c.ended_at.is_(None))
                .values(heartbeat_at=utc_now(), **(counts or {}))
            )
        if renewed.rowcount != 1:
            raise DeclaredDeadError(_declared_dead(run_id))

    def finish(self, run_id: str, counts: Mapping[str, int], error: str | None = None) -> None:
        """Write the end and the counts of a run, unless the run was declared dead.

        :param counts: Rows by column.
        :param error: The reason why the run failed. None if it succeeded.
        """
        runs = self.tables.runs
        with transaction(self.engine, "finish a run") as connection:
            connection.execute(
                update(runs)
                .where(runs.c.run_id == run_id, runs.c.ended_at.is_(None))
                .values(**counts, ended_at=utc_now(), error=error)
            )
        mark_settled(self.engine, self.tables)

    def usual(self, run: Run) -> float | None:
        """Return the median of a task's sent rows per day, or None without any.

        A run without a `map_index` stands for all shards of its task.

        All runs of a day are added up, and days without a row are left out. Otherwise a try that
        found nothing left, or a run by hand for one result, would lower the number.
        """
        runs = self.tables.runs.c
        sent = func.sum(runs.planned - runs.skipped - runs.invalid)
        of_task = {name: getattr(run, name) for name in _TASK}
        query = (
            select(sent)
            .where(*(runs[name] == one for name, one in of_task.items() if one is not None))
            .group_by(runs.assessment_date)
            .having(sent > 0)
            .order_by(func.max(runs.started_at).desc())
            .limit(_USUAL_DAYS)
        )
        with transaction(self.engine, "look at earlier runs", reads_only=True) as connection:
            days = connection.execute(query).scalars().all()
        return median(map(int, days)) if days else None

    def scope_of(self, run: Run, first_day: date | None = None) -> RunScope:
        """Return the rows that a run answers for: of its days, and of its earlier tries.

        A run without a `map_index` stands for all shards of its task.

        :param first_day: The first day that the run looks back to; None for its own day alone.
        """
        runs, day = self.tables.runs.c, run.assessment_date
        days = Days(first_day or day, day) if day else None
        if run.dag_run_id is None:
            return RunScope(days)
        same = {name: getattr(run, name) for name in (*_TASK, "dag_run_id")}
        query = select(runs.run_id).where(
            runs.run_id != run.run_id,
            *(runs[name] == one for name, one in same.items() if one is not None),
        )
        with transaction(self.engine, "look for earlier tries", reads_only=True) as connection:
            return RunScope(days, frozenset(connection.execute(query).scalars()))

    def silent(self, run_id: str, scope: RunScope | None = None) -> dict[str, float]:
        """Return the other runs with `sending` rows, and their seconds without a heartbeat.

        A run that ended with such rows could not record them. It never sends a heartbeat again.

        :param scope: Only runs with such rows in this scope; by default all of them.
        """
        runs = self.tables.runs
        moments = (runs.c.heartbeat_at, runs.c.ended_at, utc_now().label("now"))
        others = and_(has_sending(self.tables, scope), runs.c.run_id != run_id)
        query = select(runs.c.run_id, *moments).where(others)
        doing = "look for dead runs"
        with transaction(self.engine, doing, reads_only=True, finds_by_key=True) as connection:
            rows = connection.execute(query).all()
        return {
            row.run_id: inf
            if row.ended_at
            else (in_utc(row.now) - in_utc(row.heartbeat_at)).total_seconds()
            for row in rows
        }

    def unknown_of(self, run_ids: Collection[str]) -> list[LeftRow]:
        """Return the rows of runs that are `unknown` now, and were not sent again since."""
        links, runs = self.tables.links, self.tables.runs
        query = (
            select(*(links.c[name] for name in KEY), links.c.run_id)
            .add_columns(day_of_link(self.tables).label("day"))
            .join_from(links, runs, runs.c.run_id == links.c.run_id)
            .where(links.c.trouble == Status.UNKNOWN.value, links.c.run_id.in_(sorted(run_ids)))
        )
        with transaction(self.engine, "look for rows in doubt", reads_only=True) as connection:
            rows: Sequence[Any] = connection.execute(query).all()
        return [LeftRow(row.run_id, LinkKey.of(row), row.day, Status.UNKNOWN) for row in rows]

    def settle(self, run_ids: Collection[str]) -> list[LeftRow]:
        """Settle the `sending` rows of dead runs, and return the settled rows.

        A row whose attempt has an outcome gets the outcome that its attempts prove. All others
        become `unknown`. A run that has renewed its heartbeat in the meantime is left alone. A row
        that another open transaction holds is left to the next run. All settled runs are marked.
        """
        settled: list[LeftRow] = []
        for run_id in sorted(run_ids):
            settle = partial(self._settle, run_id)
            settled += in_race(self.engine, "settle a dead run", settle)
        mark_settled(self.engine, self.tables)
        return settled

    def _declare_dead(self, connection: Connection, run_id: str) -> bool:
        """Write the end of a silent run, and return True if the run is dead."""
        runs = self.tables.runs
        row = connection.execute(
            select(runs.c.heartbeat_at, runs.c.ended_at, utc_now().label("now"))
            .where(runs.c.run_id == run_id)
            .with_for_update(skip_locked=True)
        ).one_or_none()
        if row is None:  # it claims rows, renews its heartbeat, or another transaction holds it
            return False
        if row.ended_at:
            return True
        if in_utc(row.now) - in_utc(row.heartbeat_at) < timedelta(seconds=self.dead_after):
            return False
        connection.execute(
            update(runs)
            .where(runs.c.run_id == run_id)
            .values(ended_at=utc_now(), error="died: its heartbeat stopped", **_UNCOUNTED)
        )
        return True

    def _settle(self, run_id: str, connection: Connection) -> list[LeftRow]:
        """Settle the rows of a dead run.

        A row and its attempt are settled together, or left together if one of them is held.
        """
        if not self._declare_dead(connection, run_id):
            return []
        days = days_of_sending(connection, self.tables, run_id)
        links, attempts = self.tables.links.c, self.tables.attempts.c
        is_sending = links.status == Status.SENDING.value
        sending = RowsInDoubt(self.engine, links.attempts, run_id, is_sending)
        without_outcome = RowsInDoubt(
            self.engine, attempts.attempt, run_id, attempts.status.is_(None)
        )
        # Links before attempts, each in the order of the key: the order of all transactions.
        locked_links, locked_attempts = sending.lock(connection), without_outcome.lock(connection)
        held = (sending.read(connection) - set(locked_links)) | (
            without_outcome.read(connection) - set(locked_attempts)
        )
        if held:
            log.warning("%d rows of the dead run %s are left: others hold them", len(held), run_id)
        free = [row for row in locked_links if row not in held]
        proven = settle_by_attempts(connection, self.tables, run_id, {row.key for row in free})
        if proven:
            log.info("%d rows of the run %s are settled by their attempts", len(proven), run_id)
        unknown = [row for row in free if row.key not in proven]
        sending.make_unknown(connection, unknown, updated_at=utc_now())
        without_outcome.make_unknown(
            connection, [row for row in locked_attempts if row not in held]
        )
        statuses = {row.key: proven.get(row.key, Status.UNKNOWN) for row in free}
        return [LeftRow(run_id, key, days.get(key), status) for key, status in statuses.items()]


def assert_alive(connection: Connection, tables: Tables, run_id: str) -> None:
    """Check a run's right to go on, and lock the run until the transaction ends.

    The lock is shared, so the senders of one run do not wait for each other or for the heartbeat.

    :raises DeclaredDeadError: if the run has been declared dead.
    """
    if connection.execute(living(tables), {"run_id": run_id}).first() is None:
        raise DeclaredDeadError(_declared_dead(run_id))


@lru_cache  # building it takes longer than running it
def living(tables: Tables) -> Select[Any]:
    """Build the lock of the run `run_id`, unless the run has been declared dead."""
    runs = tables.runs
    return (
        select(runs.c.run_id)
        .where(runs.c.run_id == bindparam("run_id"), runs.c.ended_at.is_(None))
        .with_for_update(read=True, key_share=True)
    )


def _declared_dead(run_id: str) -> str:
    return f"The run {run_id} was declared dead, or never started. It must not send any more."
