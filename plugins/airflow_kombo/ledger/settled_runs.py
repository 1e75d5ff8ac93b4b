"""Settled runs: they have ended, and none of their rows is `sending`.

No index has the status of a row: PostgreSQL would have to change the index with every outcome.
Whoever looks for `sending` rows reads the rows of the runs that are not settled: of those alive,
and of the few that could not record a row.
"""

from __future__ import annotations

import logging

from sqlalchemy import ColumnElement, Engine, and_, exists, select, true, update

from airflow_kombo.database.dialects import dialect_of
from airflow_kombo.database.sql import utc_now
from airflow_kombo.database.transactions import transaction
from airflow_kombo.exceptions import LedgerError
from airflow_kombo.ledger.run_scope import RunScope
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.statuses import Status

log = logging.getLogger(__name__)


def has_sending(tables: Tables, scope: RunScope | None = None) -> ColumnElement[bool]:
    """Build the condition for the runs with `sending` rows.

    :param scope: Only such rows in this scope; by default all of them.
    """
    in_scope = scope.of_links(tables) if scope else true()
    return and_(tables.runs.c.settled_at.is_(None), exists().where(_is_sending(tables), in_scope))


def mark_settled(engine: Engine, tables: Tables) -> None:
    """Write the time to the runs that are settled by now.

    A later call marks a run that is held by another transaction, and those of a failed call. A
    claim holds the row of its run until its commit, so no row can become `sending` after the look.
    """
    runs = tables.runs.c
    ended = select(runs.run_id).where(runs.ended_at.is_not(None), runs.settled_at.is_(None))
    seeing = dialect_of(engine).seeing_commits(engine)
    try:
        with transaction(seeing, "mark settled runs", finds_by_key=True) as connection:
            locked = connection.execute(ended.with_for_update(skip_locked=True)).scalars().all()
            if locked:  # a second statement sees the claims committed before the locks
                is_settled = ~exists().where(_is_sending(tables))
                settled = update(tables.runs).where(runs.run_id.in_(locked), is_settled)
                connection.execute(settled.values(settled_at=utc_now()))
    except LedgerError as error:
        log.warning("No run was marked as settled. The next run does so. %s", error)


def _is_sending(tables: Tables) -> ColumnElement[bool]:
    """Build the condition for the `sending` rows of a run of the query around it."""
    links, runs = tables.links.c, tables.runs.c
    return and_(links.run_id == runs.run_id, links.status == Status.SENDING.value)
