"""Server process: uvicorn, started and stopped for tests and the demo."""

import contextlib
import os
import signal
import socket

import uvicorn
from typing_extensions import override  # in typing from Python 3.12 on

from tools.kombo_standin.app import create_app
from tools.kombo_standin.connection import Protocol
from tools.kombo_standin.state import State

_KEEP_ALIVE = 75  # seconds, as nginx; uvicorn's 5 would close pooled connections of a slow client


class Server(uvicorn.Server):
    """Server of uvicorn that prints the address, and stops in spite of hanging requests.

    :param config: uvicorn's settings.
    :param state: The state of the stand-in; waiting requests are woken when the server stops.
    :param parent: The process id of the parent, with which the server ends; None: no such process.
    """

    def __init__(self, config: uvicorn.Config, state: State, parent: int | None = None) -> None:
        super().__init__(config)
        self._state = state
        self._parent = parent

    @override
    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop, as uvicorn asks ten times a second."""
        is_orphan = self._parent not in {None, os.getppid()}
        return await super().on_tick(counter) or is_orphan

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then print the address: after this line, clients can connect."""
        await super().startup(sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        address = f"http://{self.config.host}:{port}/v1"
        print(f"kombo stand-in listening on {address}", flush=True)  # noqa: T201 - its interface

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close all connections at once, because a hanging request would never end."""
        self._state.stopping.set()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)


def serve(state: State, host: str, port: int, parent: int | None = None) -> None:
    """Serve until SIGTERM, SIGINT or the parent's end; port 0 means any free one."""
    config = uvicorn.Config(
        create_app(state),
        host=host,
        port=port,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_keep_alive=_KEEP_ALIVE,
    )
    # After the stop, uvicorn raises the signal again. Neither signal is an error here.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        Server(config, state, parent).run()
