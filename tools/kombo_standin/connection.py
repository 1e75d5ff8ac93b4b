"""Connection of a request: headers as received, and ends without a response."""

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
    """One request's connection, with the headers' original spelling."""

    transport: Transport
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)

    @classmethod
    def of(cls, scope: Scope) -> "Connection":
        """Return the connection of an ASGI scope."""
        found: Connection = scope["extensions"][_EXTENSION]["connection"]
        return found

    def close(self) -> None:
        """Close the connection in order (FIN), after all written bytes."""
        self.transport.close()

    def reset(self) -> None:
        """Reset the connection (RST): the client reads "connection reset by peer"."""
        if not self.transport.is_closing():
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self.transport.abort()


class Protocol(HttpToolsProtocol):
    """HTTP protocol of uvicorn that also passes the connection to the application."""

    def on_message_begin(self) -> None:
        """Attach the connection to the new request's scope."""
        super().on_message_begin()
        self.connection = Connection(self.transport)
        self.scope["extensions"] = {_EXTENSION: {"connection": self.connection}}

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the header's original spelling, before uvicorn converts the name to lower case."""
        self.connection.headers.append((name, value))
        super().on_header(name, value)


async def hang(_scope: Scope, receive: Receive, _send: Send) -> None:
    """Send no response until the client disconnects."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def close(scope: Scope, receive: Receive, send: Send) -> None:
    """Close the connection with a FIN instead of a response."""
    Connection.of(scope).close()
    await hang(scope, receive, send)


async def reset(scope: Scope, receive: Receive, send: Send) -> None:
    """Reset the connection with an RST instead of a response."""
    Connection.of(scope).reset()
    await hang(scope, receive, send)
