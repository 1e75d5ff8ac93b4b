"""Calls through the hook: headers, connections, TLS, and proof of what was sent."""

from __future__ import annotations

import ast
import asyncio
import json
import logging
import socket
import ssl
from contextlib import contextmanager
from threading import Thread

import pytest
from support.harness import KEY, ROOT, connect, delivery

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.exceptions import ConfigurationError, NotSentError, ResponseLostError
from airflow_kombo.hooks.kombo import KomboHook
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.kombo_api.verdicts import Verdict
from airflow_kombo.kombo_api.writes import Request, Write


def post(*requests):
    """Send requests through one session, and return the results."""

    async def send():
        async with KomboHook().client() as client:
            return [await client.send(one) for one in requests]

    return asyncio.run(send())


@contextmanager
def listener(handle):
    """Listen on a free port, and hand each connection to a function in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept():
            try:
                while True:
                    handle(server.accept()[0])
            except OSError:
                return

        thread = Thread(target=accept)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


PACKAGE = ROOT / "plugins" / "airflow_kombo"
WAYS_TO_THE_WIRE = {
    "ClientSession": "kombo_api/client.py",
    "KomboClient": "kombo_api/client.py",
    "open_client": "hooks/kombo.py",
}
OTHER_CLIENTS = {"requests", "httpx", "urllib3", "http.client", "socket", "kombo"}


def test_the_hook_is_the_only_way_to_the_wire():
    """Only `KomboHook.client` opens a session, and no module uses another HTTP client."""
    calls, imports = set(), set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func).rpartition(".")[2]
                calls.add((name, path.relative_to(PACKAGE).as_posix()))
            elif isinstance(node, ast.Import):
                imports |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imports |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    assert {call for call in calls if call[0] in WAYS_TO_THE_WIRE} == set(WAYS_TO_THE_WIRE.items())
    assert not OTHER_CLIENTS & imports
    assert "urllib.request.urlopen" not in imports


BODY = b'{"label": "Coding", "url": "https://results.example/1"}'


def test_a_link_is_created_with_what_the_api_asks_for(standin):
    """A call carries the key, the integration and exactly the bytes of the request."""
    (response,) = post(delivery(body=BODY))
    (request,) = standin.requests(last=1)
    headers = {name.lower(): value for name, value in request["headers"]}
    assert response.verdict is Verdict.CREATED
    assert request["raw_path"] == "/v1/ats/candidates/c1/result-links"
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["x-integration-id"] == "workday:one"
    assert headers["content-type"] == "application/json"
    assert request["body"] == BODY.decode()


def test_an_id_cannot_change_the_path(standin):
    """An id with any characters is escaped and stays one part of the path."""
    post(delivery(target_id="a/../b?c#d%2e é", target_type="application", body=BODY))
    (request,) = standin.requests(last=1)
    path = "/v1/ats/applications/a%2F..%2Fb%3Fc%23d%252e%20%C3%A9/result-links"
    assert request["raw_path"] == path


def test_one_session_serves_many_calls(standin):
    """Calls after the first use the same connection."""
    ports = set()

    def respond(connection):
        ports.add(connection.getpeername()[1])
        with connection, connection.makefile("rb") as reader:
            while line := reader.readline():
                length = 0
                while line.strip():
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                    line = reader.readline()
                reader.read(length)
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nConcurrency-Limit: 30\r\nContent-Length: 0\r\n\r\n"
                )

    with listener(respond) as port, pytest.MonkeyPatch.context() as patch:
        connect(patch, f"http://127.0.0.1:{port}")
        assert [one.verdict for one in post(*[delivery()] * 5)] == [Verdict.CREATED] * 5
    assert len(ports) == 1


def test_extras_of_the_connection(standin, monkeypatch):
    """An extra without a meaning to HTTP is a header; the default integration is not."""
    extra = {"integration_id": "lever:default", "X-Team": "talent", "timeout": 5}
    connect(monkeypatch, standin.url, **extra)

    async def send():
        hook = KomboHook()
        async with hook.client() as client:
            await client.send(delivery(body=BODY))
        return hook.default_integration

    assert asyncio.run(send()) == "lever:default"
    headers = {name.lower(): value for name, value in standin.requests(last=1)[0]["headers"]}
    assert headers["x-team"] == "talent"
    assert headers["x-integration-id"] == "workday:one"
    assert "integration_id" not in headers
    assert "timeout" not in headers


@pytest.mark.parametrize("kind", ["reset", "close", "hang"])
@pytest.mark.parametrize("effect", ["none", "created"])
def test_a_request_without_a_response(standin, monkeypatch, kind, effect):
    """A request without a response is in doubt, with or without an effect."""
    connect(monkeypatch, standin.url, timeout=0.3)
    standin.add_rule({"kind": kind}, effect=effect)
    (lost,) = post(delivery(body=BODY))
    assert isinstance(lost, ResponseLostError)
    assert standin.stats()["created"] == (effect == "created")


def test_a_truncated_success_is_a_success(standin):
    """A 2xx with Kombo's headers is a success, even when the body breaks off."""
    standin.add_rule({"kind": "truncate"}, effect="created")
    (response,) = post(delivery(body=BODY))
    assert response.verdict is Verdict.CREATED


