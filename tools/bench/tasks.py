"""Place of a task in a day in shards, as the bench passes it to the task's process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

TASK: Final = "KOMBO_BENCH_TASK"
"""The environment variable of a `Task`, as JSON."""


@dataclass(frozen=True)
class Task:
    """The place of a task in its day.

    :param rows: Rows of the day.
    :param shards: Shards of the day, at most.
    :param map_index: Number of the shard; -1 for the plan and the account.
    :param shard: The shard, as the plan returned it.
    """

    rows: int
    shards: int
    map_index: int = -1
    shard: Mapping[str, Any] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Return the task as an environment variable."""
        return {TASK: json.dumps(asdict(self))}
