"""Asset events: the delivered day and its counts, for dags scheduled by our assets."""

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
    """Add the day as the partition, and the counts as the extra, to each asset's event.

    Airflow's partition of the run cannot replace this. A run by hand may have no partition, or may
    be for another day.
    """
    for outlet in outlets:
        if isinstance(outlet, Asset):
            events[outlet].add_partitions(day.isoformat())
            events[outlet].extra.update(counts)
