"""Process of the stand-in: start, stop, journal and reports."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from tools.demo.airflow import ROOT
from tools.kombo_standin.__main__ import main
from tools.kombo_standin.client import StandIn, StandInError, running

KEY = "ks_dev_other"


@pytest.fixture
def send(http) -> Callable[[StandIn, str], httpx.Response]:
    """Post the same link to a stand-in of the test."""

    def send(standin: StandIn, target_id: str) -> httpx.Response:
        path = f"{standin.url}/ats/candidates/{target_id}/result-links"
        body = {"label": "Coding", "url": "https://example.com/results/1"}
        return http.post(path, json=body, headers={"Authorization": f"Bearer {KEY}"})

    return send


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_although_requests_wait(raw_request, until, number):
    """With hanging and delayed requests, a signal ends the process soon."""
    command = [sys.executable, "-m", "tools.kombo_standin"]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as process:  # noqa: S603 - ours
        line = process.stdout.readline()
        standin = StandIn(line.split()[-1])
        assert line == f"kombo stand-in listening on {standin.url}\n"
        standin.add_rule({"kind": "hang"}, times=1)
        standin.add_rule({"kind": "success"}, delay=60)
        address = urlsplit(standin.url)
        with (
            socket.create_connection((address.hostname, address.port)) as first,
            socket.create_connection((address.hostname, address.port)) as second,
        ):
            first.sendall(raw_request)
            second.sendall(raw_request)
            until(lambda: standin.stats()["created"] == 1)
            process.send_signal(number)
            assert process.wait(10) == 0  # on a busy machine: the requests would wait for 60 s
        assert (process.stdout.read(), process.stderr.read()) == ("", "")


def test_a_killed_caller_leaves_no_stand_in():
    """After the caller's kill -9, the stand-in ends by itself."""
    code = "from tools.kombo_standin.client import running\n"
    code += "with running() as standin: print(standin.pid, flush=True); input()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=ROOT, stdin=-1, stdout=-1, text=True) as caller:  # noqa: S603
        standin = psutil.Process(int(caller.stdout.readline()))
        caller.kill()
    assert psutil.wait_procs([standin], timeout=30)[1] == []


def test_a_journal_outlives_a_killed_server(send, tmp_path, monkeypatch):
    """After kill -9, a new server has the confirmed links, and adds new ones."""
    monkeypatch.chdir(tmp_path)  # from any folder
    journal = tmp_path / "links.jsonl"
    with running(journal=journal, key=KEY) as standin:
        assert [send(standin, name).status_code for name in ("c1", "c2", "c1")] == [200] * 3
        os.kill(standin.pid, signal.SIGKILL)
    port = urlsplit(standin.url).port
    with running(journal=journal, key=KEY, port=port) as standin:
        send(standin, "c2")
        counts = {link["target_id"]: link["count"] for link in standin.links()}
        assert counts == {"c1": 2, "c2": 2}
        standin.reset()
        assert journal.read_text() == ""
        send(standin, "c3")
    assert journal.read_text().count("\n") == 1


def test_a_scenario_file_tells_the_start_and_every_reset(send, tmp_path):
    """Limits, latency and rules come from YAML, also after a `reset`."""
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text("""
        limits: {concurrency: 5, rate: 300}
        latency: {default: [0, 0], by_integration: {"workday:slow": [1, 3]}}
        rules:
          - {label: Coding, times: 1, outcome: {kind: answer, status: 422, code: ATS.JOB_CLOSED}}
    """)
    with running(scenario=scenario, key=KEY) as standin:
        for _ in range(2):
            answers = [send(standin, "c1"), send(standin, "c1")]
            assert [answer.status_code for answer in answers] == [422, 200]
            assert answers[1].headers["Concurrency-Limit"] == "5"
            assert answers[1].headers["ratelimit-remaining"] == "298"
            assert len(standin.requests()) == 2
            standin.set_limits()
            standin.reset()
        assert (standin.links(), standin.requests(), standin.stats()["received"]) == ([], [], 0)


@pytest.mark.parametrize("text", ["limits: {concurency: 5}", "rules: [", "- 1"])
def test_a_scenario_that_cannot_be_meant_stops_the_start(tmp_path, monkeypatch, capsys, text):
    """A misspelled scenario ends the process before listening, with a reason."""
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(text)
    monkeypatch.setattr(sys, "argv", ["kombo_standin", "--scenario", str(scenario)])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "cannot use the scenario" in capsys.readouterr().err


def test_a_port_that_is_taken_stops_the_start(process, capfd):
    """With a used port, the process ends with a reason."""
    with pytest.raises(StandInError), running(port=urlsplit(process.url).port):
        pass
    assert "address already in use" in capfd.readouterr().err


def test_the_client_is_light():
    """The client's import loads neither FastAPI nor pydantic: a dag may import the client."""
    code = "import tools.kombo_standin.client, sys; print({'fastapi', 'pydantic'} & {*sys.modules})"
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, cwd=ROOT, stdout=-1, text=True, check=True)  # noqa: S603 - ours
    assert shown.stdout == "set()\n"


def test_requests_are_told_as_they_came_in(standin, connection):
    """Raw path, headers with order and spelling, and the body's text are kept."""
    request = (
        "POST /v1/ats/candidates/a%2fb/result-links HTTP/1.1\r\nHost: h\r\nX-Odd: 1\r\n"
        "x-ODD: 2\r\nConnection: close\r\nContent-Length: 3\r\n\r\n\u00fc!"
    )
    connection.sendall(request.encode())
    assert connection.recv(4096).startswith(b"HTTP/1.1 401")
    assert standin.requests(last=1) == [
        {
            "raw_path": "/v1/ats/candidates/a%2fb/result-links",
            "headers": [
                ["Host", "h"],
                ["X-Odd", "1"],
                ["x-ODD", "2"],
                ["Connection", "close"],
                ["Content-Length", "3"],
            ],
            "body": "ü!",
        }
    ]


def test_the_last_requests_come_oldest_first(post, standin):
    """The parameter `last` is the number of requests, and 0 is none."""
    for number in range(3):
        post(f"candidates/c{number}")
    paths = [request["raw_path"] for request in standin.requests(last=2)]
    assert paths == [f"/v1/ats/candidates/c{n}/result-links" for n in (1, 2)]
    assert standin.requests(last=0) == []


def test_links_come_in_pages(post, standin):
    """Offset and limit cut the ordered list of different links."""
    for number in range(5):
        post(f"candidates/c{number}")
    assert [link["target_id"] for link in standin.links(offset=1, limit=2)] == ["c1", "c2"]
    assert len(standin.links(offset=4)) == 1
    assert standin.links(offset=5) == standin.links(limit=0) == []


def test_a_client_killed_in_the_middle_of_its_request_leaves_no_trace(
    post, standin, connection, raw_request
):
    """An incomplete body is no request, and the server goes on."""
    connection.sendall(raw_request[:-1])
    connection.close()
    post()
    assert standin.stats()["received"] == 1
