"""Check the decisions of a file against the ledger: rows to decide, and rows to leave."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, select

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.ledger.decision_file import DecidedLine
from airflow_kombo.ledger.ledger_rows import LedgerRow
from airflow_kombo.ledger.left_out import why_not_decided
from airflow_kombo.ledger.tables import KEY, Tables

CHECKED_ROWS: Final = 1_000
"""Rows that are looked up in one query."""
_COLUMNS: Final = (
    *(*KEY, "status", "attempts", "assessment_date", "error_code", "run_id"),
    "left_out_at",
)
NO_ROW: Final = "not found"
"""Reason why a line is left that names no row of the table."""


@dataclass(frozen=True)
class LeftLine:
    """A line whose row cannot be decided.

    :param why: The reason, such as the status of the row.
    """

    line: DecidedLine
    why: str


def check_lines(
    connection: Connection,
    tables: Tables,
    lines: Sequence[DecidedLine],
    is_chosen: Callable[[LedgerRow], bool] = lambda _: True,
) -> list[LeftLine]:
    """Return the lines whose rows cannot be decided now.

    :param is_chosen: Returns False for a row that does not meet the conditions of a task.
    """
    return [
        LeftLine(line, why)
        for part in parts_of(lines)
        for line, why in _reasons(connection, tables, part, is_chosen)
        if why
    ]


def parts_of(lines: Sequence[DecidedLine]) -> Iterator[Sequence[DecidedLine]]:
    """Split lines, because a database takes only so many ids in one statement."""
    for start in range(0, len(lines), CHECKED_ROWS):
        yield lines[start : start + CHECKED_ROWS]


def _reasons(
    connection: Connection,
    tables: Tables,
    lines: Sequence[DecidedLine],
    is_chosen: Callable[[LedgerRow], bool],
) -> Iterator[tuple[DecidedLine, str | None]]:
    links = tables.links.c
    query = select(*(links[name] for name in _COLUMNS))
    query = query.where(links.result_id.in_({line.key.result_id for line in lines}))
    rows: Sequence[Any] = connection.execute(query).all()
    found: dict[LinkKey, LedgerRow] = {LinkKey.of(row): row for row in rows}
    for line in lines:
        yield line, _why_left(line, found.get(line.key), is_chosen)


def _why_left(
    line: DecidedLine, row: LedgerRow | None, is_chosen: Callable[[LedgerRow], bool]
) -> str | None:
    """Return the reason why a row cannot be decided, or None."""
    if row is None:
        return NO_ROW
    if why := why_not_decided(row, line.decision):
        return why
    if row.attempts != line.attempt:
        return f"attempt {line.attempt} is not the newest one: attempt {row.attempts} is"
    return None if is_chosen(row) else "the other conditions do not hold"
