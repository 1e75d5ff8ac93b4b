"""Columns that older versions of our tables have under another name."""

from __future__ import annotations

from sqlalchemy import Engine, Table, inspect, text

from airflow_kombo.database.transactions import transaction
from airflow_kombo.exceptions import LedgerError


def rename_verdict(engine: Engine, preview: Table) -> None:
    """Rename the column `verdict` of an older version's preview table to `action`.

    :raises LedgerError: if the column could not be renamed.
    """
    if not _is_old(engine, preview):
        return
    table = engine.dialect.identifier_preparer.format_table(preview)
    statement = f"ALTER TABLE {table} RENAME COLUMN verdict TO action"
    try:
        with transaction(engine, "rename a column of an older version") as connection:
            connection.execute(text(statement))
    except LedgerError as error:
        # Another dry run may have renamed the column between our look and our statement.
        if _is_old(engine, preview):
            advice = f"The owner of {preview.fullname} can do so: {statement}"
            raise LedgerError(f"{error} {advice}") from None


def _is_old(engine: Engine, preview: Table) -> bool:
    """Return whether the database has the table with its old column."""
    with transaction(engine, "look at its tables", reads_only=True) as connection:
        inspector = inspect(connection)
        if not inspector.has_table(preview.name, preview.schema):
            return False
        columns = inspector.get_columns(preview.name, preview.schema)
        return "verdict" in {column["name"] for column in columns}
