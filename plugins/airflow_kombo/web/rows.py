"""Rows of the status table: search, filters, pages, and the history of one row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    false,
    func,
    or_,
    select,
)

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.statuses import UNDELIVERED, Status
from airflow_kombo.web.database import Warehouse
from airflow_kombo.web.lookups import columns_of, distinct_of, left_out_at, target_types_of
from airflow_kombo.web.pagination import PagePosition, Sort, parts_of
from airflow_kombo.web.row_counts import has_status
from airflow_kombo.web.row_filter import RowFilter, UnknownFilter
from airflow_kombo.web.schedules import DeliveringTask

PAGE_ROWS: Final = 50
"""Number of rows on one page of the list."""
BATCH_ROWS: Final = 1_000
"""Number of rows in one batch of an export."""
COLUMNS: Final = (
    "assessment_date",
    *KEY,
    "status",
    "error_code",
    "error_title",
    "error_message",
    "warnings",
    "http_status",
    "log_url",
    "attempts",
    "first_sent_at",
    "updated_at",
    "run_id",
    "left_out_by",
    "left_out_at",
    "left_out_reason",
)
"""Columns of a row on the page and in an export."""


@dataclass(frozen=True)
class Page:
    """Some rows of the list.

    :param before: The position to read the page before from; None if this page is the first.
    :param after: The position to read the next page from; None if this page is the last.
    """

    rows: Sequence[Row[Any]]
    before: str | None
    after: str | None


class Rows:
    """Rows of one write's tables.

    :param connection: A connection that reads the warehouse.
    :param tables: The tables of the write that is shown.
    """

    def __init__(self, connection: Connection, tables: Tables) -> None:
        self._connection = connection
        self._tables = tables
        self._links = tables.links.c

    @cached_property
    def _columns(self) -> list[ColumnElement[Any]]:
        """Return the columns to show; NULL for those that an older version's table lacks."""
        found = columns_of(self._connection, self._tables.links)
        by_name = {column.name: column for column in found}
        return [by_name[name] for name in COLUMNS]

    def page(self, row_filter: RowFilter, size: int = PAGE_ROWS) -> Page:
        """Read a page.

        :param size: The most rows on the page.
        :raises InvalidPositionError: if the position in the address is not valid.
        """
        where = self._where(row_filter)
        backwards = row_filter.before is not None and row_filter.after is None
        token = row_filter.before if backwards else row_filter.after
        position = PagePosition.read(token) if token else None
        found = self._from(where, row_filter.sort, position, size + 1, backwards=backwards)
        more, rows = len(found) > size, found[:size]
        if backwards:
            rows = rows[::-1]
        has_before, has_after = (more, True) if backwards else (token is not None, more)
        return Page(
            rows,
            before=PagePosition.of(rows[0]).token if rows and has_before else None,
            after=PagePosition.of(rows[-1]).token if rows and has_after else None,
        )

    def _from(
        self,
        where: ColumnElement[bool],
        order: Sort,
        position: PagePosition | None,
        size: int,
        *,
        backwards: bool,
    ) -> list[Row[Any]]:
        """Read rows beyond a position; rows without a day come last, or first going backwards."""
        rows: list[Row[Any]] = []
        parts = parts_of(self._tables.links, order)
        for part in reversed(parts) if backwards else parts:
            beyond = part.beyond(position, backwards=backwards)
            if beyond is None or len(rows) == size:
                continue
            query = select(*self._columns).where(where, beyond)
            query = query.order_by(*part.order(backwards=backwards)).limit(size - len(rows))
            rows += self._connection.execute(query).all()
        return rows

    def _where(self, row_filter: RowFilter) -> ColumnElement[bool]:
        links, conditions = self._links, []
        if row_filter.q:
            conditions.append(self._search(row_filter.q))
        if row_filter.status:
            conditions.append(has_status(self._connection, self._tables, [row_filter.status]))
        elif row_filter.error_code:  # only undelivered rows have one, and their index is small
            conditions.append(has_status(self._connection, self._tables, UNDELIVERED))
        if row_filter.error_code:
            conditions.append(links.error_code == row_filter.error_code)
        conditions += days_of(links.assessment_date, row_filter)
        if row_filter.integration:
            conditions.append(links.integration_id == row_filter.integration)
        if row_filter.left_out:
            since = left_out_at(self._connection, self._tables)
            is_left_out = row_filter.left_out == "yes"
            conditions.append(since.is_not(None) if is_left_out else since.is_(None))
        if row_filter.dag_run_id:
            conditions.append(links.run_id.in_(self._runs_of(row_filter)))
        return and_(*conditions) if conditions else links.result_id.is_not(None)

    def _search(self, text: str) -> ColumnElement[bool]:
        """Build the condition for an id.

        The indexes of these ids begin with other columns, which have few values: naming all of
        those values lets the database use the indexes.
        """
        links = self._links
        integrations = self.integrations()
        if text in integrations:
            return links.integration_id == text
        days = distinct_of(self._connection, links.assessment_date)
        return or_(
            and_(links.assessment_date.in_(days), links.result_id == text) if days else false(),
            and_(links.assessment_date.is_(None), links.result_id == text),
            and_(
                links.integration_id.in_(integrations),
                links.target_type.in_(target_types_of(self._connection, self._tables.links)),
                links.target_id == text,
            ),
        )

    def _runs_of(self, row_filter: RowFilter) -> list[str]:
        runs = self._tables.runs.c
        named = {name: getattr(row_filter, name) for name in ("dag_id", "task_id", "map_index")}
        query = select(runs.run_id).where(
            runs.dag_run_id == row_filter.dag_run_id,
            *(runs[name] == value for name, value in named.items() if value is not None),
        )
        return list(self._connection.execute(query).scalars())

    def integrations(self) -> list[str]:
        """Return the integrations of all rows."""
        return distinct_of(self._connection, self._links.integration_id)

    def batch(self, row_filter: RowFilter, after: str | None) -> Page:
        """Read the batch of an export after a position."""
        return self.page(row_filter.model_copy(update={"after": after, "before": None}), BATCH_ROWS)

    def one(self, key: LinkKey) -> Row[Any] | None:
        """Return one row, or None if there is no such row."""
        links = self._links
        query = select(*self._columns).where(
            *(links[name] == value for name, value in key.columns.items())
        )
        return self._connection.execute(query).first()

    def tasks_of(self, rows: Sequence[Row[Any]]) -> dict[str, DeliveringTask]:
        """Return the tasks of the last runs of rows, by `run_id`, as far as recorded."""
        runs, run_ids = self._tables.runs.c, sorted({row.run_id for row in rows})
        query = select(runs.run_id, runs.dag_id, runs.task_id).where(runs.run_id.in_(run_ids))
        found = self._connection.execute(query)
        return {run.run_id: DeliveringTask(run.dag_id, run.task_id) for run in found}

    def history(self, key: LinkKey) -> Sequence[Row[Any]]:
        """Return a row's attempts with their tasks, newest first.

        An attempt without an outcome is `sending`.
        """
        attempts, runs = self._tables.attempts, self._tables.runs
        task = ("dag_id", "dag_run_id", "task_id", "map_index", "try_number")
        status = func.coalesce(attempts.c.status, Status.SENDING.value).label("status")
        columns = [
            status if column.name == "status" else column
            for column in columns_of(self._connection, attempts)
        ]
        query: Select[Any] = (
            select(*columns, *(runs.c[name] for name in task))
            .select_from(attempts.outerjoin(runs, runs.c.run_id == attempts.c.run_id))
            .where(*(attempts.c[name] == value for name, value in key.columns.items()))
            .order_by(attempts.c.attempt.desc())
        )
        return self._connection.execute(query).all()


def days_of(column: ColumnElement[Any], chosen: RowFilter | UnknownFilter) -> list[Any]:
    """Build the conditions for the days of a filter."""
    conditions = []
    if chosen.day:
        conditions.append(column == chosen.day)
    if chosen.since:
        conditions.append(column >= chosen.since)
    if chosen.until:
        conditions.append(column <= chosen.until)
    return conditions


def batches(row_filter: RowFilter, warehouse: Warehouse) -> Iterator[Sequence[Row[Any]]]:
    """Yield all matching rows, each batch read in one transaction.

    :raises LedgerError: if the warehouse cannot be read.
    """
    after: str | None = None
    while True:
        with warehouse.reading() as connection:
            batch = Rows(connection, warehouse.tables).batch(row_filter, after)
        yield batch.rows
        if batch.after is None:
            return
        after = batch.after
