"""Where rows come from: a query in the warehouse; see `task_source` for those of a task.

A source says how many rows each integration has to deliver, and gives them page by page, so that
memory does not grow with the day. A query runs once: its rows wait on the worker's disk, since
integrations need them at their own pace, and the query may be one that takes minutes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from datetime import date, timedelta
from threading import Event
from typing import Any, Final

import sqlparse
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Date,
    Engine,
    Select,
    String,
    Subquery,
    Table,
    and_,
    bindparam,
    case,
    cast,
    column,
    false,
    func,
    literal,
    null,
    or_,
    select,
    text,
)
from sqlalchemy.exc import SQLAlchemyError

from airflow_kombo.database.dialects import dialect_of
from airflow_kombo.database.transactions import (
    begin,
    cancel_statement,
    cause_of,
    is_passing,
    transaction,
)
from airflow_kombo.exceptions import ConfigurationError, LedgerError, RunStoppedError
from airflow_kombo.kombo_api.result_link import RESULT_LINKS
from airflow_kombo.kombo_api.writes import Write
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.rows.other_targets import with_other_targets
from airflow_kombo.rows.row_buffer import RowBuffer, Values
from airflow_kombo.rows.row_keys import OTHER_TARGET, Row, id_of, integration_of
from airflow_kombo.rows.source import FIRST_DAY, LAST_DAY, PAGE_ROWS, Selection, Unmatched
from airflow_kombo.statuses import CHANGED, SENT_AGAIN, SENT_WHEN_CHANGED, Status
from airflow_kombo.suggestions import did_you_mean

_FETCHED: Final = 1_000
"""Rows that the database sends at once."""
_CANCELS: Final = 20
_CANCEL_SECONDS: Final = 0.1
"""How often, and how long each time, the database is told to end the query."""
_IDS_IN_SQL: Final = 1_000
"""Ids in one statement: SQLite takes so many parameters and not more."""
_BLANKS: Final = " \t\n\r\v\f\x1c\x1d\x1e\x1f"
"""What Python takes off an id's ends, as far as every encoding has it."""
_EXACT: Final = 2**53
"""Below it, a float that is whole is the number that was meant."""


