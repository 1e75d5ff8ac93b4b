"""Print the statements that make our tables, for an owner who makes them by hand.

`python -m airflow_kombo.ledger.ddl`, where `plugins` is the current folder or on the `PYTHONPATH`.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import make_url
from sqlalchemy.schema import CreateIndex, CreateTable, DDLElement

from airflow_kombo.ledger.tables import STATUS_TABLE, Tables

DIALECTS: Final = ("postgresql", "sqlite")
"""The databases on which the statements are tested, as SQLAlchemy names them."""


def statements(dialect: str = "postgresql", status_table: str = STATUS_TABLE) -> Iterator[str]:
    """Write each statement, with a semicolon: the tables of a run, and the one of dry runs last."""
    tables, spoken = Tables.named(status_table), make_url(f"{dialect}://").get_dialect()()
    for table in (tables.links, tables.attempts, tables.runs, tables.preview):
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        made_first: DDLElement = CreateTable(table)
        for made in (made_first, *map(CreateIndex, indexes)):
            text = str(made.compile(dialect=spoken)).strip()
            yield "\n".join(line.rstrip() for line in text.replace("\t", "    ").splitlines()) + ";"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the statements for the database and the status table that the arguments name."""
    parser = ArgumentParser("python -m airflow_kombo.ledger.ddl", description=__doc__)
    parser.add_argument("--dialect", choices=DIALECTS, default="postgresql")
    parser.add_argument("--status-table", default=STATUS_TABLE, metavar="[SCHEMA.]NAME")
    options = parser.parse_args(arguments)
    for statement in statements(options.dialect, options.status_table):
        sys.stdout.write(f"{statement}\n\n")


if __name__ == "__main__":
    main()
