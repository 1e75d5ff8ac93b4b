"""CSV of unknown rows for a person, and the same file with decisions, handed back.

A spreadsheet may change the file in between: the separator, the order of the columns, the quotes,
the ends of lines. The file is checked as a whole before anything is decided.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from io import StringIO
from itertools import count, islice
from typing import Final, NamedTuple

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.exceptions import DecisionFileError
from airflow_kombo.ledger.csv_cells import csv_lines, unprotected
from airflow_kombo.statuses import Decision

_SEPARATORS: Final = (",", ";", "\t")
_MARK: Final = "\ufeff"
"""Mark at the beginning of a file: without the mark, Excel does not read UTF-8."""
_ATTEMPT: Final = re.compile(r"[0-9]{1,9}")
_NAMED_LINES: Final = 10
"""Most lines that a message names for one problem."""
_DECISIONS: Final[Mapping[str, Decision]] = {one.value: one for one in Decision}
_REQUIRED: Final = (*LinkKey._fields, "attempt", "decision")
_HANDED_BACK: Final = (*_REQUIRED, "reason")
"""Columns of a file with nothing but decisions."""
_NOT_UTF_8: Final = (
    'the text is not UTF-8. In Excel, save the file as "CSV UTF-8"; in LibreOffice, choose'
    " Unicode (UTF-8)"
)


class UnknownRow(NamedTuple):
    """An unknown row as a person looks for the call in Kombo's logs.

    :param sent_at: The time of the newest attempt in doubt; None if no attempt is left.
    :param url: The URL in the attempt's request; None if the history does not have the URL.
    :param attempt: The number of the row's newest attempt.
    """

    sent_at: datetime | None
    integration_id: str
    target_type: str
    target_id: str
    url: str | None
    result_id: str
    error_code: str | None
    attempt: int


class DecidedLine(NamedTuple):
    """A line of a file with a person's decision about one row.

    :param line: The number of the line; the columns' names are line 1.
    :param attempt: The newest attempt of the row when the person looked.
    """

    line: int
    key: LinkKey
    attempt: int
    decision: Decision
    reason: str


@dataclass(frozen=True)
class DecisionFile:
    """Decisions of a file.

    :param decided: The lines with a decision, each row once.
    :param undecided: The number of lines without a decision.
    """

    decided: Sequence[DecidedLine]
    undecided: int


@dataclass
class _Problems:
    """Problems of a file, with their lines."""

    lines: dict[str, list[int]] = field(default_factory=dict)

    def add(self, problem: str, line: int) -> None:
        self.lines.setdefault(problem, []).append(line)

    def __str__(self) -> str:
        return "; ".join(f"{problem} in {_named(lines)}" for problem, lines in self.lines.items())


def lines_of_unknown(batches: Iterable[Sequence[UnknownRow]]) -> Iterator[str]:
    """Write the columns' names, then the lines of each batch, with empty cells for a decision."""
    yield _MARK + csv_lines([(*UnknownRow._fields, "decision", "reason")])
    for rows in batches:
        yield csv_lines((*row, "", "") for row in rows)


def lines_of_decisions(rows: Iterable[DecidedLine]) -> str:
    """Write decisions as a file with no other columns than those that are needed."""
    cells = ((*row.key, row.attempt, row.decision.value, row.reason) for row in rows)
    return csv_lines([_HANDED_BACK, *cells])


