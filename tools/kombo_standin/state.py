"""State of a running stand-in."""

import asyncio
from collections import Counter, deque
from contextlib import suppress
from typing import Any, NamedTuple

from tools.kombo_standin.ats import Ats
from tools.kombo_standin.gate import Gate
from tools.kombo_standin.ledger import Ledger
from tools.kombo_standin.scenario import RuleBook, Scenario
from tools.kombo_standin.wire import Link, OrderResult

REQUESTS_KEPT = 1000


class Received(NamedTuple):
    """An undecoded write, as received."""

    raw_path: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def as_text(self) -> dict[str, Any]:
        """Return the write as text for JSON."""
        return {
            "raw_path": self.raw_path.decode("ascii"),
            "headers": [[part.decode("latin-1") for part in header] for header in self.headers],
            "body": self.body.decode(errors="replace"),
        }


class State:
    """Rules, limits, links and counts of the stand-in.

    :param key: The accepted API key.
    :param scenario: The behaviour at the start and after every reset.
    :param ledger: The links until now.
    """

    def __init__(self, key: str, scenario: Scenario, ledger: Ledger) -> None:
        self.key = key
        self.scenario = scenario
        self.ledger = ledger
        self.gate = Gate(scenario.limits)
        self.ats = Ats(ledger, scenario.ats)
        self.order_results: list[OrderResult] = []
        self.received: deque[Received] = deque(maxlen=REQUESTS_KEPT)
        self.answers: Counter[str] = Counter()  # of writes
        self.counts: Counter[str] = Counter()
        self.stopping = asyncio.Event()
        self._begin()

    def reset(self) -> None:
        """Delete all orders and counts, and begin the scenario again."""
        self.ledger.clear()
        self.order_results.clear()
        self.received.clear()
        self.answers.clear()
        self.counts.clear()
        self.gate.max_in_flight.clear()
        self.gate.restart(self.scenario.limits)
        self.ats = Ats(self.ledger, self.scenario.ats)
        self._begin()

    def create(self, made: Link | OrderResult) -> None:
        """Write a link or an order's result; only links are counted by identity, and kept."""
        if isinstance(made, Link):
            self.ledger.create(made, self.ats.draw_delay(made.integration_id))
        else:
            self.order_results.append(made)

    async def pause(self, seconds: float) -> None:
        """Wait, at most until the server stops."""
        if seconds:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), seconds)

    def stats(self) -> dict[str, Any]:
        """Return the counts.

        ``answers`` is by HTTP status and code, or by kind without one. Only ``reads`` counts reads,
        also refused ones; ``received``, ``created``, ``answers`` and ``refused_429`` are of writes.
        """
        refused = sum(n for name, n in self.answers.items() if name.startswith("429"))
        return {
            "received": self.counts["received"],
            "created": self.ledger.created + len(self.order_results),
            "answers": self.answers,
            "refused_429": refused,
            "max_in_flight": self.gate.max_in_flight,
            "redirects_followed": self.counts["redirects_followed"],
            "reads": self.counts["reads"],
        }

    def _begin(self) -> None:
        self.rules = RuleBook(self.scenario.rules)
        self.latency = self.scenario.latency
