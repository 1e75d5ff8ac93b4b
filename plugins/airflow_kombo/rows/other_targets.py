"""Finding rows with the same result and different targets: their target is ambiguous."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from pandas import DataFrame, Series

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.kombo_api.writes import Write
from airflow_kombo.rows.frames import cells, row_at
from airflow_kombo.rows.row_keys import OTHER_TARGET, id_of, key_of


def with_other_targets(
    frame: DataFrame, default_integration: str | None, write: Write
) -> DataFrame:
    """Return the frame, with another target of the same result in each ambiguous row.

    :param frame: All rows of each result in it.
    :param default_integration: The integration of rows without one.
    :param write: The write that sends the rows.
    """
    places = defaultdict[str, list[int]](list)
    for place, value in enumerate(cells(frame, "result_id")):
        places[id_of(value)].append(place)
    others: list[str | None] = [None] * len(frame)
    for result_id, of_result in places.items():
        if not result_id or len(of_result) == 1:  # rows without a result have nothing in common
            continue
        keys = [key_of(row_at(frame, place), default_integration, write) for place in of_result]
        good = sorted({key for key, wrong in keys if wrong is None})
        for place, (key, wrong) in zip(of_result, keys, strict=True):
            others[place] = None if wrong else _other(key, good)
    if not any(others):
        return frame
    frame = frame.copy(deep=False)
    frame[OTHER_TARGET] = Series(others, index=frame.index, dtype=object)
    return frame


def _other(key: LinkKey, keys: Sequence[LinkKey]) -> str | None:
    """Return the text of the first key other than a row's own."""
    other = next((one for one in keys if one != key), None)
    return other and f"{other.target_type} {other.target_id} of {other.integration_id}"
