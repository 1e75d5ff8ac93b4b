"""Rows as pandas' frames whose cells are exactly what the driver or the task gave.

A type that pandas infers would change cells: an integer beside a NULL becomes a float, and
9007199254740993 becomes 9007199254740992. `pandas.read_sql` does so with any of its options. So all
columns are of the type `object`, which keeps each cell as it is.

pandas is imported when the first frame is made: its import takes half a second, and most tasks of a
day in shards make no frame.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from airflow_kombo.exceptions import ConfigurationError

if TYPE_CHECKING:
    from pandas import DataFrame

Row = Mapping[str, Any]

_SMALL: Final = frozenset({"float16", "float32"})
"""Types of numpy's and pandas' floats with less digits than Python's."""
CHUNK_ROWS: Final = 2_000
"""Rows of one frame: enough for work by column, and few enough for the memory."""


def frame_of(rows: Sequence[Sequence[Any]], columns: Sequence[str]) -> DataFrame:
    """Build a frame of a cursor's rows.

    :param columns: The names of the columns.
    """
    from pandas import DataFrame  # noqa: PLC0415 - see above

    return DataFrame(rows, columns=list(columns), dtype=object)


def frame_of_records(records: Sequence[Row]) -> DataFrame:
    """Build a frame of dictionaries. A value that a dictionary lacks is NaN."""
    from pandas import DataFrame  # noqa: PLC0415 - see above

    return DataFrame(list(records), dtype=object)


def checked_frame(made: object, maker: str) -> DataFrame:
    """Return a frame that a person's code made, with all columns of the type `object`.

    :param maker: The code, for the error message.
    :raises ConfigurationError: if it is no frame, or has a column twice or without a name.
    """
    from pandas import DataFrame, Series  # noqa: PLC0415 - see above

    if not isinstance(made, DataFrame):
        raise ConfigurationError(f"{maker} returned a {type(made).__name__}: return a DataFrame.")
    if unnamed := [name for name in made.columns if not isinstance(name, str)]:
        raise ConfigurationError(
            f"{maker} returned a column with the name {unnamed[0]!r}, which is no text: name it."
        )
    if doubled := [name for name, times in Counter(made.columns).items() if times > 1]:
        raise ConfigurationError(f"{maker} returned the column '{doubled[0]}' twice: name it once.")
    kept = made.astype(object)
    for name in made.columns[[str(kind).lower() in _SMALL for kind in made.dtypes]]:
        # As Python's floats they would look exact: 16777217 is 16777216 in float32.
        kept[name] = Series(list(made[name].array), index=made.index, dtype=object)
    return kept


def cells(frame: DataFrame, column: str) -> list[Any]:
    """Return a column's cells; None for each if there is no such column."""
    return frame[column].tolist() if column in frame.columns else [None] * len(frame)


def row_at(frame: DataFrame, place: int) -> Row:
    """Return one row by column.

    :param place: The number of the row, from 0.
    """
    return dict(zip(frame.columns, frame.iloc[place], strict=True))
