"""What the task tells those who wait for its assets: which day is out, and the counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import TYPE_CHECKING

from airflow.sdk import Asset

if TYPE_CHECKING:
    from airflow.sdk.types import OutletEventAccessorsProtocol


def add_to_asset_events(
    outlets: Iterable[object],
    events: OutletEventAccessorsProtocol,
    day: date,
    counts: Mapping[str, int],
) -> None:
    """Give the event of each asset the day as its partition, and the counts as its extra.

    The run's own partition is not enough: a run by hand may have none, or may have been asked for
    another day.
    """
    for outlet in outlets:
        if isinstance(outlet, Asset):
            events[outlet].add_partitions(day.isoformat())
            events[outlet].extra.update(counts)
