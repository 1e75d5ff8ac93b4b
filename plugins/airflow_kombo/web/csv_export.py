"""CSV of rows, batch by batch, without formulas that a spreadsheet would run.

Every cell is in quotes. Quotes are not enough where a spreadsheet expects semicolons between cells,
as Excel does in half of Europe: it ends a cell at a semicolon or a line break, even between our
quotes. So an apostrophe is put before a formula wherever such a spreadsheet could begin a cell.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from io import StringIO
from typing import Any, Final

from airflow_kombo.database.sql import in_utc
from airflow_kombo.web.rows import COLUMNS

_SKIPPED: Final = r"[\s\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\"]*"
"""Characters that a spreadsheet may drop from the beginning of a cell."""
_FORMULA: Final = rf"{_SKIPPED}[=+\-@\uff1d\uff0b\uff0d\uff20]"
"""Beginning of a formula; East Asian spreadsheets also know the wide characters."""
_BEGINS: Final = re.compile(rf"[\t\r\n]|{_FORMULA}")
_BEGINS_WITHIN: Final = re.compile(rf"[;\t\r\n](?={_FORMULA})")


def as_csv(batches: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Write the columns' names, then the lines of each batch.

    :param batches: Rows of `COLUMNS`.
    """
    yield _lines([COLUMNS])
    for rows in batches:
        yield _lines([[_cell(value) for value in row] for row in rows])


def _lines(rows: Iterable[Sequence[Any]]) -> str:
    text = StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(rows)
    return text.getvalue()


def _cell(value: object) -> object:
    """Return a value as a cell, with an apostrophe before each possible formula."""
    if isinstance(value, datetime):
        return in_utc(value).isoformat()
    if isinstance(value, list):
        value = "; ".join(map(str, value))
    if not isinstance(value, str):
        return value
    if _BEGINS_WITHIN.search(value):  # rare, and `search` takes a fifth of the time of `sub`
        value = _BEGINS_WITHIN.sub(r"\g<0>'", value)
    return f"'{value}" if _BEGINS.match(value) else value
