"""A database that is not next door: a proxy that delays all bytes in both directions."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, cast

_SOCKET: Final = ".s.PGSQL.5432"
"""PostgreSQL's name of the socket in a folder."""
_PATIENCE: Final = 30.0


@contextmanager
def distant(folder: str, round_trip: float) -> Iterator[str]:
    """Run a proxy before a PostgreSQL, and always stop the proxy.

    :param folder: The folder of PostgreSQL's socket.
    :param round_trip: Seconds that a message and the answer take in addition.
    :returns: A context with the folder of the proxy's socket.
    """
    processes = multiprocessing.get_context("spawn")
    ours, theirs = processes.Pipe()
    with TemporaryDirectory(prefix="distant-") as near:
        arguments = (theirs, Path(near, _SOCKET), Path(folder, _SOCKET), round_trip / 2)
        process = processes.Process(target=_serve, args=arguments, daemon=True)
        process.start()
        theirs.close()
        try:
            if not ours.poll(_PATIENCE):
                raise RuntimeError("The proxy did not start.")
            yield near
        finally:
            ours.close()  # the proxy ends when the pipe is closed
            process.join(_PATIENCE)
            process.kill()


def _serve(pipe: Connection, near: Path, far: Path, delay: float) -> None:
    with suppress(KeyboardInterrupt):
        asyncio.run(_listen(pipe, near, far, delay))


async def _listen(pipe: Connection, near: Path, far: Path, delay: float) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    server = await loop.create_unix_server(lambda: _Near(far, delay), str(near))
    loop.add_reader(pipe.fileno(), ended.set)
    pipe.send(None)
    await ended.wait()
    loop.remove_reader(pipe.fileno())
    server.close()


class _Late(asyncio.Protocol):
    """One side of a connection, whose bytes go to the other side later.

    :param delay: Seconds.
    """

    def __init__(self, delay: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._delay = delay
        self.transport: asyncio.Transport | None = None
        self.other: _Late | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # a stream has no other

    def data_received(self, data: bytes) -> None:
        self._loop.call_later(self._delay, self._pass_on, data)

    def connection_lost(self, _error: Exception | None) -> None:
        if self.other and self.other.transport:
            self._loop.call_later(self._delay, self.other.transport.close)

    def _pass_on(self, data: bytes) -> None:
        if self.other and self.other.transport and not self.other.transport.is_closing():
            self.other.transport.write(data)


class _Near(_Late):
    """The client's side; the database's side is connected before the first byte goes on."""

    def __init__(self, far: Path, delay: float) -> None:
        super().__init__(delay)
        self._far = far

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        near = cast("asyncio.Transport", transport)
        near.pause_reading()
        self._connecting = self._loop.create_task(self._connect(near))

    async def _connect(self, transport: asyncio.Transport) -> None:
        far = _Late(self._delay)
        far.other, self.other = self, far
        try:
            await self._loop.create_unix_connection(lambda: far, str(self._far))
        except OSError:  # the database has ended
            transport.close()
        else:
            transport.resume_reading()
