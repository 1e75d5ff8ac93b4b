"""Fixtures: one stand-in for all tests of this folder, reset for each test."""

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tools.kombo_standin.client import DEFAULT_KEY, StandIn, running

INTEGRATION = "workday:HWUTwvyx2wLoSUHphiWVrp28"
BODY = {"label": "Coding", "url": "https://example.com/results/1"}


@pytest.fixture(scope="session")
def process() -> Iterator[StandIn]:
    with running() as standin:
        yield standin


@pytest.fixture
def standin(process: StandIn) -> StandIn:
    process.reset()
    return process


@pytest.fixture(scope="session")
def http(process: StandIn) -> Iterator[httpx.Client]:
    """Return one HTTP client for all tests, because building a client is slow."""
    headers = {"Authorization": f"Bearer {DEFAULT_KEY}", "X-Integration-Id": INTEGRATION}
    with httpx.Client(base_url=process.url, headers=headers) as client:
        yield client


@pytest.fixture
def post(http: httpx.Client, standin: StandIn) -> Callable[..., httpx.Response]:
    """Return a function that posts a result link; keywords change the body."""

    def post(target: str = "applications/app1", **changes: Any) -> httpx.Response:
        integration_id = changes.pop("integration_id", INTEGRATION)
        headers = {"X-Integration-Id": integration_id}
        path = f"{standin.url}/ats/{target}/result-links"
        return http.post(path, json=BODY | changes, headers=headers)

    return post


@pytest.fixture
def raw_request(standin: StandIn) -> bytes:
    """Return the bytes of one valid POST."""
    body = b'{"label":"Coding","url":"https://example.com/results/1"}'
    head = (
        "POST /v1/ats/applications/app1/result-links HTTP/1.1\r\n"
        f"Host: {urlsplit(standin.url).netloc}\r\n"
        f"Authorization: Bearer {DEFAULT_KEY}\r\nX-Integration-Id: {INTEGRATION}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@pytest.fixture
def connection(standin: StandIn) -> Iterator[socket.socket]:
    """Open a raw connection to a reset stand-in."""
    address = urlsplit(standin.url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as sock:
        yield sock


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], Any]:
    """Call a function until the result is true, for ten seconds at most."""

    def until(ask: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + 10
        while not (answer := ask()):
            assert time.monotonic() < deadline
        return answer

    return until
