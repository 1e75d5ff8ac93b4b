"""Queries that need one index look-up a value, and columns of older tables."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    CTE,
    Column,
    ColumnElement,
    Connection,
    ScalarSelect,
    Table,
    func,
    inspect,
    null,
    select,
)
from sqlalchemy.exc import NoSuchTableError

from airflow_kombo.ledger.tables import Tables


def columns_of(connection: Connection, table: Table) -> list[ColumnElement[Any]]:
    """Return a table's columns; NULL for columns missing in an older version's table."""
    try:
        known = inspect(connection).get_columns(table.name, table.schema)
    except NoSuchTableError:  # the query that follows gets the page for it
        return list(table.columns)
    have = {column["name"] for column in known}
    return [
        column if column.name in have else null().label(column.name) for column in table.columns
    ]


def has_column(connection: Connection, column: Column[Any]) -> bool:
    """Return False for a column that an older version's table lacks."""
    return any(one is column for one in columns_of(connection, column.table))


def left_out_at(connection: Connection, tables: Tables) -> ColumnElement[Any]:
    """Return the time since which a row is left out; NULL in an older version's table."""
    column = tables.links.c.left_out_at
    return column if has_column(connection, column) else null()


def distinct_of(connection: Connection, column: Column[Any]) -> list[Any]:
    """Return the values of an indexed column of few values, with one look-up a value."""
    values = distinct(column)
    query = select(values.c.value).where(values.c.value.is_not(None))
    return list(connection.execute(query).scalars())


def target_types_of(connection: Connection, links: Table) -> list[str]:
    """Return the target types of all rows, with one index look-up an integration and type."""
    integrations, target_type = distinct(links.c.integration_id), links.c.target_type

    def least(*conditions: ColumnElement[bool], within: CTE) -> ScalarSelect[Any]:
        return select(func.min(target_type)).where(*conditions).correlate(within).scalar_subquery()

    first = least(links.c.integration_id == integrations.c.value, within=integrations)
    pairs = (
        select(integrations.c.value.label("integration_id"), first.label("target_type"))
        .where(integrations.c.value.is_not(None))
        .cte("pairs", recursive=True)
    )
    following = least(
        links.c.integration_id == pairs.c.integration_id,
        target_type > pairs.c.target_type,
        within=pairs,
    )
    pairs = pairs.union_all(
        select(pairs.c.integration_id, following).where(pairs.c.target_type.is_not(None))
    )
    query = select(pairs.c.target_type).distinct().where(pairs.c.target_type.is_not(None))
    return list(connection.execute(query).scalars())


def distinct(column: Column[Any]) -> CTE:
    """Build the table of an indexed column's values, as `value`, with one look-up a value."""
    values = select(func.min(column).label("value")).cte("few", recursive=True)
    following = (
        select(func.min(column)).where(column > values.c.value).correlate(values).scalar_subquery()
    )
    return values.union_all(select(following).where(values.c.value.is_not(None)))
