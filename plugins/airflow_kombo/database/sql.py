"""Write SQL that every database understands: clocks, times and keyset pagination."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

from sqlalchemy import (
    ColumnElement,
    DateTime,
    and_,
    or_,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class utc_now(FunctionElement[datetime]):  # noqa: N801 - a function in SQL
    """The database's clock, in UTC."""

    type = DateTime(timezone=True)
    inherit_cache = True


@compiles(utc_now)
def _utc_now(_element: utc_now, _compiler: object, **_: object) -> str:
    return "CURRENT_TIMESTAMP"


@compiles(utc_now, "sqlite")
def _utc_now_sqlite(_element: utc_now, _compiler: object, **_: object) -> str:
    return "strftime('%Y-%m-%d %H:%M:%f000', 'now')"


def in_utc(moment: datetime) -> datetime:
    """Give a time of ours its zone back, which SQLite cannot store."""
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def beyond(order: Sequence[ColumnElement[str]], after: Sequence[str]) -> ColumnElement[bool]:
    """Say in SQL that any database knows: (a, b, c) > (x, y, z)."""
    steps = [
        and_(
            *(one == value for one, value in zip(order[:place], after[:place], strict=True)),
            order[place] > after[place],
        )
        for place in range(len(order))
    ]
    return and_(order[0] >= after[0], or_(*steps))
