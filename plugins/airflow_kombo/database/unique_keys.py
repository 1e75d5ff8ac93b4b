"""Unique columns of a table, also of one made by somebody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_kombo.database.dialects import dialect_of

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table


def unique_keys(connection: Connection, table: Table) -> set[frozenset[str | None]]:
    """Return the sets of columns with unique values in a table."""
    return dialect_of(connection).unique_keys(connection, table)
