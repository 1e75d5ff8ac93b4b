"""A fast server with Kombo's responses, for measurements; the server counts all requests.

The stand-in (`kombo_standin`) supports everything, but is slow. This server supports only the
measured calls. Both share limits, headers and bodies, so both respond as Kombo does. The server
runs in a process of its own, receives orders through a pipe, and ends with the bench.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from multiprocessing.connection import Connection
from time import monotonic
from typing import Final

import httptools

from tools.bench.counts import Counts, IntegrationCounts
from tools.bench.orders import Orders
from tools.kombo_standin.gate import Gate
from tools.kombo_standin.outcomes import KomboError
from tools.kombo_standin.wire import error_body, parse_body, success_body

_BACKLOG: Final = 1024
_PATIENCE: Final = 30.0  # seconds until a new process listens, on a slow and busy machine
_DELIVERED: Final = success_body([])
_INVALID: Final = KomboError(
    status=400, code="PLATFORM.INPUT_INVALID", message="The body is invalid."
)
_NO_SUCH_PATH: Final = KomboError(
    status=404, message="There are only POST .../result-links and GET /v1/check-api-key."
)
_CHECK: Final = ("GET", "/v1/check-api-key")
_ENVIRONMENT: Final = "BenchEnvironment12345678"  # 24 characters, as Kombo's ids have
_CHECKED: Final = json.dumps(
    {
        "status": "success",
        "data": {"environment_id": _ENVIRONMENT, "customer_id": _ENVIRONMENT},
    }
).encode("ascii")


class Kombo:
    """State of all connections: the orders, the limits and the counts."""

    def __init__(self, orders: Orders) -> None:
        self.obey(orders)

    def obey(self, orders: Orders) -> None:
        """Reset the counts and the limits, and follow new orders."""
        self.orders = orders
        self.gate = Gate(orders.limits)
        self.dice = random.Random(orders.seed)  # noqa: S311 - to be repeated
        self._counted: defaultdict[str, IntegrationCounts] = defaultdict(IntegrationCounts)
        self._links: set[int] = set()
        self._taken: Counter[int] = Counter()
        self._began: float | None = None

    def counts(self) -> Counts:
        """Return the counts since the last orders."""
        for name, counted in self._counted.items():
            counted.most_in_flight = self.gate.max_in_flight[name]
        return Counts(dict(self._counted), dict(self._taken))

    def refusal(self, integration_id: str, path: str, body: bytes) -> KomboError | None:
        """Count a request; return the error of a refused request, None for an accepted one."""
        now, counted = self._now(), self._counted[integration_id]
        counted.first = counted.first if counted.posts else now
        counted.posts, counted.last = counted.posts + 1, now
        if refused := self.gate.refusal(integration_id):
            counted.refused += 1
            return refused
        try:
            url = parse_body(body)["url"]
        except ValueError:
            counted.invalid += 1
            return _INVALID
        link, before = hash((integration_id, path, url)), len(self._links)
        self._links.add(link)
        is_new = len(self._links) > before
        counted.links, counted.duplicates = (
            counted.links + is_new,
            counted.duplicates + (not is_new),
        )
        self._taken[int(now)] += 1
        self._let_fall(integration_id, counted)
        return None

    def latency(self, integration_id: str) -> float:
        """Draw the latency of a link, in seconds."""
        latency = self.dice.uniform(*self.orders.of(integration_id).latency)
        self._counted[integration_id].work += latency
        return latency

    def answered(self, integration_id: str) -> None:
        """Count a response to a link."""
        counted = self._counted[integration_id]
        counted.responses, counted.answered = counted.responses + 1, self._now()

    def cut(self, integration_id: str) -> None:
        """Count a link whose client did not wait for the response."""
        self._counted[integration_id].cut += 1

    def _now(self) -> float:
        now = monotonic()
        if self._began is None:
            self._began = now
        return now - self._began

    def _let_fall(self, integration_id: str, counted: IntegrationCounts) -> None:
        behaviour = self.orders.of(integration_id)
        taken = counted.links + counted.duplicates
        if behaviour.falls_to is not None and taken == behaviour.falls_after:
            limits = self.gate.limits
            slots = limits.concurrency_by_integration | {integration_id: behaviour.falls_to}
            self.gate.limits = limits.model_copy(update={"concurrency_by_integration": slots})


class _Http(asyncio.Protocol):
    """One HTTP/1.1 connection with keep-alive, for one request at a time."""

    def __init__(self, kombo: Kombo) -> None:
        self._kombo = kombo
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._path = self._integration_id = ""
        self._body = b""
        self._slot: tuple[str, Gate] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for the responses."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - TCP's always is
        self._transport = transport

    def connection_lost(self, _exc: Exception | None) -> None:
        """Free the slot of a request after the client has closed the connection."""
        self._transport = None
        if self._slot and self._slot[1] is self._kombo.gate:
            self._kombo.cut(self._slot[0])
        self._free()

    def data_received(self, data: bytes) -> None:
        """Parse bytes; the parser calls the methods below."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._transport:
                self._transport.abort()

    def on_url(self, url: bytes) -> None:
        """Begin a request."""
        self._path, self._integration_id, self._body = url.decode("ascii"), "", b""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Read the header with the integration's id."""
        if name.lower() == b"x-integration-id":
            self._integration_id = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """Collect the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Respond at once, later or never."""
        method = self._parser.get_method().decode("ascii")
        if method == "POST" and self._path.endswith("/result-links"):
            self._post()
        elif (method, self._path) == _CHECK:  # no limit and no count
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

    def _refuse(self, answer: KomboError) -> None:
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
    """Handle of a running server, for the process that started the server.

    :param url: The base URL for a Kombo client.
    :param pid: The process id of the server.
    """

    url: str
    pid: int
    _pipe: Connection

    def obey(self, orders: Orders) -> None:
        """Reset the server, and let the server follow new orders."""
        self._pipe.send(orders)
        self._pipe.recv()

    def counts(self) -> Counts:
        """Read the server's counts since the last orders."""
        self._pipe.send(None)
        counts: Counts = self._pipe.recv()
        return counts


@contextmanager
def running() -> Iterator[Server]:
    """Run a server in a process of its own, and always stop the process.

    :raises RuntimeError: if the server does not start; standard error has the reason.
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
        ours.close()  # the server ends when the pipe is closed
        process.join(_PATIENCE)
        process.kill()


def _serve(pipe: Connection) -> None:
    with suppress(KeyboardInterrupt):  # the bench handles Ctrl-C, and closes the pipe
        asyncio.run(_listen(pipe))


async def _listen(pipe: Connection) -> None:
    loop, kombo, ended = asyncio.get_running_loop(), Kombo(Orders()), asyncio.Event()
    server = await loop.create_server(lambda: _Http(kombo), "127.0.0.1", 0, backlog=_BACKLOG)

    def on_orders() -> None:
        try:
            orders: Orders | None = pipe.recv()
        except EOFError:
            ended.set()
            return
        if orders is not None:
            kombo.obey(orders)
        pipe.send(kombo.counts())

    loop.add_reader(pipe.fileno(), on_orders)
    pipe.send(server.sockets[0].getsockname()[1])
    await ended.wait()
    loop.remove_reader(pipe.fileno())
    server.close()
