"""Counts of a day's rows in the ledger, with the causes of failure."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import ColumnElement, Engine, case, func, select

from airflow_kombo.database.transactions import transaction
from airflow_kombo.ledger.run_scope import Days
from airflow_kombo.ledger.runs import Run
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.statuses import Status

_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,60}", re.ASCII)
"""The form of an error code. Anything else may be another server's text about a person."""
_OWN, _TASK, _OTHER_TASK = "own", "task", "other"
"""Origins of a row: the run itself, another run of its task, or another task."""
_DELIVERED_OR_OPEN: Final = frozenset({Status.SUCCESS.value, Status.SENDING.value})


@dataclass
class DayRows:
    """Rows of some days in the ledger, by status, without those that a person has left out.

    Tasks with other rows may share a status table, and one that delivered all of its rows must not
    hide one that delivered none.

    :param counts: Rows that runs of one task wrote, in any dag run.
    :param own: Those that one run wrote.
    :param causes: Rows of `counts` that were not delivered, by status and cause: an error code, or
        the HTTP status of a response without one.
    :param in_doubt: Rows that are `unknown`, of any task.
    """

    counts: Counter[str] = field(default_factory=Counter)
    own: Counter[str] = field(default_factory=Counter)
    causes: Counter[tuple[str, str]] = field(default_factory=Counter)
    in_doubt: int = 0

    def add(self, group: Any) -> None:
        """Add rows with the same status, error and origin."""
        if group.status == Status.UNKNOWN:
            self.in_doubt += group.rows
        if group.origin == _OTHER_TASK:
            return
        self.counts[group.status] += group.rows
        if group.origin == _OWN:
            self.own[group.status] += group.rows
        if group.status not in _DELIVERED_OR_OPEN:
            self.causes[group.status, _cause(group)] += group.rows


def rows_of_days(
    engine: Engine,
    tables: Tables,
    days: Days,
    run: Run,
    is_own: ColumnElement[bool] | None = None,
) -> DayRows:
    """Count the rows of some days.

    :param run: The run whose rows are also counted alone.
    :param is_own: The condition for the rows to count alone, if they are not those of the run.
    :raises LedgerError: if the ledger cannot be read.
    """
    links, runs = tables.links.c, tables.runs.c
    of_task = select(runs.run_id).where(runs.dag_id == run.dag_id, runs.task_id == run.task_id)
    if is_own is None:
        is_own = links.run_id == run.run_id
    origin = case((is_own, _OWN), (links.run_id.in_(of_task), _TASK), else_=_OTHER_TASK)
    # A subquery: PostgreSQL takes two equal parameters of a grouped expression for two values.
    rows = (
        select(links.status, links.error_code, links.http_status, origin.label("origin"))
        .where(days.of_links(tables), links.left_out_at.is_(None))
        .subquery()
    )
    query = select(*rows.c, func.count().label("rows")).group_by(*rows.c)
    found = DayRows()
    with transaction(engine, "count the rows of the day", reads_only=True) as connection:
        for group in connection.execute(query):
            found.add(group)
    return found


def _cause(row: Any) -> str:
    if row.error_code:
        return row.error_code if _CODE.fullmatch(row.error_code) else "another error code"
    return f"HTTP {row.http_status}" if row.http_status else row.status
