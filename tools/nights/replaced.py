"""Replaced parts of a simulated night: clocks, threads, the wire, death.

The test `tests/tools/nights/test_world.py` holds the night to this list. Everything else of the
delivery is the shipped code. The database is a real SQLite: it has the night's clock, and it fails
and is slow when the night wants.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, cast
from unittest.mock import patch

import aiohttp
from multidict import CIMultiDict

from tools.nights.process import Process, ThreadPool
from tools.nights.world import CommitFate, Point, is_running, running, sleep

if TYPE_CHECKING:
    from yarl import URL


class DatabaseConnection(sqlite3.Connection):
    """Connection to SQLite with the night's clock and the night's accidents."""

    writes = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.create_function("strftime", -1, _strftime)
        self.create_function("night_now", 0, lambda: running().process.world.now)
        self.create_function("night_process", 0, lambda: running().process.name)

    def cursor(self, _factory: object = None) -> sqlite3.Cursor:  # type: ignore[override]
        """Return a cursor that begins transactions as the night wants."""
        return super().cursor(_Cursor)

    def commit(self) -> None:
        """Commit, unless the database or the process fails meanwhile."""
        if not is_running() or not self.in_transaction or not self.writes:
            super().commit()
            return
        process = running().process
        process.pass_by(Point.COMMIT)
        seconds, fate = process.world.fate.commits()
        super().rollback() if fate is CommitFate.LOST else super().commit()
        sleep(seconds)  # afterwards, because a transaction that waits would stop the night
        process.pass_by(Point.COMMITTED)
        if fate is not CommitFate.DONE:
            raise sqlite3.OperationalError("the database failed at a commit")


class _Cursor(sqlite3.Cursor):
    def execute(self, sql: str, *parameters: Any) -> _Cursor:
        if is_running() and sql.startswith("BEGIN"):
            process = running().process
            process.pass_by(Point.BEGIN)
            seconds, can_begin = process.world.fate.begins()
            sleep(seconds)
            if not can_begin:
                raise sqlite3.OperationalError("the database is locked")
            cast("DatabaseConnection", self.connection).writes = sql == "BEGIN IMMEDIATE"
        return super().execute(sql, *parameters)


def _strftime(form: str, moment: str) -> str:
    if (form, moment) != ("%Y-%m-%d %H:%M:%f000", "now"):
        raise ValueError(f"A night has no time for {form} and {moment}.")
    if not is_running():  # the tables are made before the first night
        return f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S.%f}"
    return running().process.world.database_time()


class Reply:
    """Response to a request, as far as the client uses one of aiohttp's.

    :param body: The body; None if the connection breaks before it.
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes | None) -> None:
        self.status = status
        self.headers = CIMultiDict(headers)
        self.ok = status < 400  # noqa: PLR2004 - as aiohttp's
        self.content = self
        self._rest = body

    async def readany(self) -> bytes:
        """Return what there is of the body, and nothing at its end."""
        if self._rest is None:
            raise aiohttp.ClientPayloadError
        body, self._rest = self._rest, b""
        return body

    def close(self) -> None:
        """Close the connection."""


class Request(NamedTuple):
    """Request of a process, with a body on the wire."""

    process: Process
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    is_awaited: Callable[[], bool]
    """Function that returns True as long as the process waits for the response."""


class Server(Protocol):
    """The other end of the wire."""

    def connect(self) -> tuple[float, bool]:
        """Return the seconds until a connection is there, and True if one is."""

    def receive(self, request: Request, respond: Callable[[Reply | Exception], None]) -> None:
        """Take a request, and respond later, or never."""


class Session:
    """Session of requests, in place of `aiohttp.ClientSession`."""

    def __init__(self, *, timeout: aiohttp.ClientTimeout, **_options: object) -> None:
        self.timeout = timeout

    async def __aenter__(self) -> Session:  # noqa: PYI034 - Python 3.10 has no Self
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    @contextlib.asynccontextmanager
    async def request(
        self,
        method: str,
        url: URL,
        *,
        data: Any,
        headers: Mapping[str, str],
        timeout: aiohttp.ClientTimeout | None = None,
        **_options: object,
    ) -> AsyncIterator[Reply]:
        """Send a request, and wait for the response."""
        seconds = (timeout or self.timeout).total
        yield await asyncio.wait_for(self._exchange(method, url, data, headers), seconds)

    async def _exchange(
        self, method: str, url: URL, data: Any, headers: Mapping[str, str]
    ) -> Reply:
        process = running().process
        seconds, is_there = process.world.server.connect()
        await asyncio.sleep(seconds)
        if not is_there:
            raise aiohttp.ClientConnectionError
        body: list[bytes] = []
        if isinstance(data, bytes):
            body.append(data)
        elif data is not None:
            await data.write(SimpleNamespace(write=_writer(body)))
        if not url.path.endswith("/check-api-key"):
            process.pass_by(Point.SENT)
        response: asyncio.Future[Reply] = process.loop.create_future()

        def respond(reply: Reply | Exception) -> None:
            if is_awaited():
                process.loop.call_soon_threadsafe(_resolve, response, reply)

        def is_awaited() -> bool:
            return not (process.is_dead or process.has_ended or response.done())

        request = Request(
            process, method, url.raw_path, url.raw_query_string, headers, b"".join(body), is_awaited
        )
        process.world.server.receive(request, respond)
        return await response


def _writer(body: list[bytes]) -> Callable[[bytes], Coroutine[Any, Any, None]]:
    async def write(part: bytes) -> None:
        body.append(part)

    return write


def _resolve(response: asyncio.Future[Reply], reply: Reply | Exception) -> None:
    if response.done():
        return
    if isinstance(reply, Exception):
        response.set_exception(reply)
    else:
        response.set_result(reply)


def _monotonic() -> float:
    return running().process.monotonic()


def _boot_time() -> float:
    return running().process.world.now


REPLACED: Final[Mapping[str, object]] = {
    "airflow_kombo.database.idle_connections.monotonic": _monotonic,
    "airflow_kombo.delivery.calls.monotonic": _monotonic,
    "airflow_kombo.delivery.held_outcomes.monotonic": _monotonic,
    "airflow_kombo.delivery.integration_sender.monotonic": _monotonic,
    "airflow_kombo.delivery.request_queue.monotonic": _monotonic,
    "airflow_kombo.ledger.held_rows.monotonic": _monotonic,
    "airflow_kombo.reconciliation.integration_reader.monotonic": _monotonic,
    "airflow_kombo.delivery.liveness.clock": _boot_time,
    "tenacity.time": SimpleNamespace(monotonic=_monotonic),
    "airflow_kombo.delivery.threads.ThreadPoolExecutor": ThreadPool,
    "aiohttp.ClientSession": Session,
    "aiohttp.TCPConnector": lambda **_: None,
}
"""All that is replaced, beside the event loop and the connection to SQLite."""


@contextlib.contextmanager
def replaced() -> Iterator[None]:
    """Replace clocks, threads and wire of the shipped code."""
    with contextlib.ExitStack() as stack:
        for name, simulated in REPLACED.items():
            stack.enter_context(patch(name, simulated))
        yield
