"""SQL for every database: clocks, times and keyset pagination."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, DateTime, and_, func, or_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from airflow_kombo.database.dialects import dialect_of

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import SQLCompiler


class utc_now(FunctionElement[datetime]):  # noqa: N801 - a function in SQL
    """The database's clock, in UTC."""

    type = DateTime(timezone=True)
    inherit_cache = True


@compiles(utc_now)
def _utc_now(_element: utc_now, compiler: SQLCompiler, **_: object) -> str:
    return dialect_of(compiler).now


def in_utc(moment: datetime) -> datetime:
    """Return a time with the zone UTC: SQLite stores none."""
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def without_index(text: ColumnElement[str]) -> ColumnElement[str]:
    """Return a column of texts for a condition that no index serves.

    A table that grows from nothing has no statistics. PostgreSQL would find one row by an index
    with many equal values, instead of by the key.
    """
    return func.coalesce(text, "")


def beyond(order: Sequence[ColumnElement[str]], after: Sequence[str]) -> ColumnElement[bool]:
    """Build the condition (a, b, c) > (x, y, z) from comparisons of single columns."""
    steps = [
        and_(
            *(one == value for one, value in zip(order[:place], after[:place], strict=True)),
            order[place] > after[place],
        )
        for place in range(len(order))
    ]
    return and_(order[0] >= after[0], or_(*steps))