class QuerySource:
    """The rows of a query that the ledger does not hold as done.

    :param engine: The warehouse; the ledger's tables are in it.
    :param sql: The query. It may use the parameters that are given, each as `:name`.
    :param parameters: What is bound to them; see `parameters_of`.
    :param default_integration: The integration of rows without one.
    :param write: What is made of the rows.
    :raises ConfigurationError: if the query cannot run, lacks a key column or a parameter.
    """

    def __init__(
        self,
        engine: Engine,
        tables: Tables,
        sql: str,
        parameters: Mapping[str, Any],
        *,
        selection: Selection,
        default_integration: str | None = None,
        page_rows: int = PAGE_ROWS,
        write: Write = RESULT_LINKS,
    ) -> None:
        self.engine = engine
        self.tables = tables
        self.selection = selection
        self.unmatched = Unmatched(selection)
        self.default_integration = default_integration
        self.page_rows = page_rows
        self.write = write
        self.uses: frozenset[str] = frozenset()
        """Which of the parameters the query has."""
        self._reading: Connection | None = None
        self._has_read = Event()
        self._has_read.set()
        self._cancelled = False
        self._rows = self._subquery(sql, parameters)
        self._buffer = self._empty_buffer()
        selection.check(self.columns())

    def columns(self) -> Collection[str]:
        """Give the query's columns."""
        return self._rows.c.keys()

    def plan(self) -> Mapping[str, int]:
        """Read the rows to deliver, and count them by integration.

        :raises ConfigurationError: if there is no room for them.
        """
        self._buffer, counts = self._empty_buffer(), Counter[str]()
        self.unmatched = Unmatched(self.selection)
        open_pages: dict[str, list[Values]] = {}
        names = list(self._rows.c.keys())
        place, result = names.index("integration_id"), names.index("result_id")
        for row, other in self._rows_with_other_targets():
            integration_id = integration_of(
                {"integration_id": row[place]}, self.default_integration
            )
            if not self.unmatched.admit(integration_id, row[result]):
                continue
            counts[integration_id] += 1
            page = open_pages.setdefault(integration_id, [])
            page.append((*row, other) if other else row)
            if len(page) == self.page_rows:
                self._put(integration_id, open_pages.pop(integration_id))
        for integration_id, page in open_pages.items():
            self._put(integration_id, page)
        return counts

    def pages(self, integration_id: str, rows: int) -> Iterator[list[Row]]:
        """Give an integration's planned rows, a page at a time, in the order of their keys."""
        names = self._buffer.columns
        for page in self._buffer.pages(integration_id):
            yield [dict(zip(names, values, strict=False)) for values in page[:rows]]
            rows -= len(page)
            if rows <= 0:
                return

    def _empty_buffer(self) -> RowBuffer:
        """Return a spool for rows; only those with another target have the last column."""
        return RowBuffer([*self._rows.c.keys(), OTHER_TARGET])

    def _rows_with_other_targets(self) -> Iterator[tuple[Values, str | None]]:
        names = list(self._rows.c.keys())
        place = names.index("result_id")
        return with_other_targets(
            self._read(),
            result_of=lambda row: id_of(row[place]),
            row_of=lambda row: dict(zip(names, row, strict=True)),
            default_integration=self.default_integration,
            write=self.write,
        )

    def cancel(self) -> None:
        """End the query, if it runs, and return when it has ended; from any thread."""
        self._cancelled = True
        for _ in range(_CANCELS):  # a statement that has not begun yet does not hear the first one
            if reading := self._reading:
                cancel_statement(reading)
            if self._has_read.wait(_CANCEL_SECONDS):
                return

    def _read(self) -> Iterator[Values]:
        order = [func.coalesce(self._id(name), "") for name in self._order]
        query = self._open(select(*self._rows.c)).order_by(*order)
        with transaction(self.engine, "read the rows", reads_only=True) as connection:
            # A cursor at the server, where there are such: else all rows would be in memory.
            self._has_read.clear()
            self._reading = connection
            try:
                reading = dialect_of(connection).reader(connection, self._types)
                with reading.prepared():
                    result = connection.execution_options(yield_per=_FETCHED).execute(query)
                    for chunk in result.partitions():
                        if self._cancelled:
                            raise RunStoppedError("The run was told to stop while it read rows.")
                        yield from reading.rows(chunk)
            finally:
                self._reading = None
                self._has_read.set()

    def _put(self, integration_id: str, page: list[Values]) -> None:
        try:
            self._buffer.put(integration_id, page)
        except OSError as error:
            raise ConfigurationError(
                "The worker's temporary folder cannot take the rows until they are sent:"
                f" {error.strerror}. Give it room, or set TMPDIR to another."
            ) from None

    def _subquery(self, sql: str, parameters: Mapping[str, Any]) -> Subquery:
        # A comment may hold a colon, or swallow the bracket that will stand behind the query.
        statement = text(sqlparse.format(sql, strip_comments=True).strip().rstrip(";"))
        named = set(statement.compile().params)
        if unknown := sorted(named - parameters.keys()):
            name = unknown[0]
            raise ConfigurationError(
                f"The query has a parameter :{name} that nobody fills"
                f"{did_you_mean(name, parameters)}; known are {', '.join(sorted(parameters))}."
            )
        self.uses = frozenset(named)
        bound = [
            bindparam(name, value, type_=Date() if isinstance(value, date) else None)
            for name, value in parameters.items()
            if name in named
        ]
        statement = statement.bindparams(*bound)
        described = self._describe(select(text("*")).select_from(statement.columns().subquery("r")))
        self._types, columns = described, list(described)
        self._decimals = dialect_of(self.engine).decimals(self.engine, described)
        if lost := [name for name in self.write.key_columns if name not in columns]:
            wanted = "; ".join(f"'{name}'{did_you_mean(name, columns)}" for name in lost)
            raise ConfigurationError(f"The query gives no column {wanted}.")
        return statement.columns(*(column(name) for name in columns)).subquery("r")

    def _describe(self, query: Select[Any]) -> dict[str, object]:
        """Give the query's columns, each with the database driver's word for its type."""
        try:
            with begin(self.engine, reads_only=True) as connection:
                result = connection.execute(query.where(false()))
                names = list(result.keys())
                types = [described[1] for described in result.cursor.description]
        except SQLAlchemyError as error:
            kind = LedgerError if is_passing(error) else ConfigurationError
            raise kind(f"The query for the rows cannot run: {cause_of(error)}") from None
        if doubled := [name for name, times in Counter(names).items() if times > 1]:
            raise ConfigurationError(f"The query gives '{doubled[0]}' twice: name it once.")
        return dict(zip(names, types, strict=True))

    def _open(self, query: Any) -> Any:
        """Leave out what the ledger holds as done; it has the last word when rows are claimed."""
        links = self.tables.links
        open_ = {*SENT_AGAIN, *SENT_WHEN_CHANGED, *self.selection.redeliver}
        if CHANGED in open_:  # which of them have changed shows when they are rendered
            open_ = open_ - {CHANGED} | {Status.SUCCESS}
        if not self.selection.also_done:
            query = query.select_from(self._rows.outerjoin(links, self._is_delivery_of(links)))
            query = query.where(or_(links.c.status.is_(None), links.c.status.in_(sorted(open_))))
        if 0 < len(self.selection.result_ids) <= _IDS_IN_SQL:  # of more, each row is looked at
            query = query.where(self._id("result_id").in_(sorted(self.selection.result_ids)))
        if self.selection.not_before:
            day, first = self._rows.c[LAST_DAY], literal(self.selection.not_before, Date())
            query = query.where(or_(day.is_(None), day >= first))
        return query

    def _is_delivery_of(self, links: Table) -> ColumnElement[bool]:
        ids = {target: self._id(name) for target, name in self.write.targets.items()}
        default = literal(self.default_integration or "")
        return and_(
            links.c.result_id == self._id("result_id"),
            links.c.integration_id == func.coalesce(self._id("integration_id"), default),
            links.c.target_id == func.coalesce(*ids.values(), null()),  # of one, SQLite has none
            links.c.target_type == case(*((id_.is_not(None), of) for of, id_ in ids.items())),
        )

    @property
    def _order(self) -> tuple[str, ...]:
        return ("result_id", *self.write.targets.values())

    def _text(self, name: str) -> ColumnElement[str]:
        """Give an id as the ledger has it, as far as SQL can: `95` for 95.0."""
        column_ = self._rows.c[name]
        text_ = cast(column_, String)
        if name not in self._decimals:
            return text_
        has_point = and_(text_.like("%.%"), text_.not_like("%e%"))
        short = case((has_point, func.rtrim(func.rtrim(text_, "0"), ".")), else_=text_)
        whole = cast(column_, BigInteger)  # or 1e15 would keep its exponent
        as_whole = case((column_ == whole, cast(whole, String)), else_=short)
        number = case((and_(column_ > -_EXACT, column_ < _EXACT), as_whole), else_=short)
        return dialect_of(self.engine).formatted(column_, number, text_)

    def _id(self, name: str) -> ColumnElement[str]:
        return func.nullif(dialect_of(self.engine).trimmed(self._text(name), _BLANKS), "")


def parameters_of(day: date, lookback_days: int = 0) -> dict[str, date]:
    """Give what is bound in a query for the rows of a day, and of so many days before it."""
    return {FIRST_DAY: day - timedelta(days=lookback_days), LAST_DAY: day}


def rows_of_day(engine: Engine, table: str) -> str:
    """Give the query for the rows of a run in a table, or a view, that has our column names."""
    quoted = ".".join(map(engine.dialect.identifier_preparer.quote, table.split(".")))
    days = f"assessment_date BETWEEN :{FIRST_DAY} AND :{LAST_DAY}"
    return f"SELECT * FROM {quoted} WHERE {days}"  # noqa: S608 - quoted
