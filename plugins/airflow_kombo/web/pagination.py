"""Keyset pagination: positions in an order of the rows, and the rows beyond a position.

With an offset, the database would count all rows before a page. A key is found by an index.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict
from sqlalchemy import Column, ColumnElement, Row, Table, and_, literal, tuple_

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.exceptions import KomboError
from airflow_kombo.ledger.tables import KEY, TARGET

Sort = Literal["newest", "oldest", "integration"]
"""Orders of the list of rows."""


def _storable(text: str) -> str:
    if "\x00" in text:  # PostgreSQL's text has none, and refuses even to look for one
        raise ValueError("must not hold a NUL")
    return text


Id = Annotated[str, AfterValidator(_storable)]
"""Text of an address, fit for a search in a database."""


class InvalidPositionError(KomboError):
    """Error for an address with an invalid position."""


_Position = TypeVar("_Position")


def token_of(*values: str | None) -> str:
    """Return the values of a position as text for an address."""
    return urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def read_token(token: str, build: Callable[..., _Position]) -> _Position:
    """Build a position from the values in a text.

    :raises InvalidPositionError: if the text is not one that `token_of` made.
    """
    try:
        return build(*json.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4))))
    except (ValueError, TypeError, RecursionError):  # pydantic's error is a ValueError
        raise InvalidPositionError(
            "The position in this address is not valid. Begin at the start of the list."
        ) from None


class PagePosition(BaseModel):
    """Position of a row in an order, as part of an address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    day: date | None
    key: LinkKey

    @property
    def token(self) -> str:
        """Position as text for an address."""
        return token_of(self.day.isoformat() if self.day else None, *self.key)

    @classmethod
    def of(cls, row: Row[Any]) -> PagePosition:
        """Return the position of a row."""
        return cls(day=row.assessment_date, key=LinkKey.of(row))

    @classmethod
    def read(cls, token: str) -> PagePosition:
        """Read the text of a position.

        :raises InvalidPositionError: if the text is not one that `token` made.
        """
        return read_token(token, lambda day, *key: cls(day=day, key=LinkKey(*map(_storable, key))))


@dataclass(frozen=True)
class Part:
    """Part of an order, served by one index.

    :param columns: The columns to order by.
    :param values: A function that returns a position's values of these columns.
    :param descending: True if the highest values come first.
    :param is_here: The condition for the rows of this part.
    :param holds: A function that checks whether a position is in this part.
    :param is_last: True if this part comes after the other part.
    """

    columns: Sequence[Column[Any]]
    values: Callable[[PagePosition], Sequence[Any]]
    descending: bool
    is_here: ColumnElement[bool]
    holds: Callable[[PagePosition], bool]
    is_last: bool = False

    def order(self, *, backwards: bool) -> list[ColumnElement[Any]]:
        """Return the columns to order by, with their direction."""
        descending = self.descending is not backwards
        return [column.desc() if descending else column.asc() for column in self.columns]

    def beyond(
        self, position: PagePosition | None, *, backwards: bool
    ) -> ColumnElement[bool] | None:
        """Build the condition for the rows beyond a position; None if there are none."""
        here = self.is_here
        if position is None:
            return here
        if not self.holds(position):
            return here if self.is_last is not backwards else None
        mine = tuple_(*self.columns)
        given = tuple_(
            *(
                literal(value, column.type)
                for value, column in zip(self.values(position), self.columns, strict=True)
            )
        )
        descending = self.descending is not backwards
        return and_(here, mine < given if descending else mine > given)


def parts_of(links: Table, order: Sort) -> list[Part]:
    """Return the parts of an order; one index serves each part.

    Databases sort empty values differently. So rows without a day are a part of their own, and
    come last in both directions of the order.
    """
    c = links.c
    if order == "integration":
        return [
            Part(
                [c[name] for name in KEY],
                lambda position: position.key,
                descending=False,
                is_here=c.result_id.is_not(None),
                holds=lambda _: True,
            )
        ]
    names = ("result_id", *TARGET)
    rest, descending = [c[name] for name in names], order == "newest"

    def values(position: PagePosition) -> list[str]:
        return [getattr(position.key, name) for name in names]

    return [
        Part(
            [c.assessment_date, *rest],
            lambda position: [position.day, *values(position)],
            descending=descending,
            is_here=c.assessment_date.is_not(None),
            holds=lambda position: position.day is not None,
        ),
        Part(
            rest,
            values,
            descending=descending,
            is_here=c.assessment_date.is_(None),
            holds=lambda position: position.day is None,
            is_last=True,
        ),
    ]
