"""Files of unknown rows and of decisions: the work of the deciding task.

Only the methods of `KomboResolveUnknownOperator` import this module, as `decide_rows`. No line of
the log has a URL.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import Any, Final

from airflow.sdk import ObjectStoragePath

from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.ledger.decision_check import NO_ROW, LeftLine, parts_of
from airflow_kombo.ledger.decision_file import (
    DecidedLine,
    DecisionFile,
    UnknownRow,
    lines_of_unknown,
    read_decisions,
    text_of,
)
from airflow_kombo.ledger.unknown_rows import UnknownRows, UnknownRowsFilter
from airflow_kombo.operators.parameters import ResolveParameters
from airflow_kombo.statuses import Decision

log = logging.getLogger(__name__)

_MOST_BYTES: Final = 64 * 2**20
"""Size of a file of decisions at most: the file is checked as a whole, in memory."""
_UNUSABLE: Final = (
    FileNotFoundError,
    ImportError,  # the storage's own package is not installed
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
    ValueError,
)
"""Errors of a path that a person has to correct. Any other may pass by itself."""


def export(unknown: UnknownRows, rows_filter: UnknownRowsFilter, path: str) -> dict[str, int]:
    """Write the unknown rows to a CSV file, and return their number.

    :param path: The path of the file, or its address in an object storage.
    :raises ConfigurationError: if no file can be written there, or its name does not end in .csv:
        whoever may trigger the dag must not replace any other file of the worker.
    """
    if not path.lower().endswith(".csv"):
        raise ConfigurationError("The file of export_to needs a name that ends in .csv.")
    rows = 0

    def batches() -> Iterator[list[UnknownRow]]:
        nonlocal rows
        for batch in unknown.export(rows_filter):
            rows += len(batch)
            yield batch

    # The file appears when it is whole: a database that fails leaves no half of a file.
    with TemporaryFile() as whole:
        whole.writelines(lines.encode() for lines in lines_of_unknown(batches()))
        whole.seek(0)
        with _opened("export_to", path, "wb") as file:
            shutil.copyfileobj(whole, file)
    log.info("%d unknown rows are in the file of export_to. Nothing was decided.", rows)
    return {"exported": rows}


def decisions_of(parameters: ResolveParameters) -> DecisionFile:
    """Read and check the whole file of decisions of a task.

    :raises ConfigurationError: if the file cannot be read, or has a mistake.
    """
    text = parameters.decisions
    if parameters.decisions_from:
        with _opened("decisions_from", parameters.decisions_from, "rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ConfigurationError(
                f"The file of decisions has more than {_MOST_BYTES // 2**20} MiB: divide it."
            )
        text = text_of(content)
    return read_decisions(text or "", parameters.reason)


def decide(
    unknown: UnknownRows, rows_filter: UnknownRowsFilter, file: DecisionFile, person: str
) -> dict[str, int]:
    """Decide the rows of a file in batches, and return the numbers of `decided` and `left`.

    :param person: The name of the person who decided.
    :raises ConfigurationError: if no line names a row, before anything is decided.
    """
    decided = 0
    for rows in unknown.decide_lines(_without_left(unknown, rows_filter, file), person):
        decided += rows
        log.info("%d rows are decided", decided)
    left = len(file.decided) - decided + file.undecided
    log.info("%d rows of the file are decided, %d are left as they are", decided, left)
    return {"decided": decided, "left": left}


def log_file(
    unknown: UnknownRows, rows_filter: UnknownRowsFilter, file: DecisionFile
) -> dict[str, int]:
    """Log the decisions of a dry run, and return the numbers of rows.

    :raises ConfigurationError: if no line names a row.
    """
    lines = _without_left(unknown, rows_filter, file)
    for decision in Decision:
        chosen = [line for line in lines if line.decision is decision]
        _log_lines(logging.INFO, f"would be decided, {decision}", chosen)
    log.info("This was a dry run: %d rows would be decided, none was.", len(lines))
    left = len(file.decided) - len(lines) + file.undecided
    return {"would_be_decided": len(lines), "left": left}


def _without_left(
    unknown: UnknownRows, rows_filter: UnknownRowsFilter, file: DecisionFile
) -> list[DecidedLine]:
    """Return the lines whose rows can be decided now, and log the other lines."""
    left = unknown.check(rows_filter, file.decided)
    if left and all(one.why == NO_ROW for one in left) and len(left) == len(file.decided):
        raise ConfigurationError(
            f"None of the {len(left)} decided lines names a row of"
            f" {unknown.tables.links.fullname}: check the file."
        )
    _log_left(left, file.undecided)
    numbers = {one.line.line for one in left}
    return [line for line in file.decided if line.line not in numbers]


def _log_left(left: Sequence[LeftLine], undecided: int) -> None:
    if undecided:
        log.info("%d lines have no decision: their rows are left as they are", undecided)
    for why in sorted({one.why for one in left}):
        lines = [one.line for one in left if one.why == why]
        _log_lines(logging.WARNING, f"are left as they are ({why})", lines)


def _log_lines(level: int, what: str, lines: Sequence[DecidedLine]) -> None:
    for part in parts_of(lines):
        names = ", ".join(line.key.result_id for line in part)
        log.log(level, "%d results %s: %s", len(part), what, names)


@contextmanager
def _opened(parameter: str, path: str, mode: str) -> Iterator[Any]:
    """Open a file, here or in an object storage.

    :param parameter: The parameter with the path. The error names it, and not the path.
    :raises ConfigurationError: for an error of the path.
    """
    try:
        place: Any = ObjectStoragePath(path)
        with place.open(mode) as file:
            yield file
    except _UNUSABLE as error:
        raise ConfigurationError(
            f"The file of {parameter} cannot be used: {type(error).__name__}. Check the path, its"
            " connection, and that its folder exists. A storage such as s3:// needs its own"
            " provider of Airflow's with its package for files."
        ) from None
