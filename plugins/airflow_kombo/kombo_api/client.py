"""Client for Kombo's API: calls and results."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from airflow_kombo.exceptions import (
    ConfigurationError,
    NotSentError,
    ResponseLostError,
    TransportError,
)
from airflow_kombo.kombo_api.aiohttp_payload import RequestBody, escaped_url
from airflow_kombo.kombo_api.reads import Read, ReadResult, read_result
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.kombo_api.response import KomboResponse

TIMEOUT_SECONDS: Final = 300.0
"""Seconds for a call: a write runs live in the customer's ATS. Kombo's own clients wait as long."""
CHECK_SECONDS: Final = 30.0
"""Seconds for the check of the API key."""
_CONNECT_SECONDS: Final = 30.0
_LONGEST_BODY_BYTES: Final = 1024 * 1024
"""Bytes that are read of a response: a page of few bytes, compressed, may unfold to gigabytes."""
_LONGEST_PAGE_BYTES: Final = 16 * 1024 * 1024
"""Bytes that are read of a page of records, which may hold whole e-mails."""
_NETWORK: Final = (aiohttp.ClientError, asyncio.TimeoutError, OSError)
"""Exceptions of a call without a response; any other exception is an error in a program."""
_LASTING: Final = (
    aiohttp.ClientSSLError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ClientProxyConnectionError,
    aiohttp.InvalidURL,
)
"""Causes that only a person can remove: a certificate, a proxy, an invalid address."""
_KEEPALIVE_SECONDS: Final = 4.0
"""Seconds after which an idle connection is closed, before any usual server does so (Node.js: 5 s).
A connection that the server closes while we write makes a row `unknown`."""


@dataclass(frozen=True)
class Access:
    """Address of Kombo's API, and the settings of a session.

    :param base_url: The API's base, without a slash at its end.
    :param headers: Headers of every request, with the API key.
    :param proxy: The proxy's address, if there is a proxy.
    :param tls: The context that checks the server's certificate; False for no check.
    :param timeout: Seconds that a call may take.
    """

    base_url: str
    headers: Mapping[str, str] = field(repr=False)
    proxy: str | None = field(default=None, repr=False)  # it may hold a password
    tls: ssl.SSLContext | bool = True
    timeout: float = TIMEOUT_SECONDS


class KomboClient:
    """Session for many calls; `KomboHook.client` opens it."""

    def __init__(self, http: aiohttp.ClientSession, access: Access) -> None:
        self._http = http
        self._access = access

    @property
    def host(self) -> str:
        """Return the API's host, for messages."""
        return urlsplit(self._access.base_url).hostname or self._access.base_url

    async def send(
        self, request: RowRequest, may_leave: Callable[[], bool] = lambda: True
    ) -> KomboResponse | TransportError:
        """Send a row's request once, and return the response or the transport error.

        :param may_leave: A function that is called when the connection is open and the body is
            about to leave: DNS, connecting and TLS may have taken long. If it returns False, the
            request is not sent.
        :raises ConfigurationError: before anything is sent, if the integration's id cannot be a
            header.
        """
        integration_id = _safe("X-Integration-Id", request.key.integration_id)
        headers = {**self._access.headers, "X-Integration-Id": integration_id}
        body = RequestBody(request.body, may_leave)
        return await self._call(request.write.method, request.path, headers, body)

    async def read(self, read: Read) -> ReadResult:
        """Read something, and return the response with its data, or the transport error.

        :raises ConfigurationError: if the integration's id cannot be a header.
        """
        integration_id = _safe("X-Integration-Id", read.integration_id)
        headers = {**self._access.headers, "X-Integration-Id": integration_id}
        if read.body is not None:
            headers["Content-Type"] = "application/json"
        try:
            async with self._http.request(
                read.method,
                escaped_url(self._access.base_url + read.path_and_query),
                data=read.json,
                headers=headers,
                allow_redirects=False,
                proxy=self._access.proxy,
            ) as response:
                body = await _whole_body(response, _LONGEST_PAGE_BYTES)
        except _NETWORK as error:
            cause = type(error).__name__  # its text may hold the address
            if isinstance(error, _LASTING):
                return ReadResult(NotSentError(f"the read could not leave ({cause})", lasting=True))
            return ReadResult(ResponseLostError(f"no response came back ({cause})"))
        return read_result(KomboResponse.of(response.status, response.headers, body), body)

    async def check_api_key(self, seconds: float = CHECK_SECONDS) -> KomboResponse | TransportError:
        """Ask Kombo for a check of the API key.

        :param seconds: Seconds that the call may take.
        """
        longest = min(seconds, self._http.timeout.total or seconds)
        timeout = aiohttp.ClientTimeout(total=longest, sock_connect=longest)
        headers = self._access.headers
        return await self._call("GET", "/check-api-key", headers, None, timeout=timeout)

    async def _call(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: RequestBody | None,
        **options: Any,
    ) -> KomboResponse | TransportError:
        try:
            async with self._http.request(
                method,
                escaped_url(self._access.base_url + path),
                data=body,
                headers=headers,
                allow_redirects=False,
                proxy=self._access.proxy,
                **options,
            ) as response:
                return await _read(response)
        except Exception as error:  # a body that nobody asked for was not sent, whatever went wrong
            cause = type(error).__name__  # its text may hold the address
            if body is None or not body.was_asked_for:
                lasting = isinstance(error, _LASTING) or not isinstance(error, _NETWORK)
                return NotSentError(f"the request could not leave ({cause})", lasting=lasting)
            if not isinstance(error, _NETWORK):
                raise
            return ResponseLostError(f"the request left, and no response came back ({cause})")


@asynccontextmanager
async def open_client(access: Access) -> AsyncIterator[KomboClient]:
    """Open one session for many calls, and close the session with the block.

    Only `KomboHook.client` calls this.

    :raises ConfigurationError: if a header cannot be sent.
    """
    headers = {name: _safe(name, value) for name, value in access.headers.items()}
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,  # the delivery limits the number of calls in flight
            ssl=access.tls,
            keepalive_timeout=_KEEPALIVE_SECONDS,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=access.timeout, sock_connect=_CONNECT_SECONDS),
    ) as http:
        yield KomboClient(http, replace(access, headers=headers))


async def _read(response: aiohttp.ClientResponse) -> KomboResponse:
    try:
        body = await _whole_body(response)
    except _NETWORK:
        if not response.ok:
            raise
        body = None
    return KomboResponse.of(response.status, response.headers, body)


async def _whole_body(
    response: aiohttp.ClientResponse, longest: int = _LONGEST_BODY_BYTES
) -> bytes | None:
    """Return a body, or None for a longer one.

    :param longest: Bytes at most.
    """
    body = bytearray()
    while chunk := await response.content.readany():
        body += chunk
        if len(body) > longest:
            response.close()
            return None
    return bytes(body)


def _safe(name: str, value: object) -> str:
    text = str(value)
    if not text.isprintable():
        raise ConfigurationError(
            f"The header {name} holds a line break or a control character. Check the end of the"
            " connection's password and extras."
        )
    return text
