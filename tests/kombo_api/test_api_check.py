"""Check of the API key and the address, before the first row is claimed."""

from __future__ import annotations

import socket

import pytest
from support.another_server import CREATED, KNOWN, PAGE, another_server, foreign, kombo_error
from support.harness import all_of, connect, fill, row, run_day

from airflow_kombo.exceptions import ConfigurationError, UnreachableError
from airflow_kombo.kombo_api import api_check


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(api_check, "_FIRST_PAUSE_SECONDS", 0.001)


@pytest.fixture
def rows(warehouse, source_table):
    fill(warehouse, source_table, [row(f"r{n}", integration_id=f"ats:{n % 3}") for n in range(90)])


def refused_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def assert_untouched(warehouse, tables):
    assert all_of(warehouse, tables.links) == []
    assert all_of(warehouse, tables.attempts) == []


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (PAGE, "text/html"),
        (foreign(200, b'{"ok": true}'), "does not answer as Kombo does"),
        (foreign(200, b""), "no body"),
        (foreign(302, Location="https://login.example/"), "redirect"),
        (foreign(403), "HTTP 403"),
        (foreign(404), "HTTP 404"),
        (foreign(407), "HTTP 407"),
        (kombo_error(401, "PLATFORM.AUTHENTICATION_INVALID"), "PLATFORM.AUTHENTICATION_INVALID"),
        (kombo_error(403, "PLATFORM.IP_NOT_WHITELISTED"), "PLATFORM.IP_NOT_WHITELISTED"),
        (kombo_error(200, "PLATFORM.AUTHENTICATION_INVALID"), "refuses this key"),
        (kombo_error(404, None), "does not answer as Kombo does"),
    ],
)
def test_whoever_is_not_kombo_gets_no_row(warehouse, tables, rows, monkeypatch, answer, cause):
    """Another server, a wrong path or key: the error names host and cause, no row is touched."""
    with another_server(answer, CREATED) as server:
        connect(monkeypatch, server.url)
        with pytest.raises(ConfigurationError, match=cause) as caught:
            run_day(warehouse, tables)
    assert "127.0.0.1" in str(caught.value)
    assert "ks_dev" not in str(caught.value)
    assert server.requests == [("GET", "/v1/check-api-key")]
    assert_untouched(warehouse, tables)
    (run,) = all_of(warehouse, tables.runs)
    assert run.error == str(caught.value)


@pytest.mark.parametrize(
    ("url", "extra"),
    [
        ("https://{address}/v1", {}),  # the server speaks no TLS
        ("http://127.0.0.1:99999/v1", {}),  # no port
        ("http://kombo.invalid/v1", {"proxies": {"http": "http://127.0.0.1:9"}}),
    ],
)
def test_an_address_that_cannot_be_asked(warehouse, tables, rows, monkeypatch, url, extra):
    """A failing TLS, a missing proxy or an invalid port is a `ConfigurationError`."""
    with another_server(KNOWN, CREATED) as server:
        address = server.url.removeprefix("http://").removesuffix("/v1")
        connect(monkeypatch, url.format(address=address), **extra)
        with pytest.raises(ConfigurationError, match="cannot be asked"):
            run_day(warehouse, tables)
    assert_untouched(warehouse, tables)


def test_a_header_that_cannot_be_sent(warehouse, tables, rows, monkeypatch):
    """A key with a line break is refused before a row is touched."""
    connect(monkeypatch, "http://127.0.0.1:9/v1", password="key\r\n")
    with pytest.raises(ConfigurationError, match="line break"):
        run_day(warehouse, tables)
    assert_untouched(warehouse, tables)


@pytest.mark.parametrize(
    "answer",
    [foreign(502), foreign(503), foreign(504), foreign(408), kombo_error(500, None)],
    ids=lambda answer: str(answer[0]),
)
def test_what_may_pass_is_asked_again_and_left_to_airflow(
    warehouse, tables, rows, monkeypatch, answer
):
    """After a passing error the check calls again; then Airflow retries the task."""
    with another_server(answer, CREATED) as server:
        connect(monkeypatch, server.url)
        with pytest.raises(UnreachableError, match="does not work now: "):
            run_day(warehouse, tables)
    assert server.requests == [("GET", "/v1/check-api-key")] * 3
    assert_untouched(warehouse, tables)


@pytest.mark.parametrize("host", ["http://127.0.0.1:{port}/v1", "http://no-such-host.invalid/v1"])
def test_an_unreachable_host(warehouse, tables, rows, monkeypatch, host):
    """A host without a server or a name may recover: the error names the host."""
    connect(monkeypatch, host.format(port=refused_port()), trust_env=False)
    with pytest.raises(UnreachableError, match=r"cannot be reached: .*\(Client\w+Error\)"):
        run_day(warehouse, tables)
    assert_untouched(warehouse, tables)


def test_a_host_that_recovers_is_used(warehouse, tables, rows, monkeypatch):
    """The check waits for limits and passing errors, and then the day is delivered."""
    answers = [
        (429, {"Retry-After": "0.01"}, kombo_error(429, "PLATFORM.RATE_LIMIT_EXCEEDED")[2]),
        foreign(429, **{"Retry-After": "0.01"}),
        foreign(502),
        (429, {"Retry-After": "0.01"}, b""),
        foreign(503),
        KNOWN,
    ]
    with another_server(lambda number, _: answers[number], CREATED) as server:
        connect(monkeypatch, server.url)
        report = run_day(warehouse, tables)
    assert (server.count("GET"), report.counts) == (6, {"success": 90})


def test_only_a_row_to_send_needs_kombo(warehouse, tables, source_table, monkeypatch):
    """A day without a row to send makes no call to Kombo."""
    refused = kombo_error(400, "ATS.JOB_CLOSED")

    def post(_, path):
        return refused if "candidate-bad" in path else CREATED

    with another_server(KNOWN, post) as server:
        connect(monkeypatch, server.url)
        run_day(warehouse, tables)
        fill(warehouse, source_table, [row("wrong", result_url="ftp://x")])
        run_day(warehouse, tables)
        assert server.requests == []
        fill(warehouse, source_table, [row("good"), row("bad")])
        run_day(warehouse, tables)
        assert (server.count("GET"), server.count("POST")) == (1, 2)
        assert run_day(warehouse, tables).counts == {"skipped": 2}
    assert (server.count("GET"), server.count("POST")) == (1, 2)