def text_of(content: bytes) -> str:
    """Return the text of a file.

    :raises DecisionFileError: if the file is not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _error(_NOT_UTF_8) from None


def read_decisions(text: str, default_reason: str | None = None) -> DecisionFile:
    """Read a file of decisions.

    :param default_reason: The reason for lines without one.
    :raises DecisionFileError: naming the lines, if the file or any line cannot be used.
    """
    problems, seen = _Problems(), dict[tuple[LinkKey, str], Decision | None]()
    decided: list[DecidedLine] = []
    undecided = 0
    for line, cells in _lines(text, problems):
        decision = _decision(cells, line, problems)
        key = LinkKey(*(unprotected(cells[name]) for name in LinkKey._fields))
        attempt = cells["attempt"].strip()
        is_new = (key, attempt) not in seen
        if seen.setdefault((key, attempt), decision) is not decision:
            problems.add("another decision than an earlier line's about the same row", line)
        if decision is None:
            undecided += 1
            continue
        reason = unprotected(cells["reason"]).strip() or default_reason
        _check(key, attempt, reason, line, problems)
        if is_new and reason and not problems.lines:
            decided.append(DecidedLine(line, key, int(attempt), decision, reason))
    if problems.lines:
        raise _error(str(problems))
    return DecisionFile(decided, undecided)


def _lines(text: str, problems: _Problems) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the cells of each line by column, with the number of the line."""
    text = text.removeprefix(_MARK)
    if "\x00" in text or not _is_unicode(text):
        raise _error(_NOT_UTF_8)
    separator = max(_SEPARATORS, key=lambda one: len({*_columns(text, one)} & {*_REQUIRED}))
    columns = _columns(text, separator)
    if missing := [name for name in _REQUIRED if name not in columns]:
        raise _error(f"the first line does not name the columns {', '.join(missing)}")
    if len({*columns} & {*_HANDED_BACK}) < sum(name in _HANDED_BACK for name in columns):
        raise _error("the first line names a column twice")
    for line, cells in islice(_records(text, separator), 1, None):
        if any(cell.strip() for cell in cells[len(columns) :]):
            problems.add("more cells than columns", line)
        elif any(cell.strip() for cell in cells):
            filled = [*cells, *[""] * (len(columns) - len(cells))]
            yield line, {"reason": "", **dict(zip(columns, filled, strict=False))}


def _columns(text: str, separator: str) -> list[str]:
    """Return the columns' names in the first line, or no names if there is no such line."""
    reader = csv.reader(StringIO(text, newline=""), delimiter=separator)
    try:
        return [cell.strip().lower() for cell in next(reader, [])]
    except csv.Error:  # the separator may be another one
        return []


def _records(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each line, with the number that a spreadsheet shows beside the line."""
    reader = csv.reader(StringIO(text, newline=""), delimiter=separator, strict=True)
    for line in count(1):
        try:
            cells = next(reader, None)
        except csv.Error:
            raise _error(f"the quotes are wrong, or a cell is too long, in line {line}") from None
        if cells is None:
            return
        yield line, cells


def _is_unicode(text: str) -> bool:
    """Return False for half a character, which JSON can hold and no database can."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _decision(cells: Mapping[str, str], line: int, problems: _Problems) -> Decision | None:
    """Read the decision of a line; None for an empty cell."""
    word = " ".join(cells["decision"].split()).lower()
    if word and word not in _DECISIONS:
        problems.add(f"no decision of {', '.join(_DECISIONS)}", line)
    return _DECISIONS.get(word)


def _check(key: LinkKey, attempt: str, reason: str | None, line: int, problems: _Problems) -> None:
    """Check the cells of a line with a decision."""
    for name, value in key.columns.items():
        if not value.strip():
            problems.add(f"no {name}", line)
    if not _ATTEMPT.fullmatch(attempt):
        problems.add("no number as attempt", line)
    if not reason:
        problems.add("no reason for the decision", line)


def _named(lines: Sequence[int]) -> str:
    """Name the first lines."""
    named = ", ".join(map(str, lines[:_NAMED_LINES]))
    more = len(lines) - _NAMED_LINES
    return f"line{'s' if len(lines) > 1 else ''} {named}" + (
        f" and {more} more" if more > 0 else ""
    )


def _error(problem: str) -> DecisionFileError:
    return DecisionFileError(
        f"The file of decisions cannot be used, and nothing is decided: {problem}."
    )
