"""Kombo, with every failure, and with a record of the links made."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final
from urllib.parse import unquote

import aiohttp

from tools.nights.answers import ANSWERS, CALM, LIMITED, Answer, Proof, success
from tools.nights.ats import Ats
from tools.nights.ats_reads import AtsReads
from tools.nights.plan import Plan
from tools.nights.replaced import Reply, Request
from tools.nights.world import EVENING, World

LONGEST_SECONDS: Final = 300.0
"""Time after which Kombo ends a request, and a person may trust Kombo's logs."""
_SLOW_CONNECTIONS: Final = 0.05
_LOST_CONNECTIONS: Final = 0.01
"""Shares of the connections that take long, and that fail then."""


@dataclass
class Sent:
    """Request on the wire, and the end."""

    run: str
    result_id: str
    target: tuple[str, str, str]
    url: str
    at: float
    answer: Answer
    attempt: int | None = None
    """Number of the attempt in the ledger as the request left; None if the ledger had none."""
    made_at: float | None = None
    """Time at which the link was made; None if it was not, or not yet."""
    received_at: float | None = None
    """Time at which the response reached the process; None if it did not."""


class Kombo:
    """The server of a night.

    :param on_sent: Called with the run's name and the result when a request has come. It returns
        the number of the attempt.
    """

    def __init__(self, world: World, plan: Plan, on_sent: Callable[[str, str], int | None]) -> None:
        self.sent: list[Sent] = []
        self.ats = Ats(plan, self.sent)
        self._reads = AtsReads(self.ats, plan.seed)
        self._world = world
        self._plan = plan
        self._on_sent = on_sent
        self._in_flight: Counter[str] = Counter()
        self._tries: Counter[str] = Counter()
        self._connections = 0
        self._reads_taken = 0

    def connect(self) -> tuple[float, bool]:
        """Return the seconds until a connection is there, and True if one is."""
        self._connections += 1
        chance = self._chance("connection", self._connections)
        seconds = chance.choice([0.0, 0.001, 0.05])
        luck = chance.random()
        if self._mood() is CALM or luck > _SLOW_CONNECTIONS:
            return seconds, True
        return chance.uniform(0.1, 30.0), luck > _LOST_CONNECTIONS

    def receive(self, request: Request, respond: Callable[[Reply | Exception], None]) -> None:
        """Take a request, make the link or not, and respond or not."""
        if request.path.endswith("/check-api-key"):
            self._check_key(respond)
            return
        if not request.path.endswith("/result-links"):
            self._read_ats(request, respond)
            return
        sent = self._read(request)
        chance = self._chance(sent.result_id, self._tries[sent.result_id])
        integration = sent.target[0]
        self._in_flight[integration] += 1
        if self._in_flight[integration] > self._plan.slots:
            sent.answer = LIMITED
        seconds = self._seconds(chance)
        if sent.answer.proof is Proof.MADE or (
            sent.answer.proof is Proof.NONE and chance.random() < 0.5  # noqa: PLR2004 - either
        ):
            self._make_later(sent, chance, seconds)

        def end() -> None:
            self._in_flight[integration] -= 1
            if sent.answer.status == -1 or not request.is_awaited():
                return
            sent.received_at = self._world.now
            respond(self._reply(sent.answer, integration))

        self._world.at(self._world.now + seconds, end)

    def _mood(self) -> Mapping[str, float]:
        """Return the weights of the kinds of answers at this time."""
        return self._plan.mood_at(self._world.now - EVENING)

    def _read_ats(self, request: Request, respond: Callable[[Reply | Exception], None]) -> None:
        """Answer a read at the end of the time a response takes."""
        self._reads_taken += 1
        seconds = self._seconds(self._chance("read", self._reads_taken))

        def end() -> None:
            if not request.is_awaited():
                return
            answer = self._reads.answer(request, self._mood(), self._world.now)
            if answer.status != -1:
                respond(self._reply(answer, request.headers["X-Integration-Id"]))

        self._world.at(self._world.now + seconds, end)

    def _make_later(self, sent: Sent, chance: Random, seconds: float) -> None:
        longest = seconds if sent.answer.proof is Proof.MADE else LONGEST_SECONDS
        share = chance.random() ** 2  # mostly early

        def make() -> None:
            sent.made_at = self._world.now
            self.ats.keep(sent)
            self._world.record(f"Kombo makes {sent.result_id} on {'/'.join(sent.target)}")

        self._world.at(self._world.now + longest * share, make)

    def _read(self, request: Request) -> Sent:
        body: dict[str, Any] = json.loads(request.body)
        parts = request.path.split("/")
        target = (
            request.headers["X-Integration-Id"],
            parts[-3].removesuffix("s"),
            unquote(parts[-2]),
        )
        result_id = body["label"].split()[-1]
        self._tries[result_id] += 1
        chance = self._chance(result_id, self._tries[result_id])
        mood = self._mood()
        (kind,) = chance.choices(list(mood), list(mood.values()))
        answer = chance.choice(ANSWERS[kind])
        sent = Sent(request.process.name, result_id, target, body["url"], self._world.now, answer)
        sent.attempt = self._on_sent(sent.run, result_id)
        self.sent.append(sent)
        self._world.record(f"{sent.run} sends {result_id} to {'/'.join(target)}: {answer.name}")
        return sent

    def _check_key(self, respond: Callable[[Reply | Exception], None]) -> None:
        chance = self._chance("key", len(self.sent))
        mood = self._mood()
        ok = Answer("key", Proof.MADE, 200, success())
        answer = ok if chance.random() < 0.97 or mood is CALM else LIMITED  # noqa: PLR2004 - rarely
        self._world.at(self._world.now + 0.05, lambda: respond(self._reply(answer, "")))

    def _reply(self, answer: Answer, integration: str) -> Reply | Exception:
        if not answer.status:
            return aiohttp.ServerDisconnectedError()
        return Reply(answer.status, self._headers(integration, answer), answer.body)

    def _headers(self, integration: str, answer: Answer) -> dict[str, str]:
        if not answer.is_kombos:
            return {"Content-Type": "text/html"}
        left = max(0, self._plan.slots - self._in_flight[integration])
        return {
            "Concurrency-Limit": str(self._plan.slots),
            "Concurrency-Remaining": str(left),
            "ratelimit-limit": "6000",
            "ratelimit-remaining": "5000",
            "ratelimit-reset": "57",
        }

    def _seconds(self, chance: Random) -> float:
        """Return the time of a response: mostly usual, sometimes as long as Kombo waits."""
        least, most = self._plan.patience
        if self._mood() is not CALM and chance.random() < 0.02:  # noqa: PLR2004 - rarely
            least, most = 10.0, LONGEST_SECONDS + 20
        return float(least * (most / least) ** chance.random())

    def _chance(self, *what: object) -> Random:
        return Random(f"{self._plan.seed}/{what}")
