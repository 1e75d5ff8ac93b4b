"""End of a task's log: rows by integration and status, and the causes of undelivered rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from airflow_kombo.kombo_api.explanations import Cause
from airflow_kombo.statuses import NOT_DELIVERED, UNDELIVERED, Status

MOST_LINES: Final = 25
"""Integrations with a line of their own. More lines would hide the rest of the log."""
_LONGEST_NAME: Final = 48


def table(senders: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return the table's lines, with the most undelivered rows first.

    :param senders: Rows by integration and status.
    """
    counted = {
        name: Counter({s: n for s, n in rows.items() if n}) for name, rows in senders.items()
    }
    in_order = sorted(
        counted, key=lambda name: (-_undelivered(counted[name]), -counted[name].total(), name)
    )
    shown, rest = in_order[:MOST_LINES], in_order[MOST_LINES:]
    total = _sum(counted.values())
    lines = [(_short(name), counted[name]) for name in shown]
    if rest:
        lines.append((f"({len(rest)} others)", _sum(counted[name] for name in rest)))
    if len(lines) > 1:
        lines.append(("all", total))
    statuses = sorted(total, key=_column_order)
    return _aligned(statuses, lines) if lines else ["no rows"]


def explained(senders: Mapping[str, Mapping[Cause, int]]) -> list[str]:
    """Return a line for each cause of undelivered rows, with turn and next step.

    The sentences are those of the page. The causes with the most rows come first.

    :param senders: Rows by integration and cause.
    """
    rows: dict[Cause, Counter[str]] = {}
    for name, causes in senders.items():
        for cause, number in causes.items():
            if number and cause.status in UNDELIVERED:
                rows.setdefault(cause, Counter())[name] += number
    in_order = sorted(rows, key=lambda cause: (-rows[cause].total(), str(cause)))
    lines = [_explained(cause, rows[cause]) for cause in in_order[:MOST_LINES]]
    more = len(in_order) - len(lines)
    return [*lines, f"({more} other causes: see the status table)"] if more else lines


def _explained(cause: Cause, rows: Counter[str]) -> str:
    first = _short(next(iter(sorted(rows))))
    where = first if len(rows) == 1 else f"{len(rows):,} integrations, such as {first}"
    code = f" {_short(cause.error_code)}" if cause.error_code else ""
    turn, meaning, to_do = cause.explanation
    return (
        f"{cause.status}{code}: {rows.total():,} of {where}. {meaning} Whose turn: {turn}. {to_do}"
    )


def _aligned(statuses: list[str], lines: list[tuple[str, Counter[str]]]) -> list[str]:
    heads = ["integration", *statuses, "rows"]
    cells = [
        [name, *(f"{rows[status]:,}" for status in statuses), f"{rows.total():,}"]
        for name, rows in lines
    ]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
        for row in (heads, *cells)
    ]


def _undelivered(rows: Counter[str]) -> int:
    return sum(rows[status] for status in NOT_DELIVERED)


def _column_order(status: str) -> tuple[bool, bool, str]:
    return status in NOT_DELIVERED, status != Status.SUCCESS, status


def _sum(senders: Iterable[Counter[str]]) -> Counter[str]:
    return sum(senders, Counter[str]())


def _short(name: str) -> str:
    name = "".join(char if char.isprintable() else "?" for char in name) or "(no integration)"
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
