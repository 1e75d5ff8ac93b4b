"""Plan of a night by the number, on some nights with shards and looks."""

from __future__ import annotations

from tools.nights.evidence_plan import with_looks
from tools.nights.plan import Plan, plan_without_shards
from tools.nights.shard_plan import with_shards


def plan_of(seed: int) -> Plan:
    """Draw the plan of a night from a number."""
    return with_looks(with_shards(plan_without_shards(seed)))
