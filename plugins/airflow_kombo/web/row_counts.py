"""Rows by day and status, and the conditions that find rows of one status by an index.

No index has the status itself (docs/adr/0034-hot-updates.md). So the delivered rows of a day are
all rows without those in trouble and without those being sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from datetime import date, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Select,
    and_,
    case,
    exists,
    func,
    literal,
    select,
    union_all,
)

from airflow_kombo.ledger.run_scope import Days
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.statuses import Status
from airflow_kombo.web.lookups import distinct, has_column

_ALL: Final = "all"


def trouble_of(connection: Connection, tables: Tables) -> ColumnElement[str | None]:
    """Return the status of a row in trouble, else NULL; derived where an older table has none."""
    links = tables.links.c
    if has_column(connection, links.trouble):
        return links.trouble
    rest = [Status.SUCCESS.value, Status.SENDING.value]
    return case((links.status.not_in(rest), links.status), else_=None)


def has_status(
    connection: Connection, tables: Tables, statuses: Collection[Status]
) -> ColumnElement[bool]:
    """Build the condition for the rows with one of some statuses."""
    links, values = tables.links.c, [status.value for status in statuses]
    if Status.SUCCESS in statuses:  # most rows have it
        return links.status.in_(values)
    if set(statuses) == {Status.SENDING}:
        return _is_sending(connection, tables)
    return trouble_of(connection, tables).in_(values)


def rows_by_day(connection: Connection, tables: Tables, period: Days) -> dict[date, Counter[str]]:
    """Count the rows of each day of a period by status."""
    number = (period.last - period.first).days + 1
    days = {period.first + timedelta(days=day): Counter[str]() for day in range(number)}
    for day, status, rows in connection.execute(_counts(connection, tables, period)):
        days[day][status] += rows
    for counts in days.values():
        if _ALL in counts:
            counts[Status.SUCCESS] = counts.pop(_ALL) - counts.total()
    return {day: +counts for day, counts in days.items()}


def _counts(
    connection: Connection, tables: Tables, period: Days
) -> Select[Any] | CompoundSelect[Any]:
    """Select days, statuses and counts, all in one statement: so they are of one moment."""
    links = tables.links.c
    day, is_in_period = (
        links.assessment_date,
        links.assessment_date.between(period.first, period.last),
    )
    if not has_column(connection, links.trouble):
        by_status = select(day, links.status, func.count()).where(is_in_period)
        return by_status.group_by(day, links.status)
    return union_all(
        select(day, literal(_ALL), func.count()).where(is_in_period).group_by(day),
        select(day, links.trouble, func.count())
        .where(is_in_period, links.trouble.is_not(None))
        .group_by(day, links.trouble),
        select(day, literal(Status.SENDING.value), func.count())
        .where(is_in_period, _is_sending(connection, tables))
        .group_by(day),
    )


def _is_sending(connection: Connection, tables: Tables) -> ColumnElement[bool]:
    """Build the condition for `sending` rows: only runs that are not settled have some."""
    links, runs = tables.links.c, tables.runs.c
    is_sending = links.status == Status.SENDING.value
    if not has_column(connection, runs.settled_at):
        return is_sending
    of_rows = distinct(links.run_id)
    is_settled = exists().where(runs.run_id == of_rows.c.value, runs.settled_at.is_not(None))
    unsettled = select(of_rows.c.value).where(of_rows.c.value.is_not(None), ~is_settled)
    return and_(links.run_id.in_(unsettled), is_sending)
