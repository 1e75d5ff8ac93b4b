"""The server process: uvicorn, started and stopped the way a test or a demo needs it."""

import contextlib
import signal
import socket

import uvicorn
from typing_extensions import override  # in typing from Python 3.12 on

from tools.kombo_standin.app import create_app
from tools.kombo_standin.connection import Protocol
from tools.kombo_standin.state import State

_KEEP_ALIVE = 75  # seconds, nginx's; uvicorn's 5 would cut pooled connections under a slow client


class Server(uvicorn.Server):
    """uvicorn's server, which says where it listens, and stops although requests hang.

    Args:
        config: uvicorn's settings.
        state: The stand-in's memory; its waiting requests are woken when the server stops.

    """

    def __init__(self, config: uvicorn.Config, state: State) -> None:
        super().__init__(config)
        self._state = state

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then print the address: whoever reads the line can connect."""
        await super().startup(sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        address = f"http://{self.config.host}:{port}/v1"
        print(f"kombo stand-in listening on {address}", flush=True)  # noqa: T201 - its interface

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drop what is unanswered at once; waiting for a request that hangs would never end."""
        self._state.stopping.set()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)


def serve(state: State, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT; port 0 takes a free one."""
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
    # Once it has stopped, uvicorn raises the signal again. Either signal is a wish, not a failure.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        Server(config, state).run()