def test_a_redirect_is_not_followed(standin):
    """A redirect proves nothing about the row, and the target gets no request."""
    standin.add_rule({"kind": "redirect"})
    (response,) = post(delivery(body=BODY))
    assert response.verdict is Verdict.RETRY
    assert standin.stats()["redirects_followed"] == 0


def test_a_request_that_could_not_leave(monkeypatch):
    """Without a connection, or without a name, nothing was sent."""
    for host in (f"http://127.0.0.1:{free_port()}", "http://no-such-host.invalid"):
        connect(monkeypatch, host, trust_env=False)
        assert isinstance(post(delivery())[0], NotSentError)


def test_a_handshake_that_fails(standin, monkeypatch):
    """A server without TLS gets no request."""
    connect(monkeypatch, standin.url.replace("http:", "https:"), trust_env=False)
    assert isinstance(post(delivery())[0], NotSentError)
    assert standin.stats()["received"] == 0


def test_the_connections_proxy_is_used(standin, monkeypatch):
    """A proxy in the extras gets the request; the one of the environment does otherwise."""
    base = standin.url.removesuffix("/v1")
    for extra, environment in [({"proxies": {"http": base}}, None), ({}, base)]:
        connect(monkeypatch, "http://kombo.invalid/v1", **extra)
        monkeypatch.setenv("http_proxy", environment or "http://127.0.0.1:9")
        post(delivery(body=BODY))
    assert standin.stats()["received"] == 2


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, True),
        ({"verify": False}, ssl.CERT_NONE),
        ({"verify": ssl.get_default_verify_paths().cafile}, ssl.CERT_REQUIRED),
    ],
)
def test_tls_follows_the_connection(monkeypatch, extra, expected):
    """`verify` is a switch or a file of authorities, as for the HTTP provider."""
    connect(monkeypatch, "https://api.kombo.dev/v1", **extra)

    async def context():
        async with KomboHook().client() as client:
            return client._http.connector._ssl

    context = asyncio.run(context())
    assert expected in (context, getattr(context, "verify_mode", None))


@pytest.mark.parametrize("name", ["password", "X-Team"])
def test_a_line_break_in_a_header_is_refused(standin, monkeypatch, name):
    """A secret with a line break is an error with the name of the header, never shown or sent."""
    connect(monkeypatch, standin.url, **{name: "canary\r\nX-Evil: 1"})
    with pytest.raises(ConfigurationError, match="line break") as caught:
        post(delivery())
    assert "canary" not in str(caught.value)
    assert standin.stats()["received"] == 0


def test_an_integration_with_a_line_break_is_refused(standin):
    """An integration's id cannot smuggle a header in."""
    with pytest.raises(ConfigurationError, match="X-Integration-Id"):
        post(delivery(integration_id="workday:one\r\nX-Evil: 1"))


@pytest.mark.parametrize(
    ("connection", "why"),
    [
        ({"url": "api.kombo.dev/v1"}, "host with its scheme"),
        ({"url": "https://api.kombo.dev/v1", "password": ""}, "API key as its password"),
    ],
)
def test_a_connection_that_lacks_something(monkeypatch, connection, why):
    """A connection without a scheme or without a key is refused."""
    connect(monkeypatch, **connection)
    with pytest.raises(ConfigurationError, match=why):
        post(delivery())


