"""Make one call to Kombo and return what came back."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from airflow_kombo.exceptions import (
    ConfigurationError,
    NotSentError,
    ResponseLostError,
    TransportError,
)
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.kombo_api.response import KomboResponse

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter


TIMEOUT_SECONDS: Final = 300.0
"""A write runs live against the customer's ATS; Kombo's own clients wait as long."""
CHECK_SECONDS: Final = 30.0
"""How long the question whether Kombo is there may take."""
_CONNECT_SECONDS: Final = 30.0
_LONGEST_BODY_BYTES: Final = 1024 * 1024
"""What is read of an answer: a page of few bytes, compressed, may unfold to gigabytes."""
_CHUNK_BYTES: Final = 64 * 1024
_NETWORK: Final = (aiohttp.ClientError, asyncio.TimeoutError, OSError)
"""How a call may end without an answer; any other exception is an error in a program."""
_LASTING: Final = (
    aiohttp.ClientSSLError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ClientProxyConnectionError,
    aiohttp.InvalidURL,
)
"""What does not pass by itself: a certificate, a proxy, an address that is none."""
_KEEPALIVE_SECONDS: Final = 4.0
"""An idle connection that the server closes while we write costs a row its certainty, a new one a
handshake. So idle ones are dropped before any usual server does it (Node.js after 5 s)."""


@dataclass(frozen=True)
class Access:
    """Where Kombo is, and how it is reached.

    :param base_url: The API's base, without a slash at its end.
    :param headers: What every request carries, the API key among it.
    :param proxy: The proxy's address, if there is one.
    :param tls: What the server's certificate is checked with; False for not at all.
    :param timeout: Seconds that a call may take.
    """

    base_url: str
    headers: Mapping[str, str]
    proxy: str | None = None
    tls: ssl.SSLContext | bool = True
    timeout: float = TIMEOUT_SECONDS


class KomboClient:
    """One session for many calls; made by `KomboHook.client`."""

    def __init__(self, http: aiohttp.ClientSession, access: Access) -> None:
        self._http = http
        self._access = access

    @property
    def host(self) -> str:
        """Return the API's host, to name it in a message."""
        return urlsplit(self._access.base_url).hostname or self._access.base_url

    async def send(
        self, delivery: RowRequest, may_leave: Callable[[], bool] = lambda: True
    ) -> KomboResponse | TransportError:
        """Send a row's request, once, and return what came of it.

        :param may_leave: Asked when the connection is there and the body is about to leave: DNS,
            connecting and TLS may have taken long. Where it says no, the request is not sent.
        :raises ConfigurationError: before anything is sent, if the integration's id cannot travel
            in a header.
        """
        integration_id = _safe("X-Integration-Id", delivery.key.integration_id)
        headers = {**self._access.headers, "X-Integration-Id": integration_id}
        body = _Body(delivery.body, may_leave)
        return await self._call(delivery.write.method, delivery.path, headers, body)

    async def check_api_key(self, seconds: float = CHECK_SECONDS) -> KomboResponse | TransportError:
        """Ask Kombo whether it knows the key, for so many seconds at most."""
        longest = min(seconds, self._http.timeout.total or seconds)
        timeout = aiohttp.ClientTimeout(total=longest, sock_connect=longest)
        headers = self._access.headers
        return await self._call("GET", "/check-api-key", headers, None, timeout=timeout)

    async def _call(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: _Body | None,
        **options: Any,
    ) -> KomboResponse | TransportError:
        try:
            # The path is escaped already; yarl would unescape it and resolve its dots.
            url = URL(self._access.base_url + path, encoded=True)
            async with self._http.request(
                method,
                url,
                data=body,
                headers=headers,
                allow_redirects=False,
                proxy=self._access.proxy,
                **options,
            ) as response:
                return await _answer(response)
        except Exception as error:  # what nobody has read was not sent, whatever went wrong
            cause = type(error).__name__  # its text may hold the address
            if body is None or not body.was_asked_for:
                lasting = isinstance(error, _LASTING) or not isinstance(error, _NETWORK)
                return NotSentError(f"the request could not leave ({cause})", lasting=lasting)
            if not isinstance(error, _NETWORK):
                raise
            return ResponseLostError(f"the request left, and no answer came back ({cause})")


@asynccontextmanager
async def open_client(access: Access) -> AsyncIterator[KomboClient]:
    """Open one session for many calls, and close it with the block.

    :raises ConfigurationError: if a header cannot be sent.
    """
    headers = {name: _safe(name, value) for name, value in access.headers.items()}
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,  # how many calls are in flight is the delivery's decision
            ssl=access.tls,
            keepalive_timeout=_KEEPALIVE_SECONDS,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=access.timeout, sock_connect=_CONNECT_SECONDS),
    ) as http:
        yield KomboClient(http, replace(access, headers=headers))


async def _answer(response: aiohttp.ClientResponse) -> KomboResponse:
    try:
        body = await _whole_body(response)
    except _NETWORK:
        if not response.ok:
            raise
        body = None
    return KomboResponse.of(response.status, response.headers, body)


async def _whole_body(response: aiohttp.ClientResponse) -> bytes | None:
    """Read a body, or return None for one that is larger than any of Kombo's."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > _LONGEST_BODY_BYTES:
            response.close()
            return None
    return bytes(body)


class _Body(aiohttp.Payload):
    """A request's body, which knows whether anyone has asked for it.

    While nobody has, no server can have read a whole request. It derives from the base class, not
    from aiohttp's payload of bytes: so there is no other way to the bytes, in any version. (A
    `TraceConfig` would tell as well, and costs half as much again as the request.)
    """

    def __init__(self, body: bytes, may_leave: Callable[[], bool]) -> None:
        super().__init__(body, content_type="application/json")
        self._body = body
        self._size = len(body)
        self._may_leave = may_leave
        self.was_asked_for = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        self.was_asked_for = True
        return self._body.decode(encoding, errors)

    @property
    def consumed(self) -> bool:
        """Whether it may not leave again: aiohttp would repeat a PUT whose connection was lost."""
        return self.was_asked_for

    async def write(self, writer: AbstractStreamWriter) -> None:
        if self.was_asked_for:  # an aiohttp that does not ask
            raise aiohttp.ClientConnectionError("The request left once, and does not leave again.")
        if not self._may_leave():
            raise aiohttp.ClientConnectionError("The run may not send any more.")
        self.was_asked_for = True
        await writer.write(self._body)


def _safe(name: str, value: object) -> str:
    text = str(value)
    if not text.isprintable():
        raise ConfigurationError(
            f"The header {name} holds a line break or a control character: does the connection's"
            " password, or an extra, end in one?"
        )
    return text
