"""A shard: the part of a day that one task delivers, by integration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Shard:
    """Some integrations of a day.

    One shard of a day has all integrations that the others do not name. So each row is in one
    shard, also a row that came after the day was divided.

    :param integration_ids: The integrations of the shard, or those of all other shards.
    :param is_rest: True for the shard that has all integrations but these.
    """

    integration_ids: frozenset[str] = frozenset()
    is_rest: bool = True

    @property
    def is_whole(self) -> bool:
        """Return True if the shard is the whole day."""
        return self.is_rest and not self.integration_ids

    def has(self, integration_id: str) -> bool:
        """Return True for an integration of the shard."""
        return (integration_id in self.integration_ids) != self.is_rest


WHOLE: Final = Shard()
