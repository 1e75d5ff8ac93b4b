"""The endpoints under ``/_standin``: tell the stand-in what to do, ask it what it did."""

from typing import Any

from fastapi import APIRouter
from pydantic import NonNegativeInt

from tools.kombo_standin.scenario import Latency, Limits, Rule, RuleBook
from tools.kombo_standin.state import REQUESTS_KEPT, State


class Control:
    """The control endpoints; they ask for no key.

    Args:
        state: The stand-in's memory.

    """

    def __init__(self, state: State) -> None:
        self._state = state

    def router(self) -> APIRouter:
        """Build the routes."""
        router = APIRouter(prefix="/_standin")
        router.add_api_route("/rules", self.add_rule, methods=["POST"])
        router.add_api_route("/rules", self.clear_rules, methods=["DELETE"])
        router.add_api_route("/limits", self.set_limits, methods=["PUT"])
        router.add_api_route("/latency", self.set_latency, methods=["PUT"])
        router.add_api_route("/reset", self.reset, methods=["POST"])
        router.add_api_route("/links", self.links, methods=["GET"])
        router.add_api_route("/order-results", self.order_results, methods=["GET"])
        router.add_api_route("/stats", self.stats, methods=["GET"])
        router.add_api_route("/requests", self.requests, methods=["GET"])
        return router

    async def add_rule(self, rule: Rule) -> None:
        """Put a rule behind those in force."""
        self._state.rules.add(rule)

    async def clear_rules(self) -> None:
        """Drop all rules, those of the scenario too."""
        self._state.rules = RuleBook([])

    async def set_limits(self, limits: Limits) -> None:
        """Replace all limits and begin new windows; what is left out gets its default."""
        self._state.gate.restart(limits)

    async def set_latency(self, latency: Latency) -> None:
        """Replace all latencies; what is left out gets its default."""
        self._state.latency = latency

    async def reset(self) -> None:
        """Forget everything, the journal too, and begin the scenario anew."""
        self._state.reset()

    async def links(
        self, offset: NonNegativeInt = 0, limit: NonNegativeInt | None = None
    ) -> dict[str, Any]:
        """List the links that were made, each with the number of times."""
        ledger = self._state.ledger
        return {"total": len(ledger), "links": ledger.page(offset, limit)}

    async def order_results(self) -> list[dict[str, Any]]:
        """List the results of orders in the order they were written, each as often as it was."""
        return [result._asdict() for result in self._state.order_results]

    async def stats(self) -> dict[str, Any]:
        """Count what was asked and answered."""
        return self._state.stats()

    async def requests(self, last: NonNegativeInt = REQUESTS_KEPT) -> list[dict[str, Any]]:
        """Show the last writes as they came in, oldest first."""
        kept = list(self._state.received)
        return [received.as_text() for received in kept[max(0, len(kept) - last) :]]
