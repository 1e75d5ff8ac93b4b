"""Control endpoints below ``/_standin``: orders and reports."""

import math
from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import NonNegativeInt

from tools.kombo_standin.scenario import Flavours, Latency, Limits, Match, Rule, RuleBook
from tools.kombo_standin.state import REQUESTS_KEPT, State


class Control:
    """Control endpoints; they need no key.

    :param state: The state of the stand-in.
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
        router.add_api_route("/ats", self.set_ats, methods=["PUT"])
        router.add_api_route("/sync", self.sync, methods=["POST"])
        router.add_api_route("/deletions", self.delete_link, methods=["POST"])
        router.add_api_route("/reset", self.reset, methods=["POST"])
        router.add_api_route("/links", self.links, methods=["GET"])
        router.add_api_route("/order-results", self.order_results, methods=["GET"])
        router.add_api_route("/stats", self.stats, methods=["GET"])
        router.add_api_route("/requests", self.requests, methods=["GET"])
        return router

    async def add_rule(self, rule: Rule) -> None:
        """Add a rule behind the existing ones."""
        self._state.rules.add(rule)

    async def clear_rules(self) -> None:
        """Delete all rules, also the scenario's."""
        self._state.rules = RuleBook([])

    async def set_limits(self, limits: Limits) -> None:
        """Replace all limits and begin new windows; missing values become defaults."""
        self._state.gate.restart(limits)

    async def set_latency(self, latency: Latency) -> None:
        """Replace all latencies; missing values become defaults."""
        self._state.latency = latency

    async def set_ats(self, ats: Flavours) -> None:
        """Replace all flavours, and begin new syncs; missing values become defaults."""
        self._state.ats.restart(ats)

    async def sync(self) -> None:
        """Sync the notes of all integrations now."""
        self._state.ats.syncs.order()

    async def delete_link(self, match: Match) -> dict[str, int]:
        """Delete the matching links from the ATS, as a recruiter does, and count them."""
        ledger = self._state.ledger
        found = [
            one
            for one in ledger.records()
            if match.matches(one.link) and one.deleted_at == math.inf
        ]
        if not found:
            raise HTTPException(404, "There is no such link.")
        for one in found:
            ledger.delete(one)
        return {"deleted": len(found)}

    async def reset(self) -> None:
        """Delete links, counts and journal, and begin the scenario again."""
        self._state.reset()

    async def links(
        self, offset: NonNegativeInt = 0, limit: NonNegativeInt | None = None
    ) -> dict[str, Any]:
        """List the links, each with the number of writes."""
        ledger = self._state.ledger
        return {"total": len(ledger), "links": ledger.page(offset, limit)}

    async def order_results(self) -> list[dict[str, Any]]:
        """List all written results of orders in the order of writing."""
        return [result._asdict() for result in self._state.order_results]

    async def stats(self) -> dict[str, Any]:
        """Return counts of requests and responses."""
        return self._state.stats()

    async def requests(self, last: NonNegativeInt = REQUESTS_KEPT) -> list[dict[str, Any]]:
        """Return the last writes as they were received, oldest first."""
        kept = list(self._state.received)
        return [received.as_text() for received in kept[max(0, len(kept) - last) :]]
