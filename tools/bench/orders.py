"""Orders for the bench's server: the behaviour of each integration, and the limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tools.kombo_standin.scenario import Limits

_NO_RATE: Final = 1_000_000_000
"""Requests per window that no client reaches: a rate limit without a number does not exist."""


@dataclass(frozen=True)
class Behaviour:
    """Behaviour of one integration.

    :param latency: Shortest and longest seconds of a call, drawn evenly for each request.
    :param limit: The most calls in flight.
    :param falls_to: The limit after `falls_after` accepted requests.
    :param hangs: Send no response.
    """

    latency: tuple[float, float] = (0.0, 0.0)
    limit: int = 30
    falls_to: int | None = None
    falls_after: int = 0
    hangs: bool = False


@dataclass(frozen=True)
class Orders:
    """New behaviour of the server, which also resets the counts.

    :param default: Behaviour of integrations that `by_integration` does not name.
    :param rate: Requests of all integrations together per `window`; None: no limit.
    :param window: Seconds.
    :param seed: Seed of the random latencies.
    """

    default: Behaviour = Behaviour()
    by_integration: Mapping[str, Behaviour] = field(default_factory=dict)
    rate: int | None = None
    window: float = 60.0
    seed: int = 20261103

    def of(self, integration_id: str) -> Behaviour:
        """Return the behaviour of one integration."""
        return self.by_integration.get(integration_id, self.default)

    @property
    def limits(self) -> Limits:
        """Return the limits for the stand-in's gate, before any limit falls."""
        slots = {name: behaviour.limit for name, behaviour in self.by_integration.items()}
        return Limits(
            concurrency=self.default.limit,
            concurrency_by_integration=slots,
            rate=self.rate or _NO_RATE,
            window=self.window,
        )
