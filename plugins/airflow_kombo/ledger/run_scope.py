"""The days of a run, and the rows that a run answers for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, false, func, or_, select

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.statuses import Status


class LeftRow(NamedTuple):
    """A row that a run left to others: settled, or in doubt.

    :param run_id: The run that sent the row.
    :param day: The row's day; of a row without one, the day of its run.
    """

    run_id: str
    key: LinkKey
    day: date | None
    status: Status


@dataclass(frozen=True)
class Days:
    """Days from the first to the last, both included."""

    first: date
    last: date

    def have(self, day: date | None) -> bool:
        """Return True for one of the days."""
        return day is not None and self.first <= day <= self.last

    def of_links(self, tables: Tables) -> ColumnElement[bool]:
        """Build the condition for the status rows of the days.

        A row without a day, such as one of an upstream task, is of the day of its run. Both parts
        of the condition use the index on the day.
        """
        links, runs = tables.links.c, tables.runs.c
        runs_of_days = select(runs.run_id).where(
            runs.assessment_date.between(self.first, self.last)
        )
        return or_(
            links.assessment_date.between(self.first, self.last),
            and_(links.assessment_date.is_(None), links.run_id.in_(runs_of_days)),
        )


@dataclass(frozen=True)
class RunScope:
    """The rows that a run answers for: those of its days, and those of its earlier tries.

    :param days: The days of the run, with those that it looks back to; None for a run without a
        day.
    :param earlier_tries: Ids of the runs that were earlier tries of the same task in the same dag
        run.
    """

    days: Days | None = None
    earlier_tries: Collection[str] = ()

    def has(self, row: LeftRow) -> bool:
        """Return True for a row that the run answers for."""
        return row.run_id in self.earlier_tries or bool(self.days and self.days.have(row.day))

    def of_links(self, tables: Tables) -> ColumnElement[bool]:
        """Build the condition for the status rows that the run answers for."""
        return or_(
            self.days.of_links(tables) if self.days else false(),
            tables.links.c.run_id.in_(sorted(self.earlier_tries)),
        )


def day_of_link(tables: Tables) -> ColumnElement[date | None]:
    """Build the day of a status row, in a query that joins the row's run."""
    return func.coalesce(tables.links.c.assessment_date, tables.runs.c.assessment_date)
