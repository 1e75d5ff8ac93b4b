"""Counts of the bench's server: requests, links and times of each integration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass
class IntegrationCounts:
    """Counts of one integration; times are in seconds after the server's first request."""

    posts: int = 0
    """Requests, also the refused ones."""
    refused: int = 0
    """Responses with status 429."""
    invalid: int = 0
    """Other errors: a fault of the client or of the bench."""
    links: int = 0
    """Different links that the server accepted."""
    duplicates: int = 0
    """Links that the server had accepted before."""
    responses: int = 0
    """Links with a response."""
    cut: int = 0
    """Links in flight whose client closed the connection before the response."""
    work: float = 0.0
    """The sum of the links' latencies, in seconds."""
    most_in_flight: int = 0
    first: float = 0.0
    last: float = 0.0
    """The time of the last request."""
    answered: float = 0.0
    """The time of the last response."""


@dataclass(frozen=True)
class Counts:
    """Counts of all integrations since the last orders."""

    by_integration: Mapping[str, IntegrationCounts]
    taken: Mapping[int, int]
    """Accepted links by second, also those without a response yet."""

    def total(self, name: str) -> int:
        """Return the sum of a count over all integrations."""
        return sum(getattr(counts, name) for counts in self.by_integration.values())

    @property
    def answered(self) -> float:
        """Return the seconds from the first request to the last response."""
        return max((counts.answered for counts in self.by_integration.values()), default=0.0)
