"""A table of ours in any warehouse, by plain SQL without keys and transactions.

All dates and times are given as text, because drivers do not agree on them: SQL Server's cuts
microseconds off, and BigQuery's writes a date without quotes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import copy
from datetime import date, datetime, timezone
from typing import Any, Final

from sqlalchemy import Table, TextClause, bindparam, text

from airflow_kombo.database.dialects.columns import written_columns
from airflow_kombo.database.hook_database import HookConnection
from airflow_kombo.database.sql import in_utc
from airflow_kombo.database.warehouse_kinds import JsonOfKind, WarehouseKind

MOST_ROWS: Final = 1_000
"""Most rows of one INSERT: SQL Server takes no more, and larger ones are hardly faster."""
MOST_OCTETS: Final = 400_000
"""Octets of the values in one INSERT. BigQuery, Snowflake and Databricks end at about a million,
and quotes and escapes come on top."""

_PLAIN: Final = frozenset({str, int})


class WarehouseTable:
    """A table with the columns of one of the ledger's tables, without derived ones.

    :param table: The ledger's table.
    """

    def __init__(self, table: Table, kind: WarehouseKind) -> None:
        self.name = table.fullname
        self.columns: Mapping[str, str] = {
            column.name: kind.type_of(column.type) for column in written_columns(table)
        }
        self._kind = kind

    def without(self, names: Collection[str]) -> WarehouseTable:
        """Return the table without some last columns, for an older version's table."""
        shorter = copy(self)
        shorter.columns = {name: self.columns[name] for name in self.columns if name not in names}
        return shorter

    @property
    def create(self) -> TextClause:
        """Build the statement that creates the table unless there is one."""
        columns = ",\n".join(f"    {name} {kind}" for name, kind in self.columns.items())
        return text(self._kind.create.format(table=self.name, columns=columns))

    @property
    def look(self) -> TextClause:
        """Build the query that returns the columns of the table, and no row."""
        return text(f"SELECT * FROM {self.name} WHERE 1 = 0")  # noqa: S608 - a name of the user's

    def latest(self, column: str, until: datetime | None = None) -> TextClause:
        """Build the query for the latest time in a column, up to a time."""
        query = f"SELECT max({column}) FROM {self.name}"  # noqa: S608 - names only
        if until is None:
            return text(query)
        query = f"{query} WHERE {column} <= {self._moment('until')}"
        return text(query).bindparams(until=self.text_of(until))

    def between(
        self, columns: Sequence[str], by: str, first: datetime, last: datetime
    ) -> TextClause:
        """Build the query for some columns of the rows between two times, the latest rows first."""
        query = (
            f"SELECT {', '.join(columns)} FROM {self.name}"  # noqa: S608 - names only
            f" WHERE {by} >= {self._moment('first')} AND {by} <= {self._moment('last')}"
            f" ORDER BY {by} DESC"
        )
        return text(query).bindparams(first=self.text_of(first), last=self.text_of(last))

    def delete(self, column: str, values: Sequence[str]) -> TextClause:
        """Build the statement that deletes the rows with one of some texts in a column."""
        if self._kind.json:
            found = self._kind.json.contains.format(column=column)
            statement = text(f"DELETE FROM {self.name} WHERE {found}")  # noqa: S608 - names only
            return statement.bindparams(given=json.dumps(list(values)))
        statement = text(f"DELETE FROM {self.name} WHERE {column} IN :given")  # noqa: S608
        return statement.bindparams(bindparam("given", list(values), expanding=True))

    def insert(self, connection: HookConnection, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows, with as few statements as the warehouse takes.

        :param rows: Their values in the order of the columns. Further values are left out.
        """
        width = len(self.columns)
        for part in self._parts([[*map(self.text_of, row[:width])] for row in rows]):
            if self._kind.json:
                connection.execute(self._insert_json(self._kind.json, part))
            else:
                connection.insert(self.name, list(self.columns), part)

    def text_of(self, value: Any) -> Any:
        """Return a value for a parameter: an integer, a text or NULL."""
        if value is None or type(value) in _PLAIN:  # most values are
            return value
        if isinstance(value, datetime):
            moment = in_utc(value).astimezone(timezone.utc)
            plain = moment.replace(tzinfo=None).isoformat(" ", "microseconds")
            return f"{plain}+00:00" if self._kind.has_zone else plain
        if isinstance(value, date):
            return value.isoformat()
        if isinstance(value, list | dict):
            return json.dumps(value, ensure_ascii=False)
        return value

    def _moment(self, parameter: str) -> str:
        return f"CAST(:{parameter} AS {self._kind.moment})"

    def _parts(self, rows: Sequence[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
        """Split rows for the limits of one statement."""
        most = min(MOST_ROWS, self._kind.most_parameters // len(self.columns))
        if self._kind.json:  # all rows are one parameter
            most = MOST_ROWS
        part: list[Sequence[Any]] = []
        octets = 0
        for row in rows:
            size = len("".join([value for value in row if isinstance(value, str)]).encode())
            if part and (len(part) == most or octets + size > MOST_OCTETS):
                yield part
                part, octets = [], 0
            part.append(row)
            octets += size
        if part:
            yield part

    def _insert_json(self, reads: JsonOfKind, rows: Sequence[Sequence[Any]]) -> TextClause:
        """Build the INSERT of rows in one parameter."""
        numbers = {name for name, kind in self.columns.items() if kind == self._kind.integer}
        fields = ", ".join(
            reads.field.format(
                name=name, type=self._kind.integer if name in numbers else self._kind.text
            )
            for name in self.columns
        )
        values = ", ".join(f"CAST({name} AS {kind})" for name, kind in self.columns.items())
        statement = text(
            f"INSERT INTO {self.name} ({', '.join(self.columns)})"  # noqa: S608 - names only
            f" SELECT {values} FROM {reads.rows.format(fields=fields)}"
        )
        given = [dict(zip(self.columns, row, strict=True)) for row in rows]
        return statement.bindparams(given=json.dumps(given, ensure_ascii=False))


def moment_of(value: Any) -> datetime:
    """Return a time as a driver gave it: BigQuery's hook gives seconds, SQLite a text."""
    if isinstance(value, datetime):
        return in_utc(value)
    if isinstance(value, str):
        return in_utc(datetime.fromisoformat(value))
    return datetime.fromtimestamp(value, timezone.utc)
