"""A server that answers like Kombo, much faster than a client asks, and counts what it sees.

The stand-in (`kombo_standin`) can do everything, one request after the other. This one does only
what is measured, and shares the stand-in's limits, headers and bodies, so that both are Kombo's.
It runs in a process of its own, is told how to behave over a pipe, and ends with who started it.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from multiprocessing.connection import Connection
from time import monotonic
from typing import Final

import httptools

from tools.kombo_standin.gate import Gate
from tools.kombo_standin.outcomes import KomboResponse
from tools.kombo_standin.scenario import Limits
from tools.kombo_standin.wire import error_body, parse_body, success_body

_BACKLOG: Final = 1024
_PATIENCE: Final = 30.0  # seconds until a new process listens, on a slow and busy machine
_NO_RATE: Final = 1_000_000_000
"""Requests per window that no client can send: it always has to be told a number."""
_DELIVERED: Final = success_body([])
_INVALID: Final = KomboResponse(
    status=400, code="PLATFORM.INPUT_INVALID", message="The body is invalid."
)
_NO_SUCH_PATH: Final = KomboResponse(
    status=404, message="There are only POST .../result-links and GET /v1/check-api-key."
)
_CHECK: Final = ("GET", "/v1/check-api-key")
_ENVIRONMENT: Final = "BenchEnvironment12345678"  # 24 characters, as Kombo's are
_CHECKED: Final = json.dumps(
    {
        "status": "success",
        "data": {"environment_id": _ENVIRONMENT, "customer_id": _ENVIRONMENT},
    }
).encode("ascii")


@dataclass(frozen=True)
class Behaviour:
    """How one integration answers; times in seconds.

    :param latency: Shortest and longest, drawn evenly for each request.
    :param limit: Calls in flight at most.
    :param falls_to: The limit after `falls_after` requests were taken.
    :param hangs: Whether it never answers.
    """

    latency: tuple[float, float] = (0.0, 0.0)
    limit: int = 30
    falls_to: int | None = None
    falls_after: int = 0
    hangs: bool = False


@dataclass(frozen=True)
class Orders:
    """How the server behaves from now on; what it has counted is forgotten.

    :param default: How integrations behave that `by_integration` does not name.
    :param rate: Requests of all integrations together per `window` (seconds); none stops nobody.
    :param seed: Where the latencies' dice begin.
    """

    default: Behaviour = Behaviour()
    by_integration: Mapping[str, Behaviour] = field(default_factory=dict)
    rate: int | None = None
    window: float = 60.0
    seed: int = 20261103

    def of(self, integration_id: str) -> Behaviour:
        """Give one integration's behaviour."""
        return self.by_integration.get(integration_id, self.default)

    @property
    def limits(self) -> Limits:
        """The same in the stand-in's words, before any limit falls."""
        slots = {name: behaviour.limit for name, behaviour in self.by_integration.items()}
        return Limits(
            concurrency=self.default.limit,
            concurrency_by_integration=slots,
            rate=self.rate or _NO_RATE,
            window=self.window,
        )


@dataclass
class LedgerRow:
    """What came in for one integration; times in seconds after the first request of all."""

    posts: int = 0
    """Requests, with those that were refused."""
    refused: int = 0
    """429s."""
    invalid: int = 0
    """Other errors: the client is at fault, or who measures."""
    links: int = 0
    """Different links that were taken."""
    duplicates: int = 0
    """Links that were taken once more."""
    answers: int = 0
    """Links whose answer went out."""
    work: float = 0.0
    """Seconds that its links were to take in all."""
    most_in_flight: int = 0
    first: float = 0.0
    last: float = 0.0
    """When the last request came in."""
    answered: float = 0.0
    """When the last answer went out."""


