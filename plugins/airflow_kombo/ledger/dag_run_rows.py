"""The rows of one dag run: those of all shards and all tries of its delivering task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, and_, func, or_, select

from airflow_kombo.database.transactions import transaction
from airflow_kombo.ledger.run_scope import Days
from airflow_kombo.ledger.runs import Run
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.statuses import COUNTED, HELD, LEFT_OUT, SENT_AGAIN, SKIPPED, ErrorCode, Status

WITHOUT_RECORD = "(no record of this run)"
"""Name, in place of an integration, for rows that the runs left as they were."""


@dataclass(frozen=True)
class DagRunRows:
    """The rows that the runs of one dag run wrote, each by its status now.

    A row that another run left in doubt is one of them, too, if it is of the same days and was
    settled as `unknown` since the dag run began: a dead run has no account of its own.

    :param run: The task of the runs: its dag, its dag run and its id.
    :param days: The days of the runs.
    :param shards: Number of the shards of the newest plan, as a cleared day may have fewer than
        before. None for any number.
    :param read_again: Statuses of rows that a later run of the dag run reads again.
    """

    engine: Engine
    tables: Tables
    run: Run
    days: Days
    shards: int | None = None
    read_again: Collection[str] = ()

    @property
    def condition(self) -> ColumnElement[bool]:
        """Build the condition for the status rows."""
        return self._of(self._runs(self.tables.runs.c.run_id))

    def _of(self, run_ids: Select[Any] | Sequence[str]) -> ColumnElement[bool]:
        links, runs = self.tables.links.c, self.tables.runs.c
        first_start = self._runs(func.min(runs.started_at)).scalar_subquery()
        is_left_in_doubt = and_(
            links.trouble == Status.UNKNOWN.value,
            links.error_code == ErrorCode.RUN_DIED.value,
            links.updated_at >= first_start,
            self.days.of_links(self.tables),
        )
        return or_(links.run_id.in_(run_ids), is_left_in_doubt)

    def counts(self) -> dict[str, Counter[str]]:
        """Count the rows by integration and status.

        Rows without a record, such as skipped ones, are counted as the last run of each shard
        counted them. A shard that the newest plan lacks left none: other shards had its rows since.
        Rows that an earlier run of the dag run wrote, and a later one skipped, have a record.

        :raises LedgerError: if the ledger cannot be read.
        """
        runs = self.tables.runs.c
        last_runs = self._runs(runs.run_id, runs.map_index, runs.skipped, runs.held, runs.left_out)
        last_runs = last_runs.order_by(runs.started_at)
        if self.shards is not None:
            last_runs = last_runs.where(runs.map_index < self.shards)
        counts = dict[str, Counter[str]]()
        with transaction(self.engine, "count the rows of the run", reads_only=True) as connection:
            # Their ids, not a query for them: PostgreSQL would read all rows of the table.
            run_ids = connection.execute(self._runs(runs.run_id)).scalars().all()
            for integration_id, status, rows in connection.execute(self._by_status(run_ids)):
                counts.setdefault(integration_id, Counter())[status] = rows
            last = {row.map_index: row for row in connection.execute(last_runs)}
            left = Counter[str]()
            for row in last.values():
                left.update({SKIPPED: row.skipped or 0, HELD: row.held or 0})
                left[LEFT_OUT] += row.left_out or 0
            if last:
                left[LEFT_OUT] += connection.execute(self._left_out_since(last)).scalar_one()
            if left[SKIPPED]:
                again = self._read_again(row.run_id for row in last.values())
                recorded = connection.execute(again).scalar_one()
                left[SKIPPED] = max(0, left[SKIPPED] - recorded)
        if left.total():
            counts[WITHOUT_RECORD] = left
        return counts

    def _by_status(self, run_ids: Sequence[str]) -> Select[Any]:
        """Count the rows of runs by integration and status."""
        links = self.tables.links.c
        return (
            select(links.integration_id, links.status, func.count())
            .where(self._of(run_ids), links.status.in_(COUNTED), links.left_out_at.is_(None))
            # The status first: for the order of integrations SQLite would read an index, and look
            # each row of the table up.
            .group_by(links.status, links.integration_id)
        )

    def _left_out_since(self, last_runs: Mapping[int, Any]) -> Select[Any]:
        """Count the rows that the last runs wrote, and that a person has left out since."""
        links = self.tables.links.c
        ids = sorted(row.run_id for row in last_runs.values())
        return select(func.count()).where(links.run_id.in_(ids), links.left_out_at.is_not(None))

    def _read_again(self, last_runs: Iterable[str]) -> Select[Any]:
        """Count the rows of earlier runs that the last ones read again, and did not send."""
        links, runs = self.tables.links.c, self.tables.runs.c
        earlier = self._runs(runs.run_id).where(runs.run_id.not_in(sorted(last_runs)))
        statuses = sorted(set(self.read_again) - SENT_AGAIN)
        is_skipped = and_(links.status.in_(statuses), links.left_out_at.is_(None))
        return select(func.count()).where(links.run_id.in_(earlier), is_skipped)

    def _runs(self, *columns: Any) -> Select[Any]:
        """Select columns of the runs."""
        runs, run = self.tables.runs.c, self.run
        names = ("dag_id", "dag_run_id", "task_id")
        return select(*columns).where(*(runs[name] == getattr(run, name) for name in names))
