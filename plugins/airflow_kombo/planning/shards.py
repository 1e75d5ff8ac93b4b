"""Shards of a day: integrations packed by their rows, and what each shard may send."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import islice
from typing import Any, Final

from airflow_kombo.delivery_key import is_integration_id
from airflow_kombo.planning.row_limit import RowLimit
from airflow_kombo.rows.integration_counts import IntegrationCount
from airflow_kombo.rows.shard import Shard

MOST_NAMED: Final = 10_000
"""Most integrations that shards name: SQLite takes no more than 32,766 parameters."""


@dataclass(frozen=True)
class PlannedShard(Shard):
    """A shard as one task passes it to another.

    :param max_rows: Rows that the shard may send without approval, as its part of the limit of the
        day. None for a shard that is the whole day.
    """

    max_rows: int | None = None

    @property
    def row_limit(self) -> RowLimit | None:
        """Return the shard's row limit, or None for a shard that is the whole day."""
        if self.max_rows is None:
            return None
        return RowLimit(
            self.max_rows,
            "this is the part of the day's limit for this shard, which a cleared plan divides anew",
        )

    def as_xcom(self) -> dict[str, Any]:
        """Return the shard in the types of JSON."""
        return {
            "integration_ids": sorted(self.integration_ids),
            "is_rest": self.is_rest,
            "max_rows": self.max_rows,
        }


def divide(counts: Collection[IntegrationCount], shards: int) -> list[Shard]:
    """Divide a day into shards with about as many rows each.

    The first shard is the rest. It has the integrations that share a result, those whose id is
    none (it may be personal data, and a shard's ids are seen in Airflow), and the smallest ones of
    a great many. An integration stays in one shard, as its limits do.

    :param shards: Most shards; there are no more than integrations.
    """
    largest_first = sorted(counts, key=lambda one: (-one.rows, one.integration_id))
    named = list(islice(filter(_can_be_named, largest_first), MOST_NAMED))
    rest = sum(one.rows for one in counts) - sum(one.rows for one in named)
    parts: list[list[str]] = [[] for _ in range(min(shards, len(named) + bool(rest)) or 1)]
    loads = [(rest if part == 0 else 0, part) for part in range(len(parts))]
    heapify(loads)
    for one in named:  # each to the part with the fewest rows so far
        load, part = heappop(loads)
        parts[part].append(one.integration_id)
        heappush(loads, (load + one.rows, part))
    others = [Shard(frozenset(ids), is_rest=False) for ids in parts[1:]]
    return [Shard(frozenset().union(*(one.integration_ids for one in others))), *others]


def _can_be_named(one: IntegrationCount) -> bool:
    return is_integration_id(one.integration_id) and not one.shares_results


def limited(
    shards: Sequence[Shard], rows: Mapping[str, int], limit: RowLimit | None
) -> list[PlannedShard]:
    """Return shards with the rows that each may send, so that all together stay below a limit.

    What the limit leaves for rows that come later is divided evenly: nobody knows where they come.

    :param rows: Rows of the day by integration, no more than the limit.
    :param limit: The limit of the day; None for no limit.
    """
    spare = 0 if limit is None else (limit.max_rows - sum(rows.values())) // len(shards)
    planned = []
    for shard in shards:
        own = sum(rows[name] for name in rows if shard.has(name))
        most = None if limit is None else own + spare
        planned.append(PlannedShard(shard.integration_ids, shard.is_rest, most))
    return planned
