"""Rows of an upstream task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from pandas import DataFrame

from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.rows.frames import cells, frame_of_records
from airflow_kombo.rows.row_keys import day_of
from airflow_kombo.rows.source import Selection


class TaskSource:
    """Rows of an upstream task.

    :param rows: The task's return value: a list of dictionaries, or a DataFrame.
    :param selection: The rows that the run wants.
    :raises ConfigurationError: if the task returned something else.
    """

    def __init__(self, rows: Any, selection: Selection) -> None:
        frame = _frame_of(rows)
        self._columns = list(frame.columns)
        if len(frame):
            selection.check(self._columns)
        days = map(day_of, cells(frame, "assessment_date"))
        self._frame = frame[[not _is_too_old(day, selection) for day in days]]

    def columns(self) -> Collection[str]:
        """Return the columns of all rows together."""
        return self._columns

    def chunks(self) -> Iterator[DataFrame]:
        """Yield all rows in one chunk: they are in memory already."""
        if len(self._frame):
            yield self._frame

    def cancel(self) -> None:
        """Do nothing: the rows are in memory."""


def _frame_of(rows: Any) -> DataFrame:
    """Return the rows as a frame with the cells as they came."""
    if isinstance(rows, DataFrame):
        if doubled := [name for name, times in Counter(rows.columns).items() if times > 1]:
            raise ConfigurationError(
                f"The upstream task of rows_task_id returned the column '{doubled[0]}' twice: name"
                " it once."
            )
        return rows.astype(object)
    kind = type(rows).__name__
    if isinstance(rows, Sequence) and not isinstance(rows, (str, bytes)):
        other = next((row for row in rows if not isinstance(row, Mapping)), None)
        if other is None:
            return frame_of_records(rows)
        kind += f" with a {type(other).__name__} in it"
    raise ConfigurationError(
        f"The upstream task of rows_task_id returned a {kind}. Let it return a list of"
        " dictionaries, or a DataFrame."
    )


def _is_too_old(day: date | None, selection: Selection) -> bool:
    return bool(selection.not_before and day and day < selection.not_before)
