"""Rows as CSV, batch by batch, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from io import StringIO
from typing import Any, Final

from airflow_kombo.database import in_utc
from airflow_kombo.report.rows import COLUMNS

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet takes for the beginning of a formula."""


def as_csv(batches: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Give the lines of each batch, after a line with the columns' names."""
    yield _lines([COLUMNS])
    for rows in batches:
        yield _lines([[_cell(value) for value in row] for row in rows])


def _lines(rows: Iterable[Sequence[Any]]) -> str:
    text = StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()


def _cell(value: object) -> object:
    """Write a value; one that a spreadsheet would run gets a quote before it, and is text then."""
    if isinstance(value, datetime):
        return in_utc(value).isoformat()
    if isinstance(value, list):
        value = "; ".join(map(str, value))
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA):
        return f"'{value}"
    return value
