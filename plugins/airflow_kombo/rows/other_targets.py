"""Find rows that name the same result and different targets: nobody knows which is meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import TypeVar

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.kombo_api.writes import Write
from airflow_kombo.rows.row_keys import Row, key_of

Item = TypeVar("Item")


def with_other_targets(
    items: Iterable[Item],
    *,
    result_of: Callable[[Item], str],
    row_of: Callable[[Item], Row],
    default_integration: str | None,
    write: Write,
) -> Iterator[tuple[Item, str | None]]:
    """Return each item with another target that its result also has, if it has one.

    :param items: Rows in the order of their results.
    :param result_of: Reads an item's result id, as the ledger has it.
    :param row_of: Makes a row of an item.
    """
    for result_id, group in groupby(items, result_of):
        if not result_id:  # each of these is a row of its own
            yield from ((item, None) for item in group)
            continue
        of_result = list(group)
        if len(of_result) == 1:
            yield of_result[0], None
            continue
        keys = [key_of(row_of(item), default_integration, write) for item in of_result]
        good = sorted({key for key, wrong in keys if wrong is None})
        for item, (key, wrong) in zip(of_result, keys, strict=True):
            yield item, None if wrong else _other(key, good)


def _other(key: LinkKey, keys: Sequence[LinkKey]) -> str | None:
    """Name another target than a key's own among those of its result."""
    other = next((one for one in keys if one != key), None)
    return other and f"{other.target_type} {other.target_id} of {other.integration_id}"
