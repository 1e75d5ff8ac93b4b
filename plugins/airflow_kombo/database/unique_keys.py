"""Which columns of a table a database keeps unique, whoever made the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, Table, inspect, text

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import ReflectedIndex

# An index counts that covers all rows, is built, and is checked at each statement.
_OF_POSTGRESQL = text("""
    SELECT array_agg(a.attname::text)
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1])
    WHERE c.relname = :name
      AND CASE WHEN cast(:schema AS text) IS NULL THEN pg_table_is_visible(c.oid)
               ELSE n.nspname = :schema END
      AND i.indisunique AND i.indisvalid AND i.indisready AND i.indimmediate
      AND i.indpred IS NULL AND i.indexprs IS NULL
    GROUP BY i.indexrelid
""")


def unique_keys(connection: Connection, table: Table) -> set[frozenset[str | None]]:
    """Return the sets of columns of which no two rows of a table can have the same values."""
    if connection.dialect.name == "postgresql":
        names = {"name": table.name, "schema": table.schema}
        return {frozenset(one) for one in connection.execute(_OF_POSTGRESQL, names).scalars()}
    inspector = inspect(connection)
    primary = inspector.get_pk_constraint(table.name, table.schema)["constrained_columns"]
    constraints = inspector.get_unique_constraints(table.name, table.schema)
    indexes = inspector.get_indexes(table.name, table.schema)
    return {
        frozenset(primary),
        *(frozenset(constraint["column_names"]) for constraint in constraints),
        *(frozenset(index["column_names"]) for index in indexes if _counts(index)),
    }


def _counts(index: ReflectedIndex) -> bool:
    is_partial = any(name.endswith("_where") for name in index.get("dialect_options", {}))
    return bool(index["unique"]) and not is_partial
