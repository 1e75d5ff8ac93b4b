"""Cells of CSV without formulas that a spreadsheet would run, and their texts read back.

Every cell is in quotes. Quotes are not enough where a spreadsheet expects semicolons between cells,
as Excel does in half of Europe: it ends a cell at a semicolon or a line break, even between our
quotes. So an apostrophe is put before a formula wherever such a spreadsheet could begin a cell.

An apostrophe counts as a character that a spreadsheet skips. So a text that has one before a
formula gets another one, and the text can be read back exactly.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from io import StringIO
from typing import Any, Final

from airflow_kombo.database.sql import in_utc

_SKIPPED: Final = r"\s\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\"'"
"""Characters that a spreadsheet may drop from the beginning of a cell."""
_FORMULA: Final = r"[=+\-@\uff1d\uff0b\uff0d\uff20]"
"""Beginning of a formula; East Asian spreadsheets also know the wide characters."""
_BEGINS: Final = re.compile(rf"'*[\t\r\n]|[{_SKIPPED}]*{_FORMULA}")
_RUN_BEFORE_FORMULA: Final = re.compile(
    rf"(?:;[{_SKIPPED}]*|(?<![;{_SKIPPED}])[{_SKIPPED}]+)(?={_FORMULA})"
)
"""All skipped characters before a formula. Each of them is read once, so no text takes long."""
_ENDS_A_CELL: Final = re.compile(r"[;\t\r\n]")
_PROTECTED_END: Final = re.compile(r"([;\t\r\n])'")


def csv_lines(rows: Iterable[Sequence[Any]]) -> str:
    """Write rows of values as lines of CSV."""
    text = StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def protected(text: str) -> str:
    """Put an apostrophe before each possible formula of a cell's text."""
    if _RUN_BEFORE_FORMULA.search(text):  # rare, and `search` takes less time than `sub`
        text = _RUN_BEFORE_FORMULA.sub(_protect_ends, text)
    return f"'{text}" if _BEGINS.match(text) else text


def unprotected(text: str) -> str:
    """Return the text that `protected` made a cell of."""
    if text.startswith("'") and _BEGINS.match(text):
        text = text[1:]
    return _RUN_BEFORE_FORMULA.sub(_unprotect_ends, text)


def _protect_ends(run: re.Match[str]) -> str:
    return _ENDS_A_CELL.sub(r"\g<0>'", run[0])


def _unprotect_ends(run: re.Match[str]) -> str:
    return _PROTECTED_END.sub(r"\1", run[0])


def _cell(value: object) -> object:
    """Return a value as a cell, with an apostrophe before each possible formula."""
    if isinstance(value, datetime):
        return in_utc(value).isoformat()
    if isinstance(value, list):
        value = "; ".join(map(str, value))
    return protected(value) if isinstance(value, str) else value
