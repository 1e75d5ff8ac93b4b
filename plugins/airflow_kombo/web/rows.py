"""The rows of the status table: searched, filtered, in pages by key, and the history of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    and_,
    false,
    func,
    inspect,
    null,
    or_,
    select,
)

from airflow_kombo.delivery_key import LinkKey, TargetType
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.statuses import Status
from airflow_kombo.web.pagination import Id, PagePosition, Sort, parts_of

PAGE_ROWS: Final = 50
"""Rows of one page of the list."""
BATCH_ROWS: Final = 1_000
"""Rows that an export holds at once."""
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
)
"""What is shown and exported of a row."""


def _none_if_empty(value: object) -> object:
    return value.strip() or None if isinstance(value, str) else value


_Text = Annotated[Id | None, BeforeValidator(_none_if_empty)]
_MapIndex = Annotated[int, Field(ge=-1, lt=2**31)]
"""What the column of a task's map index holds."""


class RowFilter(BaseModel):
    """Which rows; all conditions that are given have to hold.

    :param q: A result's, a candidate's or application's, or an integration's id.
    :param dag_id: With the next three: rows that this task wrote last.
    :param after: A page's end, after which the next one begins; `before`: the other way round.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    q: _Text = None
    status: Annotated[Status | None, BeforeValidator(_none_if_empty)] = None
    day: Annotated[date | None, BeforeValidator(_none_if_empty)] = None
    error_code: _Text = None
    integration: _Text = None
    dag_id: _Text = None
    dag_run_id: _Text = None
    task_id: _Text = None
    map_index: Annotated[_MapIndex | None, BeforeValidator(_none_if_empty)] = None
    sort: Sort = "newest"
    after: _Text = None
    before: _Text = None

    @property
    def conditions(self) -> dict[str, str]:
        """What was asked for, as an address says it; without the place in the list."""
        given = self.model_dump(mode="json", exclude={"after", "before"}, exclude_defaults=True)
        return {name: str(value) for name, value in given.items()}


@dataclass(frozen=True)
class Page:
    """Some rows, and where those before and after them begin (None: there are no such rows)."""

    rows: Sequence[Row[Any]]
    before: str | None
    after: str | None


class Rows:
    """The rows, over one connection."""

    def __init__(self, connection: Connection, tables: Tables) -> None:
        self._connection = connection
        self._tables = tables
        self._links = tables.links.c

    def page(self, asked: RowFilter, size: int = PAGE_ROWS) -> Page:
        """Give a page.

        :raises NoPlaceError: if the address's place in the list cannot be read.
        """
        where = self._where(asked)
        backwards = asked.before is not None and asked.after is None
        token = asked.before if backwards else asked.after
        place = PagePosition.read(token) if token else None
        found = self._from(where, asked.sort, place, size + 1, backwards=backwards)
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
        place: PagePosition | None,
        size: int,
        *,
        backwards: bool,
    ) -> list[Row[Any]]:
        """Give rows beyond a place; rows without a day come last, or first going backwards."""
        rows: list[Row[Any]] = []
        parts = parts_of(self._tables.links, order)
        for part in reversed(parts) if backwards else parts:
            beyond = part.beyond(place, backwards=backwards)
            if beyond is None or len(rows) == size:
                continue
            query = select(*(self._links[name] for name in COLUMNS)).where(where, beyond)
            query = query.order_by(*part.order(backwards=backwards)).limit(size - len(rows))
            rows += self._connection.execute(query).all()
        return rows

    def _where(self, asked: RowFilter) -> ColumnElement[bool]:
        links, conditions = self._links, []
        if asked.q:
            conditions.append(self._search(asked.q))
        if asked.status:
            conditions.append(links.status == asked.status.value)
        elif asked.error_code:  # none of these has one, and the index of the others is small
            delivered = {Status.SUCCESS, Status.SENDING}
            conditions.append(links.status.in_([s.value for s in Status if s not in delivered]))
        if asked.error_code:
            conditions.append(links.error_code == asked.error_code)
        if asked.day:
            conditions.append(links.assessment_date == asked.day)
        if asked.integration:
            conditions.append(links.integration_id == asked.integration)
        if asked.dag_run_id:
            conditions.append(links.run_id.in_(self._runs_of(asked)))
        return and_(*conditions) if conditions else links.result_id.is_not(None)

    def _search(self, text: str) -> ColumnElement[bool]:
        """Look an id up by two indexes that begin with something else, of which there is little."""
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
                links.target_type.in_([kind.value for kind in TargetType]),
                links.target_id == text,
            ),
        )

    def _runs_of(self, asked: RowFilter) -> list[str]:
        runs = self._tables.runs.c
        named = {name: getattr(asked, name) for name in ("dag_id", "task_id", "map_index")}
        query = select(runs.run_id).where(
            runs.dag_run_id == asked.dag_run_id,
            *(runs[name] == value for name, value in named.items() if value is not None),
        )
        return list(self._connection.execute(query).scalars())

    def integrations(self) -> list[str]:
        """Give all integrations that ever had a row."""
        return distinct_of(self._connection, self._links.integration_id)

    def batch(self, asked: RowFilter, after: str | None) -> Page:
        """Give the rows after a place, many at once, and where the next of them begin."""
        return self.page(asked.model_copy(update={"after": after, "before": None}), BATCH_ROWS)

    def one(self, key: LinkKey) -> Row[Any] | None:
        """Give one row, or None."""
        links = self._links
        query = select(*(links[name] for name in COLUMNS)).where(
            *(links[name] == value for name, value in key.columns.items())
        )
        return self._connection.execute(query).first()

    def history(self, key: LinkKey) -> Sequence[Row[Any]]:
        """Give a row's attempts, newest first, each with the task that made it."""
        attempts, runs = self._tables.attempts, self._tables.runs
        told = ("dag_id", "dag_run_id", "task_id", "map_index", "try_number")
        query: Select[Any] = (
            select(*columns_of(self._connection, attempts), *(runs.c[name] for name in told))
            .select_from(attempts.outerjoin(runs, runs.c.run_id == attempts.c.run_id))
            .where(*(attempts.c[name] == value for name, value in key.columns.items()))
            .order_by(attempts.c.attempt.desc())
        )
        return self._connection.execute(query).all()


def columns_of(connection: Connection, table: Table) -> list[ColumnElement[Any]]:
    """Return a table's columns, empty where an older version made it without them."""
    known = inspect(connection).get_columns(table.name, table.schema)
    have = {column["name"] for column in known}
    return [
        column if column.name in have else null().label(column.name) for column in table.columns
    ]


def distinct_of(connection: Connection, column: Column[Any]) -> list[Any]:
    """Give a column's values, of which there are few, by as many looks into its index."""
    values = select(func.min(column).label("value")).cte("few", recursive=True)
    following = (
        select(func.min(column)).where(column > values.c.value).correlate(values).scalar_subquery()
    )
    values = values.union_all(select(following).where(values.c.value.is_not(None)))
    query = select(values.c.value).where(values.c.value.is_not(None))
    return list(connection.execute(query).scalars())
