"""Rows of an upstream task."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.rows.frames import CHUNK_ROWS, checked_frame, frame_of_records

if TYPE_CHECKING:
    from pandas import DataFrame

_WHAT: Final = "The upstream task of rows_task_id"


class TaskSource:
    """Rows of an upstream task.

    :param rows: The task's return value: a list of dictionaries, or a DataFrame.
    :raises ConfigurationError: if the task returned something else.
    """

    def __init__(self, rows: Any) -> None:
        self._frame = _frame_of(rows)

    def columns(self) -> Collection[str]:
        """Return the columns of all rows together."""
        return list(self._frame.columns)

    def chunks(self) -> Iterator[DataFrame]:
        """Yield the rows in chunks, so that a stop need not wait for all of them."""
        for start in range(0, len(self._frame), CHUNK_ROWS):
            yield self._frame.iloc[start : start + CHUNK_ROWS]

    @property
    def divides(self) -> bool:
        """Return False: the rows of other shards are left out later."""
        return False

    def counts(self) -> None:
        """Return no counts: the rows have to be read."""

    def cancel(self) -> None:
        """Do nothing: the rows are in memory."""


def _frame_of(rows: Any) -> DataFrame:
    """Return the rows as a frame with the cells as they came."""
    from pandas import DataFrame  # noqa: PLC0415 - only here, as in `frames`

    if isinstance(rows, DataFrame):
        return checked_frame(rows, _WHAT)
    kind = type(rows).__name__
    if isinstance(rows, Sequence) and not isinstance(rows, (str, bytes)):
        other = next((row for row in rows if not isinstance(row, Mapping)), None)
        if other is None:
            return frame_of_records(rows)
        kind += f" with a {type(other).__name__} in it"
    raise ConfigurationError(
        f"{_WHAT} returned a {kind}. Let it return a list of dictionaries, or a DataFrame."
    )