@dataclass(frozen=True)
class Counts:
    """All that came in since the last orders."""

    by_integration: Mapping[str, LedgerRow]
    taken: Mapping[int, int]
    """By second: links that were taken, whether or not they are answered yet."""

    def total(self, name: str) -> int:
        """Add a count up over all integrations."""
        return sum(getattr(seen, name) for seen in self.by_integration.values())

    @property
    def answered(self) -> float:
        """Seconds from the first request to the last answer."""
        return max((seen.answered for seen in self.by_integration.values()), default=0.0)


class Kombo:
    """What all connections have in common: the orders, the limits and the counts."""

    def __init__(self, orders: Orders) -> None:
        self.obey(orders)

    def obey(self, orders: Orders) -> None:
        """Forget everything, and behave in another way from now on."""
        self.orders = orders
        self.gate = Gate(orders.limits)
        self.dice = random.Random(orders.seed)  # noqa: S311 - to be repeated
        self._seen: defaultdict[str, LedgerRow] = defaultdict(LedgerRow)
        self._links: set[int] = set()
        self._taken: Counter[int] = Counter()
        self._began: float | None = None

    def counts(self) -> Counts:
        """Give what was counted."""
        for name, seen in self._seen.items():
            seen.most_in_flight = self.gate.max_in_flight[name]
        return Counts(dict(self._seen), dict(self._taken))

    def refusal(self, integration_id: str, path: str, body: bytes) -> KomboResponse | None:
        """Count a request, and refuse it or take it."""
        now, seen = self._now(), self._seen[integration_id]
        seen.first = seen.first if seen.posts else now
        seen.posts, seen.last = seen.posts + 1, now
        if refused := self.gate.refusal(integration_id):
            seen.refused += 1
            return refused
        try:
            url = parse_body(body)["url"]
        except ValueError:
            seen.invalid += 1
            return _INVALID
        link, before = hash((integration_id, path, url)), len(self._links)
        self._links.add(link)
        is_new = len(self._links) > before
        seen.links, seen.duplicates = seen.links + is_new, seen.duplicates + (not is_new)
        self._taken[int(now)] += 1
        self._let_fall(integration_id, seen)
        return None

    def latency(self, integration_id: str) -> float:
        """Throw the dice for the seconds that a link takes."""
        latency = self.dice.uniform(*self.orders.of(integration_id).latency)
        self._seen[integration_id].work += latency
        return latency

    def answered(self, integration_id: str) -> None:
        """Note that a link's answer is going out."""
        seen = self._seen[integration_id]
        seen.answers, seen.answered = seen.answers + 1, self._now()

    def _now(self) -> float:
        now = monotonic()
        if self._began is None:
            self._began = now
        return now - self._began

    def _let_fall(self, integration_id: str, seen: LedgerRow) -> None:
        behaviour = self.orders.of(integration_id)
        taken = seen.links + seen.duplicates
        if behaviour.falls_to is not None and taken == behaviour.falls_after:
            limits = self.gate.limits
            slots = limits.concurrency_by_integration | {integration_id: behaviour.falls_to}
            self.gate.limits = limits.model_copy(update={"concurrency_by_integration": slots})


