"""The connection below a request: how to end one without an answer, and what really came in."""

import socket
import struct
from asyncio import Transport
from dataclasses import dataclass, field

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_EXTENSION = "kombo_standin"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, zero seconds (socket(7))


@dataclass
class Connection:
    """One request's connection, with the headers as they were spelled."""

    transport: Transport
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)

    @classmethod
    def of(cls, scope: Scope) -> "Connection":
        """Find the connection that an ASGI scope came over."""
        found: Connection = scope["extensions"][_EXTENSION]["connection"]
        return found

    def close(self) -> None:
        """End the connection in an orderly way (FIN), after what is already written."""
        self.transport.close()

    def reset(self) -> None:
        """Tear the connection down (RST): the client reads "connection reset by peer"."""
        if not self.transport.is_closing():
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self.transport.abort()


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, which also hands its connection to the application."""

    def on_message_begin(self) -> None:
        """Attach the connection to the new request's scope."""
        super().on_message_begin()
        self.connection = Connection(self.transport)
        self.scope["extensions"] = {_EXTENSION: {"connection": self.connection}}

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header as it was spelled, before uvicorn puts its name in lower case."""
        self.connection.headers.append((name, value))
        super().on_header(name, value)


async def hang(_scope: Scope, receive: Receive, _send: Send) -> None:
    """Never answer; end when the connection does."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def close(scope: Scope, receive: Receive, send: Send) -> None:
    """End the connection with a FIN instead of an answer."""
    Connection.of(scope).close()
    await hang(scope, receive, send)


async def reset(scope: Scope, receive: Receive, send: Send) -> None:
    """End the connection with an RST instead of an answer."""
    Connection.of(scope).reset()
    await hang(scope, receive, send)
