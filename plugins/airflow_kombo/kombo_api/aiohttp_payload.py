"""The request's body for aiohttp, and all reliance of this project on aiohttp's internals.

Read in the source of aiohttp 3.14.5 and of yarl 1.25.1. Check each point below when either of them
gets another version; `tests/hooks/test_kombo.py` and `tests/delivery/test_stop.py` fail if one of
the first four no longer holds.

- aiohttp awaits `Payload.write` (through `write_with_length`) or calls `Payload.decode` to get the
  bytes, and there is no other way. So an error before either of them proves that nothing was sent.
  `TraceConfig` would show the same with public signals, for 60 µs a request where the whole takes
  120. The class derives from `Payload`, not from `BytesPayload`, which would hand out its bytes.
- `Payload._size` (private) is read for the header `Content-Length`. There is no public way to set
  the size; without a size aiohttp sends chunks.
- `ClientSession._request` sends a PUT again whose connection was lost (`_retry_connection`), unless
  `Payload.consumed` says that the body is used up. A second time could write twice.
- `Payload.decode` is abstract, and used for logs and for `as_bytes` (middlewares).
- yarl unescapes a path and resolves its dots, unless `encoded=True` says that it is escaped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter


class RequestBody(aiohttp.Payload):
    """Body of a request, sent once at most.

    It records whether aiohttp has asked for it. Before that no server can have read the request.

    :param body: The bytes to send.
    :param may_leave: A function that returns whether the body may be sent at that moment.
    """

    def __init__(self, body: bytes, may_leave: Callable[[], bool]) -> None:
        super().__init__(body, content_type="application/json")
        self._body = body
        self._size = len(body)
        self._may_leave = may_leave
        self.was_asked_for = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the body as a text."""
        self.was_asked_for = True
        return self._body.decode(encoding, errors)

    @property
    def consumed(self) -> bool:
        """Return True after the first use, to keep aiohttp from sending again."""
        return self.was_asked_for

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the body to the connection.

        :raises aiohttp.ClientConnectionError: if the body may not leave, or has left already.
        """
        if self.was_asked_for:  # a version of aiohttp that does not read `consumed`
            raise aiohttp.ClientConnectionError("The request left once, and does not leave again.")
        if not self._may_leave():
            raise aiohttp.ClientConnectionError("The run may not send any more.")
        self.was_asked_for = True
        await writer.write(self._body)


def escaped_url(url: str) -> URL:
    """Return an address for aiohttp with the path as given, already escaped."""
    return URL(url, encoded=True)