class _Http(asyncio.Protocol):
    """One connection: HTTP/1.1 with keep-alive, a request at a time."""

    def __init__(self, kombo: Kombo) -> None:
        self._kombo = kombo
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._path = self._integration_id = ""
        self._body = b""
        self._slot: tuple[str, Gate] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - TCP's always is
        self._transport = transport

    def connection_lost(self, _exc: Exception | None) -> None:
        """Free the slot of a request whose client gave up."""
        self._transport = None
        self._free()

    def data_received(self, data: bytes) -> None:
        """Parse; the callbacks below follow."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._transport:
                self._transport.abort()

    def on_url(self, url: bytes) -> None:
        """Begin a request."""
        self._path, self._integration_id, self._body = url.decode("ascii"), "", b""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Look for the one header that is needed."""
        if name.lower() == b"x-integration-id":
            self._integration_id = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """Gather the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Answer, now, later or never."""
        method = self._parser.get_method().decode("ascii")
        if method == "POST" and self._path.endswith("/result-links"):
            self._post()
        elif (method, self._path) == _CHECK:  # of the key alone: no integration, no limit, no count
            self._write(HTTPStatus.OK, {}, _CHECKED)
        else:
            self._refuse(_NO_SUCH_PATH)

    def _post(self) -> None:
        kombo, name = self._kombo, self._integration_id
        if refusal := kombo.refusal(name, self._path, self._body):
            self._refuse(refusal)
            return
        self._take(name)
        if kombo.orders.of(name).hangs:
            return
        latency = kombo.latency(name)
        if latency:
            asyncio.get_running_loop().call_later(latency, self._deliver)
        else:
            self._deliver()

    def _take(self, name: str) -> None:
        gate = self._kombo.gate
        gate.in_flight[name] += 1
        gate.max_in_flight[name] = max(gate.in_flight[name], gate.max_in_flight[name])
        self._slot = (name, gate)

    def _free(self) -> None:
        if self._slot:
            name, gate = self._slot
            gate.in_flight[name] -= 1
            self._slot = None

    def _deliver(self) -> None:
        if self._slot and self._slot[1] is self._kombo.gate:
            self._kombo.answered(self._slot[0])
        headers = self._kombo.gate.headers(self._integration_id)
        self._free()
        self._write(HTTPStatus.OK, headers, _DELIVERED)

    def _refuse(self, answer: KomboResponse) -> None:
        headers = {**self._kombo.gate.headers(self._integration_id), **answer.headers}
        body = error_body(answer.code, answer.title, answer.message, "https://app.kombo.dev/logs")
        self._write(HTTPStatus(answer.status), headers, body)

    def _write(self, status: HTTPStatus, headers: Mapping[str, str], body: bytes) -> None:
        if self._transport is None:
            return
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n{lines}\r\n"
        )
        self._transport.write(head.encode("ascii") + body)


@dataclass(frozen=True)
class Server:
    """A running server, seen from the process that started it.

    :param url: The base that a Kombo client needs.
    """

    url: str
    pid: int
    _pipe: Connection

    def obey(self, orders: Orders) -> None:
        """Have it forget everything, and behave in another way from now on."""
        self._pipe.send(orders)
        self._pipe.recv()

    def counts(self) -> Counts:
        """Ask what it has counted since its last orders."""
        self._pipe.send(None)
        counts: Counts = self._pipe.recv()
        return counts


@contextmanager
def running() -> Iterator[Server]:
    """Run a server in a process of its own, and always stop it.

    :raises RuntimeError: if it does not start; why is on its standard error, which is ours.
    """
    processes = multiprocessing.get_context("spawn")
    ours, theirs = processes.Pipe()
    process = processes.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(_PATIENCE) or process.pid is None:
            raise RuntimeError("The server did not start.")
        yield Server(f"http://127.0.0.1:{ours.recv()}/v1", process.pid, ours)
    finally:
        ours.close()  # it ends when there is nobody to obey any more
        process.join(_PATIENCE)
        process.kill()


def _serve(pipe: Connection) -> None:
    with suppress(KeyboardInterrupt):  # Ctrl-C is for who started us: the pipe's end is our sign
        asyncio.run(_listen(pipe))


async def _listen(pipe: Connection) -> None:
    loop, kombo, ended = asyncio.get_running_loop(), Kombo(Orders()), asyncio.Event()
    server = await loop.create_server(lambda: _Http(kombo), "127.0.0.1", 0, backlog=_BACKLOG)

    def heed() -> None:
        try:
            orders: Orders | None = pipe.recv()
        except EOFError:
            ended.set()
            return
        if orders is not None:
            kombo.obey(orders)
        pipe.send(kombo.counts())

    loop.add_reader(pipe.fileno(), heed)
    pipe.send(server.sockets[0].getsockname()[1])
    await ended.wait()
    loop.remove_reader(pipe.fileno())
    server.close()
