"""Paging by key: a place in an order of the rows, and what lies beyond it.

An offset would make the database count all rows before a page; a key is looked up.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict
from sqlalchemy import Column, ColumnElement, Row, Table, and_, literal, tuple_

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.exceptions import KomboError
from airflow_kombo.ledger.tables import KEY, TARGET

Sort = Literal["newest", "oldest", "integration"]
"""How rows are sorted."""


def _storable(text: str) -> str:
    if "\x00" in text:  # PostgreSQL's text has none, and refuses even to look for one
        raise ValueError("must not hold a NUL")
    return text


Id = Annotated[str, AfterValidator(_storable)]
"""A text of an address that may be looked for in a database."""


class InvalidPositionError(KomboError):
    """An address names a place in the list that cannot be read."""


class PagePosition(BaseModel):
    """A row's place in an order, as a page's address has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    day: date | None
    key: LinkKey

    @property
    def token(self) -> str:
        """It, as an address may hold it."""
        packed = json.dumps([self.day and self.day.isoformat(), *self.key])
        return urlsafe_b64encode(packed.encode()).decode().rstrip("=")

    @classmethod
    def of(cls, row: Row[Any]) -> PagePosition:
        """Give a row's place."""
        return cls(day=row.assessment_date, key=LinkKey.of(row))

    @classmethod
    def read(cls, token: str) -> PagePosition:
        """Read a token.

        :raises NoPlaceError: if it is none of ours.
        """
        try:
            day, *key = json.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
            return cls(day=day, key=LinkKey(*map(_storable, key)))
        except (ValueError, TypeError, RecursionError):  # pydantic's error is a ValueError
            raise InvalidPositionError(
                "This address names a place in the list that cannot be read: begin at its start."
            ) from None


@dataclass(frozen=True)
class Part:
    """A part of an order that one index has in this order.

    :param values: Gives a place's values of these columns.
    :param is_here: The rows that it consists of; `holds` says so of a place.
    :param is_last: Whether it comes after the other part.
    """

    columns: Sequence[Column[Any]]
    values: Callable[[PagePosition], Sequence[Any]]
    descending: bool
    is_here: ColumnElement[bool]
    holds: Callable[[PagePosition], bool]
    is_last: bool = False

    def order(self, *, backwards: bool) -> list[ColumnElement[Any]]:
        """Give the columns to order by."""
        descending = self.descending is not backwards
        return [column.desc() if descending else column.asc() for column in self.columns]

    def beyond(self, place: PagePosition | None, *, backwards: bool) -> ColumnElement[bool] | None:
        """Say which of its rows lie beyond a place; None if the place has passed all of them."""
        here = self.is_here
        if place is None:
            return here
        if not self.holds(place):
            return here if self.is_last is not backwards else None
        mine = tuple_(*self.columns)
        given = tuple_(
            *(
                literal(value, column.type)
                for value, column in zip(self.values(place), self.columns, strict=True)
            )
        )
        descending = self.descending is not backwards
        return and_(here, mine < given if descending else mine > given)


def parts_of(links: Table, order: Sort) -> list[Part]:
    """Give the parts of an order, of which each is one walk along an index.

    A row without a day has no place among the days, and databases differ on where an empty value
    sorts: those rows are a part of their own, the last one.
    """
    c = links.c
    if order == "integration":
        return [
            Part(
                [c[name] for name in KEY],
                lambda place: place.key,
                descending=False,
                is_here=c.result_id.is_not(None),
                holds=lambda _: True,
            )
        ]
    rest, descending = [c.result_id, *(c[name] for name in TARGET)], order == "newest"
    return [
        Part(
            [c.assessment_date, *rest],
            lambda place: (place.day, place.key.result_id, *place.key.target),
            descending=descending,
            is_here=c.assessment_date.is_not(None),
            holds=lambda place: place.day is not None,
        ),
        Part(
            rest,
            lambda place: (place.key.result_id, *place.key.target),
            descending=descending,
            is_here=c.assessment_date.is_(None),
            holds=lambda place: place.day is None,
            is_last=True,
        ),
    ]