def kombo_connection(monkeypatch, url="", **extra):
    """Define a connection of the type that the wheel registers."""
    connection = {"conn_type": "kombo", "host": url, "password": KEY, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_KOMBO_DEFAULT", json.dumps(connection))


def test_no_extra_of_a_kombo_connection_is_a_header(standin, monkeypatch, caplog):
    """A stray extra of the type kombo is named in the log, and no request carries it."""
    extra = {"integration_id": "lever:default", "timeout": "5", "region": "us", "X-Team": "canary"}
    kombo_connection(monkeypatch, standin.url, **extra)
    post(delivery(body=BODY))
    headers = {name.lower() for name, _ in standin.requests(last=1)[0]["headers"]}
    assert not {"x-team", "region", "timeout", "integration_id"} & headers
    assert "authorization" in headers
    assert "not sent: X-Team" in caplog.text
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    ("extra", "url"),
    [
        ({}, "https://api.kombo.dev/v1"),
        ({"region": None, "timeout": None, "integration_id": ""}, "https://api.kombo.dev/v1"),
        ({"region": "us"}, "https://api.us.kombo.dev/v1"),
        ({"region": " CA"}, "https://api.ca.kombo.dev/v1"),
    ],
)
def test_a_kombo_connection_needs_the_region_only(monkeypatch, extra, url):
    """The region names the address; empty fields of the form are as missing ones."""
    kombo_connection(monkeypatch, **extra)
    hook = KomboHook()
    assert asyncio.run(hook.config()).base_url == url
    assert hook.default_integration is None


@pytest.mark.parametrize(
    ("url", "region", "why"),
    [("", "apac", "one of eu, us, ca"), ("api.kombo.dev/v1", "eu", "host with its scheme")],
)
def test_a_kombo_connection_to_nowhere_is_refused(monkeypatch, url, region, why):
    """An unknown region, or a host without its scheme, is refused before a call."""
    kombo_connection(monkeypatch, url, region=region)
    with pytest.raises(ConfigurationError, match=why):
        post(delivery())


@pytest.mark.parametrize("timeout", ["soon", 0, -1, "nan", "inf", [5]])
def test_a_timeout_that_is_no_number_of_seconds_is_refused(standin, monkeypatch, timeout):
    """A timeout of 0 would be no limit, and a word would end in a traceback."""
    kombo_connection(monkeypatch, standin.url, timeout=timeout)
    with pytest.raises(ConfigurationError, match="number of seconds above 0"):
        post(delivery())


@pytest.mark.parametrize(("timeout", "seconds"), [("5", 5.0), (0.3, 0.3), ("", 300.0)])
def test_a_timeout_may_be_a_text(standin, monkeypatch, timeout, seconds):
    """The form's field may send a text; an empty one is as a missing one."""
    kombo_connection(monkeypatch, standin.url, timeout=timeout)

    async def total():
        async with KomboHook().client() as client:
            return client._http.timeout.total

    assert asyncio.run(total()) == seconds


def test_the_connections_test_asks_for_the_key(standin, monkeypatch):
    """The connection's test shows if Kombo knows the key, and the reason if not."""
    assert KomboHook().test_connection() == (True, "Kombo knows the key.")
    connect(monkeypatch, standin.url, password="ks_dev_wrong")
    fine, why = KomboHook().test_connection()
    assert not fine
    assert "PLATFORM.AUTHENTICATION_INVALID" in why
    connect(monkeypatch, f"http://127.0.0.1:{free_port()}")
    assert KomboHook().test_connection()[0] is False


def test_nothing_of_a_call_is_logged(standin, monkeypatch, caplog):
    """Key, body, ids and addresses are neither in a log nor in a result's text."""
    caplog.set_level(logging.DEBUG)
    connect(monkeypatch, standin.url, timeout=0.3)
    for outcome in ({"kind": "hang"}, {"kind": "reset"}, {"kind": "raw", "status": 502}):
        standin.add_rule(outcome, times=1)
        (result,) = post(delivery(target_id="canary1", body=BODY.replace(b"Coding", b"canary2")))
        assert "canary" not in f"{result!s} {result!r}"
    assert "canary" not in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize("kind", ["close", "reset"])
def test_a_put_is_sent_once(standin, kind):
    """A PUT leaves once, and may have arrived: aiohttp alone would repeat the PUT."""
    orders = Write(
        "order", "/assessment/orders/{target_id}/result", Request, {"order": "id"}, "PUT"
    )
    body = b'{"status": "OPEN", "result_url": "https://results.example/1"}'
    key = LinkKey("workday:one", "order", "o1", "r1")
    standin.add_rule({"kind": kind}, times=1)
    (outcome,) = post(RowRequest(key, None, None, body, orders))
    assert isinstance(outcome, ResponseLostError)
    assert standin.stats()["received"] == 1
    (response,) = post(RowRequest(key, None, None, body, orders))
    assert response.verdict is Verdict.CREATED
