"""Asset events: the delivered day and its counts, for dags scheduled by our assets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Final

from airflow.sdk import Asset

from airflow_kombo.airflow_compat import add_partition

if TYPE_CHECKING:
    from airflow.sdk.types import OutletEventAccessorsProtocol

UNKNOWN_OF_DAY: Final = "unknown_of_day"
"""Name of the number of rows of the day that are in doubt, in an event's extra."""


def add_to_asset_events(
    outlets: Iterable[object],
    events: OutletEventAccessorsProtocol,
    day: date,
    counts: Mapping[str, int],
    *,
    in_doubt: int,
) -> None:
    """Add the day as the partition, and the counts as the extra, to each asset's event.

    Airflow's partition of the run cannot replace this. A run by hand may have no partition, or may
    be for another day.

    :param counts: Counts of the run.
    :param in_doubt: Rows of the day that are `unknown` now, whichever run sent them.
    """
    for outlet in outlets:
        if isinstance(outlet, Asset):
            add_partition(events[outlet], day)
            events[outlet].extra.update({**counts, UNKNOWN_OF_DAY: in_doubt})
