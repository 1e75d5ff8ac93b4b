"""Indexes for some databases only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_kombo.database.dialects import dialect_named

if TYPE_CHECKING:
    from sqlalchemy import Dialect, Index


def where_indexes_may_be_partial(index: Index) -> Index:
    """Make an index only on a database with indexes on some rows of a table."""
    return index.ddl_if(callable_=_may_be_partial)


def where_indexes_are_never_partial(index: Index) -> Index:
    """Make an index only on a database without indexes on some rows of a table."""
    return index.ddl_if(callable_=_are_never_partial)


def _may_be_partial(*_: object, dialect: Dialect, **__: object) -> bool:
    return dialect_named(dialect.name).has_partial_indexes


def _are_never_partial(*_: object, dialect: Dialect, **__: object) -> bool:
    return not dialect_named(dialect.name).has_partial_indexes
