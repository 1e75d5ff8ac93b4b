"""Indexes for some databases only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from airflow_kombo.database.dialects import dialect_named

if TYPE_CHECKING:
    from sqlalchemy import Dialect, Index

_CONDITION: Final = "made_if"
"""Key of `Index.info`: the function that decides about the index, as SQLAlchemy keeps none."""


def where_indexes_may_be_partial(index: Index) -> Index:
    """Make an index only on a database with indexes on some rows of a table."""
    index.info[_CONDITION] = _may_be_partial
    return index.ddl_if(callable_=_may_be_partial)


def where_indexes_are_never_partial(index: Index) -> Index:
    """Make an index only on a database without indexes on some rows of a table."""
    index.info[_CONDITION] = _are_never_partial
    return index.ddl_if(callable_=_are_never_partial)


def is_made_on(index: Index, dialect: Dialect) -> bool:
    """Return True if a database of the dialect has the index."""
    condition = index.info.get(_CONDITION)
    return condition is None or condition(dialect=dialect)


def _may_be_partial(*_: object, dialect: Dialect, **__: object) -> bool:
    return dialect_named(dialect.name).has_partial_indexes


def _are_never_partial(*_: object, dialect: Dialect, **__: object) -> bool:
    return not dialect_named(dialect.name).has_partial_indexes
