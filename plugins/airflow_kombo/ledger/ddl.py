"""Print the statements for an owner to create the tables by hand.

Run `python -m airflow_kombo.ledger.ddl` with `plugins` as the current folder or on the
`PYTHONPATH`.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import create_mock_engine

from airflow_kombo.database.dialects.columns import storage_of
from airflow_kombo.database.warehouse_kinds import KINDS
from airflow_kombo.database.warehouse_table import WarehouseTable
from airflow_kombo.ledger.tables import STATUS_TABLE, Tables

DIALECTS: Final = ("postgresql", "sqlite", "mysql")
"""Databases on which the statements are tested, by SQLAlchemy's names."""


def statements(dialect: str = "postgresql", status_table: str = STATUS_TABLE) -> Iterator[str]:
    """Return the statements, each with a semicolon. The table of dry runs comes last."""
    tables = Tables.named(status_table)
    made: list[Any] = []
    engine = create_mock_engine(f"{dialect}://", lambda ddl, *_, **__: made.append(ddl))
    for table in (tables.links, tables.attempts, tables.runs, tables.preview):
        made.clear()
        table.create(engine, checkfirst=False)
        create, *indexes = made  # only those indexes that this database gets
        for statement in (create, *sorted(indexes, key=lambda one: str(one.element.name))):
            text = str(statement.compile(dialect=engine.dialect)).strip()
            if statement is create and dialect == "postgresql" and storage_of(table):
                text += f"\n WITH ({storage_of(table)})"
            yield "\n".join(line.rstrip() for line in text.replace("\t", "    ").splitlines()) + ";"


def written_back(warehouse: str, status_table: str = STATUS_TABLE) -> str:
    """Return the statement for the written-back table, with a semicolon.

    :param warehouse: A name of `KINDS`.
    """
    return f"{WarehouseTable(Tables.named(status_table).links, KINDS[warehouse]).create};"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the statements for the database and the status table of the arguments."""
    parser = ArgumentParser("python -m airflow_kombo.ledger.ddl", description=__doc__)
    parser.add_argument("--dialect", choices=DIALECTS, default="postgresql")
    parser.add_argument("--status-table", default=STATUS_TABLE, metavar="[SCHEMA.]NAME")
    parser.add_argument("--written-back", choices=sorted(KINDS), metavar="WAREHOUSE")
    options = parser.parse_args(arguments)
    table = options.status_table
    if options.written_back:
        sys.stdout.write(f"{written_back(options.written_back, table)}\n")
        return
    for statement in statements(options.dialect, table):
        sys.stdout.write(f"{statement}\n\n")


if __name__ == "__main__":
    main()
