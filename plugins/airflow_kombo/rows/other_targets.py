"""Finding rows with the same result and different targets: their target is ambiguous."""

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
    """Yield each item with another target of the same result, or with None.

    :param items: Items in the order of their results.
    :param result_of: Returns an item's result id as the ledger writes it.
    :param row_of: Returns an item's row.
    :param default_integration: The integration of rows without one.
    :param write: The write that sends the rows.
    """
    for result_id, group in groupby(items, result_of):
        if not result_id:  # rows without a result id have nothing in common
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
    """Return the text of the first key other than a row's own."""
    other = next((one for one in keys if one != key), None)
    return other and f"{other.target_type} {other.target_id} of {other.integration_id}"
