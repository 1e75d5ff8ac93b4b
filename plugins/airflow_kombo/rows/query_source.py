"""Rows of a query in the warehouse. `task_source` has the rows of an upstream task.

The rows are read through a cursor at the server, so memory does not grow with the day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    Engine,
    Select,
    Table,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    true,
)

from airflow_kombo.database.dialects import dialect_of
from airflow_kombo.kombo_api.result_link import RESULT_LINKS
from airflow_kombo.kombo_api.writes import Write
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.rows.described_query import describe
from airflow_kombo.rows.frames import frame_of
from airflow_kombo.rows.integration_counts import (
    IntegrationCount,
    count_by_integration,
    counted,
)
from airflow_kombo.rows.query_reader import QueryReader
from airflow_kombo.rows.source import FIRST_DAY, LAST_DAY, Selection

if TYPE_CHECKING:
    from pandas import DataFrame

_IDS: Final = 1_000
"""Most ids in one statement: SQLite's limit for parameters."""
_BLANKS: Final = " \t\n\r\v\f\x1c\x1d\x1e\x1f"
"""Characters that Python strips from an id and that every encoding has."""
_EXACT: Final = 2**53
"""Limit of exact whole numbers in a float."""


class QuerySource:
    """Rows of a query in a database that this project knows.

    :param engine: The warehouse.
    :param tables: The ledger's tables, if they are in the warehouse: then SQL leaves out the rows
        with a done status. None if the ledger is elsewhere, or if the rows get their keys later.
    :param sql: The query; each parameter is written as `:name`.
    :param parameters: Values to bind; see `parameters_of`.
    :param selection: The rows that the run wants.
    :param default_integration: The integration of rows without one.
    :param write: The write that sends the rows.
    :param has_keys: False if the rows get their keys later.
    :raises ConfigurationError: if the query cannot run, or lacks a key column or a parameter.
    """

    def __init__(
        self,
        engine: Engine,
        tables: Tables | None,
        sql: str,
        parameters: Mapping[str, Any],
        *,
        selection: Selection,
        default_integration: str | None = None,
        write: Write = RESULT_LINKS,
        has_keys: bool = True,
    ) -> None:
        self.engine = engine
        self.tables = tables
        self.selection = selection
        self.default_integration = default_integration
        self.write = write
        query = describe(engine, sql, parameters, write.key_columns if tables is not None else ())
        self.uses = query.uses
        self._rows = query.rows
        self._decimals = dialect_of(engine).decimals(engine, query.types)
        self._reader = QueryReader(engine, query.types)
        text_type = query.types.get("integration_id")
        self._counter = QueryReader(engine, dict.fromkeys(IntegrationCount._fields, text_type))
        self.divides = has_keys and "integration_id" in query.types
        """True if the query itself leaves out the rows of other shards."""
        if tables is not None:
            selection.check(self.columns())

    def columns(self) -> list[str]:
        """Return the query's columns."""
        return list(self._rows.c.keys())

    def chunks(self) -> Iterator[DataFrame]:
        """Run the query, and yield the rows.

        Where SQL leaves out what is done, they come in the order of their results.
        """
        query = select(*self._rows.c)
        if self.tables is not None:
            query = self._open(query, self.tables.links).order_by(*self._order)
        if self.divides:
            query = query.where(self._is_in_shard)
        for rows in self._reader.chunks(query):
            yield frame_of(rows, self.columns())

    def counts(self) -> list[IntegrationCount] | None:
        """Count the rows by integration, with one query, whatever their shard.

        :returns: None where SQL does not leave out what is done: the rows have to be read.
        :raises LedgerError: if the database fails.
        :raises RunStoppedError: if the query was cancelled.
        """
        if self.tables is None:
            return None
        keys: Any = select(
            self._integration.label("integration_id"), self._id("result_id").label("result_id")
        )
        query = count_by_integration(self._open(keys, self.tables.links))
        return counted(row for rows in self._counter.chunks(query) for row in rows)

    def cancel(self) -> None:
        """Cancel a running query and wait until the end; any thread may call this."""
        for reader in (self._counter, self._reader):
            reader.cancel()

    def _open(self, query: Select[Any], links: Table) -> Select[Any]:
        """Exclude rows with a done status in the ledger.

        The claim checks each row again before sending.
        """
        if not self.selection.also_done:
            open_ = links.c.status.in_(sorted(self.selection.open_statuses))
            query = query.select_from(self._rows.outerjoin(links, self._is_delivery_of(links)))
            query = query.where(or_(links.c.status.is_(None), open_))
        if 0 < len(self.selection.result_ids) <= _IDS:  # more ids are compared in Python
            query = query.where(self._id("result_id").in_(sorted(self.selection.result_ids)))
        if self.selection.not_before:
            day, first = self._rows.c[LAST_DAY], literal(self.selection.not_before, Date())
            query = query.where(or_(day.is_(None), day >= first))
        return query

    @property
    def _is_in_shard(self) -> ColumnElement[bool]:
        shard = self.selection.shard
        if shard.is_whole:
            return true()
        ids = sorted(shard.integration_ids)
        return self._integration.not_in(ids) if shard.is_rest else self._integration.in_(ids)

    def _is_delivery_of(self, links: Table) -> ColumnElement[bool]:
        ids = {target: self._id(name) for target, name in self.write.targets.items()}
        return and_(
            links.c.result_id == self._id("result_id"),
            links.c.integration_id == self._integration,
            links.c.target_id == func.coalesce(*ids.values(), null()),  # SQLite needs two
            links.c.target_type == case(*((id_.is_not(None), of) for of, id_ in ids.items())),
        )

    @property
    def _integration(self) -> ColumnElement[str]:
        default = literal(self.default_integration or "")
        return func.coalesce(self._id("integration_id"), default)

    @property
    def _order(self) -> list[ColumnElement[str]]:
        names = ("result_id", *self.write.targets.values())
        return [func.coalesce(self._id(name), "") for name in names]

    def _text(self, name: str) -> ColumnElement[str]:
        """Return an id as the ledger's text, as far as SQL can: `95` for 95.0."""
        column_ = self._rows.c[name]
        dialect = dialect_of(self.engine)
        text_ = dialect.as_text(column_)
        if name not in self._decimals:
            return text_
        has_point = and_(text_.like("%.%"), text_.not_like("%e%"))
        no_zeros = dialect.without_end(text_, "0")
        short = case((has_point, dialect.without_end(no_zeros, ".")), else_=text_)
        whole = cast(column_, BigInteger)  # without it, 1e15 would keep its exponent
        as_whole = case((column_ == whole, dialect.as_text(whole)), else_=short)
        number = case((and_(column_ > -_EXACT, column_ < _EXACT), as_whole), else_=short)
        return dialect.formatted(column_, number, text_)

    def _id(self, name: str) -> ColumnElement[str]:
        return func.nullif(dialect_of(self.engine).trimmed(self._text(name), _BLANKS), "")


def parameters_of(day: date, lookback_days: int = 0) -> dict[str, date]:
    """Return the parameters of a query for one day and a number of days before."""
    return {FIRST_DAY: day - timedelta(days=lookback_days), LAST_DAY: day}


def rows_of_day(table: str, quote: Callable[[str], str]) -> str:
    """Build the query for a run's rows in a table or view with our column names.

    :param quote: The function that quotes a name for the database.
    """
    quoted = ".".join(map(quote, table.split(".")))
    days = f"assessment_date BETWEEN :{FIRST_DAY} AND :{LAST_DAY}"
    return f"SELECT * FROM {quoted} WHERE {days}"  # noqa: S608 - quoted
