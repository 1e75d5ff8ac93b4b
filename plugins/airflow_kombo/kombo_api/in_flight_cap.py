"""The user's own cap on calls in flight, for all integrations or by tool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

MaxInFlight: TypeAlias = int | Mapping[str, int] | None
"""One number of calls for every integration, or a number by tool; None is no cap."""

DEFAULT: Final = "default"
"""The entry for tools without a number of their own."""


def tool_of(integration_id: str) -> str:
    """Return the tool of an integration, which is the part of its id before the first `:`."""
    return integration_id.partition(":")[0]


def cap_of(max_in_flight: MaxInFlight, integration_id: str) -> int | None:
    """Return the most calls of an integration at once, or None where no cap is set."""
    if isinstance(max_in_flight, Mapping):
        return max_in_flight.get(tool_of(integration_id), max_in_flight.get(DEFAULT))
    return max_in_flight
