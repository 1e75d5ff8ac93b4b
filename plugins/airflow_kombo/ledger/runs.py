"""The life of a run: it starts, keeps a heartbeat and ends; a dead one is settled by the next.

All times are the database's: the clocks of two workers may differ by more than a heartbeat.
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
    Column,
    ColumnElement,
    Connection,
    Engine,
    Row,
    Select,
    and_,
    bindparam,
    func,
    insert,
    select,
    update,
)

from airflow_kombo.database.bulk_writes import Bulk
from airflow_kombo.database.sql import in_utc, utc_now
from airflow_kombo.database.transactions import RaceLostError, in_race, transaction
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.exceptions import DeclaredDeadError
from airflow_kombo.ledger.settling import settle_by_attempts
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.statuses import COUNTED, Status

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS: Final = 10.0
"""How often a living run renews its heartbeat."""
DEAD_AFTER_SECONDS: Final = 60.0
"""A run that has been silent for longer is dead, and has stopped sending by itself."""

_USUAL_DAYS: Final = 14
_TASK: Final = ("dag_id", "task_id", "map_index")

_UNCOUNTED: Final = dict.fromkeys(("planned", *COUNTED))
"""A dead run's last word on its rows is not an account of them."""

_UNHEARD: Final = {
    "status": Status.UNKNOWN.value,
    "error_code": "run_died",
    "error_message": "The run that sent it ended before its answer was recorded. Look it up in"
    " Kombo's logs, which are kept for 30 days, and decide with the dag kombo_resolve_unknown.",
}


@dataclass(frozen=True)
class Run:
    """One execution of one task, as the runs table names it; `run_id` is its own, not Airflow's."""

    run_id: str
    dag_id: str | None = None
    dag_run_id: str | None = None
    task_id: str | None = None
    map_index: int | None = None
    try_number: int | None = None
    assessment_date: date | None = None

    @property
    def tags(self) -> dict[str, str]:
        """What its metrics are tagged with: the task, as Airflow names it in its own."""
        named = {"dag_id": self.dag_id, "task_id": self.task_id}
        return {name: value for name, value in named.items() if value}


class Runs:
    """The runs table.

    :param dead_after: Seconds of silence after which a run counts as dead.
    """

    def __init__(
        self, engine: Engine, tables: Tables, *, dead_after: float = DEAD_AFTER_SECONDS
    ) -> None:
        self.engine = engine
        self.tables = tables
        self.dead_after = dead_after

    def start(self, run: Run) -> None:
        """Write a run's row, and with it its first heartbeat."""
        with transaction(self.engine, "start a run") as connection:
            connection.execute(
                insert(self.tables.runs).values(
                    **asdict(run), started_at=utc_now(), heartbeat_at=utc_now()
                )
            )

    def beat(self, run_id: str, counts: Mapping[str, int] | None = None) -> None:
        """Renew a run's heartbeat.

        :param counts: How far it has come, once that is known.
        :raises LedgerError: if it cannot be written.
        :raises DeclaredDeadError: if others have declared the run dead.
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
        """Write what a run did; if it has been declared dead meanwhile, that stands."""
        runs = self.tables.runs
        with transaction(self.engine, "finish a run") as connection:
            connection.execute(
                update(runs)
                .where(runs.c.run_id == run_id, runs.c.ended_at.is_(None))
                .values(**counts, ended_at=utc_now(), error=error)
            )

    def usual(self, run: Run) -> float | None:
        """Give the median of what a run's task sent on its last days, or None if it never did.

        A day counts as a whole, and only if it sent something: a try that found nothing left, or a
        run by hand for one result, does not say that there is little to send.
        """
        runs = self.tables.runs.c
        sent = func.sum(runs.planned - runs.skipped - runs.invalid)
        query = (
            select(sent)
            .where(*(runs[name] == getattr(run, name) for name in _TASK))
            .group_by(runs.assessment_date)
            .having(sent > 0)
            .order_by(func.max(runs.started_at).desc())
            .limit(_USUAL_DAYS)
        )
        with transaction(self.engine, "look at earlier runs", reads_only=True) as connection:
            days = connection.execute(query).scalars().all()
        return median(map(int, days)) if days else None

    def silent(self, run_id: str) -> dict[str, float]:
        """Give each other run that has rows `sending`, with its seconds of silence.

        A run that ended with such rows could not record them: it will never speak again.
        """
        runs, links = self.tables.runs, self.tables.links
        in_doubt = select(links.c.run_id).where(links.c.status == Status.SENDING.value)
        query = select(
            runs.c.run_id, runs.c.heartbeat_at, runs.c.ended_at, utc_now().label("now")
        ).where(runs.c.run_id.in_(in_doubt), runs.c.run_id != run_id)
        with transaction(self.engine, "look for dead runs", reads_only=True) as connection:
            rows = connection.execute(query).all()
        return {
            row.run_id: inf
            if row.ended_at
            else (in_utc(row.now) - in_utc(row.heartbeat_at)).total_seconds()
            for row in rows
        }

    def settle(self, run_ids: Collection[str]) -> int:
        """Make the `sending` rows of dead runs `unknown` and give their number.

        A row whose attempt has an outcome gets what its attempts prove, and is not counted. A run
        that has renewed its heartbeat in the meantime is left alone. So is a row that somebody's
        open transaction holds: the next run settles it.
        """
        return sum(
            in_race(self.engine, "settle a dead run", partial(self._settle, run_id))
            for run_id in sorted(run_ids)
        )

    def _declare_dead(self, connection: Connection, run_id: str) -> bool:
        runs = self.tables.runs
        row = connection.execute(
            select(runs.c.heartbeat_at, runs.c.ended_at, utc_now().label("now"))
            .where(runs.c.run_id == run_id)
            .with_for_update(skip_locked=True)
        ).one_or_none()
        if row is None:  # it is claiming rows, or renewing its heartbeat, or somebody holds it
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

    def _settle(self, run_id: str, connection: Connection) -> int:
        """Settle a dead run's rows, each with its attempt: what is held of one keeps the other."""
        if not self._declare_dead(connection, run_id):
            return 0
        links, attempts = self.tables.links.c, self.tables.attempts.c
        is_sending = links.status == Status.SENDING.value
        sending = _InDoubt(self.engine, links.attempts, run_id, is_sending)
        unanswered = _InDoubt(self.engine, attempts.attempt, run_id, attempts.status.is_(None))
        # Links before attempts, each in the order of the key: as everybody locks them.
        locked_links, locked_attempts = sending.lock(connection), unanswered.lock(connection)
        held = (sending.read(connection) - set(locked_links)) | (
            unanswered.read(connection) - set(locked_attempts)
        )
        if held:
            log.warning("%d rows of the dead run %s are left: others hold them", len(held), run_id)
        settled = [row for row in locked_links if row not in held]
        proven = settle_by_attempts(connection, self.tables, run_id, settled)
        if proven:
            log.info("%d rows of the run %s get what their attempts prove", len(proven), run_id)
        unheard = [row for row in settled if LinkKey(*row[: len(KEY)]) not in proven]
        sending.make_unknown(connection, unheard, updated_at=utc_now())
        unanswered.make_unknown(connection, [row for row in locked_attempts if row not in held])
        return len(unheard)


