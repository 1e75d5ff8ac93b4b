"""Report of the ledger for one day: `python -m tools.demo.report 2026-11-03`.

The report runs in a process of its own, because Airflow's connection names the warehouse.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from datetime import date

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy import Connection, func, select

from airflow_kombo.database.connections import database_of, engine_of
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.statuses import Status

_STYLES = {Status.SUCCESS: "green", Status.UNKNOWN: "yellow", Status.BLOCKED: "yellow"}


def main() -> None:
    """Print the report of the command line's day."""
    day, console = date.fromisoformat(sys.argv[1]), Console(highlight=False)
    tables = Tables.named()
    ledger = os.environ.get("AIRFLOW__KOMBO__LEDGER_CONN_ID")
    engine = engine_of(ledger or "warehouse_default")
    with engine.connect() as connection:
        for part in (_statuses, _warnings, _reasons):
            table = part(connection, tables, day)
            if table.row_count:
                console.print(table, "")
        console.print(_posted(connection, tables, day))
    engine.dispose()
    if ledger:
        console.print(_written_back(tables))


def _written_back(tables: Tables) -> str:
    """Return a sentence about the copy of the statuses in the warehouse."""
    with database_of("warehouse_default").connected("count the rows") as connection:
        connection.execute(select(func.count()).select_from(tables.links))
        ((written,),) = connection.rows(1)
    return f"Written back to the warehouse: {written} rows of its own {tables.links.fullname}."


def _statuses(connection: Connection, tables: Tables, day: date) -> Table:
    links = tables.links
    query = (
        select(links.c.integration_id, links.c.status, func.count())
        .where(links.c.assessment_date == day)
        .group_by(links.c.integration_id, links.c.status)
    )
    senders: dict[str, Counter[str]] = {}
    for integration, status, rows in connection.execute(query):
        senders.setdefault(integration or "(none)", Counter())[status] = rows
    totals = sum(senders.values(), Counter[str]())
    table = _table(f"Rows of {day} by integration and status", "integration")
    table.show_footer = True
    seen = [status for status in Status if totals[status]]
    for status in seen:
        table.add_column(status, str(totals[status]), justify="right", style=_STYLES.get(status))
    table.add_column("all", str(totals.total()), justify="right")
    for integration, counts in sorted(senders.items()):
        cells = [str(counts[status] or "") for status in seen]
        table.add_row(integration, *cells, str(counts.total()))
    return table


def _warnings(connection: Connection, tables: Tables, day: date) -> Table:
    links = tables.links
    query = select(links.c.warnings).where(
        links.c.assessment_date == day, links.c.warnings.is_not(None)
    )
    counts = Counter(text for warnings in connection.scalars(query) for text in warnings)
    table = _table("Delivered, with a warning", "warning", "rows")
    for text, rows in counts.most_common():
        table.add_row(Text(text), str(rows))
    return table


def _reasons(connection: Connection, tables: Tables, day: date) -> Table:
    links = tables.links
    kind = (links.c.status, links.c.error_code)
    query = (
        select(*kind, func.max(links.c.error_message), func.count())
        .where(links.c.assessment_date == day, links.c.status != Status.SUCCESS)
        .group_by(*kind)
        .order_by(*kind)
    )
    table = _table("Not delivered, or nobody knows", "status", "reason", "for example", "rows")
    for status, code, message, rows in connection.execute(query):
        table.add_row(status, code or "no error code", Text(message or ""), str(rows))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _posted(connection: Connection, tables: Tables, day: date) -> str:
    """Return a sentence about the requests of the day's last run."""
    runs, attempts = tables.runs, tables.attempts
    last = (
        select(runs.c.run_id)
        .where(runs.c.assessment_date == day)
        .order_by(runs.c.started_at.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = select(func.count()).select_from(attempts).where(attempts.c.run_id == last)
    if posts := connection.scalars(query).one():
        return f"By the ledger, this run posted {posts} requests."
    return (
        f"This run posted nothing: the rows of {day} that it looked at again were refused or"
        " invalid, and have not changed. They are sent once their row or the mapping has changed;"
        " what is unknown, never on its own."
    )


if __name__ == "__main__":
    main()