class _InDoubt:
    """The rows of a table whose outcome a run did not record, by key and number of the attempt.

    :param attempt: The column that has the number.
    :param condition: What the rows of a run that are in doubt have in common.
    """

    def __init__(
        self, engine: Engine, attempt: Column[Any], run_id: str, condition: ColumnElement[bool]
    ) -> None:
        self._table: Any = attempt.table
        self._names = (*KEY, attempt.name)
        self._given = Bulk(engine, [self._table.c[name] for name in self._names])
        self._condition = and_(self._table.c.run_id == run_id, condition)
        columns = [self._table.c[name] for name in self._names]
        self._query = select(*columns).where(self._condition).order_by(*columns)

    def read(self, connection: Connection) -> set[Row[Any]]:
        """Read all of them, whoever holds them."""
        return set(connection.execute(self._query))

    def lock(self, connection: Connection) -> Sequence[Row[Any]]:
        """Lock those that nobody holds."""
        return connection.execute(self._query.with_for_update(skip_locked=True)).all()

    def make_unknown(self, connection: Connection, rows: Sequence[Row[Any]], **values: Any) -> None:
        """Write that nobody knows what became of these.

        :raises RaceLostError: on a database that knows no FOR UPDATE, if one was changed meanwhile.
        """
        is_one = (self._table.c[name] == self._given.c[name] for name in self._names)
        statement = update(self._table).where(self._condition, *is_one).values(_UNHEARD | values)
        asked = [dict(zip(self._names, row, strict=True)) for row in rows]
        (changed,) = self._given.execute(connection, asked, statement)
        if changed != len(rows):
            raise RaceLostError


def assert_alive(connection: Connection, tables: Tables, run_id: str) -> None:
    """See, within a transaction, that a run may go on, and keep it from being settled until then.

    The lock is shared: the lanes of one run do not wait for each other, nor for its heartbeat.

    :raises DeclaredDeadError: if the run has been declared dead.
    """
    if connection.execute(_living(tables), {"run_id": run_id}).first() is None:
        raise DeclaredDeadError(_declared_dead(run_id))


@lru_cache  # to build it would cost more than to run it
def _living(tables: Tables) -> Select[Any]:
    runs = tables.runs
    return (
        select(runs.c.run_id)
        .where(runs.c.run_id == bindparam("run_id"), runs.c.ended_at.is_(None))
        .with_for_update(read=True, key_share=True)
    )


def _declared_dead(run_id: str) -> str:
    return f"The run {run_id} was declared dead, or never started: it must not send any more."
