"""Rules of the stand-in for failures."""

import json
import re
import time

import httpx
import pytest

from tools.kombo_standin.client import StandInError

INTEGRATION = "workday:HWUTwvyx2wLoSUHphiWVrp28"
FAIL = {"kind": "answer", "status": 500}


@pytest.mark.parametrize(
    ("match", "fires"),
    [
        ({}, True),
        ({"integration_id": INTEGRATION}, True),
        ({"integration_id": "workday:other"}, False),
        ({"target_type": "application"}, True),
        ({"target_type": "candidate"}, False),
        ({"target_id": "app1"}, True),
        ({"target_id": "app"}, False),
        ({"url": "https://example.com/results/1"}, True),
        ({"url": "https://example.com/results/"}, False),
        ({"label": "Coding"}, True),
        ({"label": "coding"}, False),
        ({"label": "Coding", "target_id": "other"}, False),
    ],
)
def test_a_rule_fires_where_all_it_names_is_equal(post, standin, match, fires):
    """Missing values of a rule match all; given values match exactly."""
    standin.add_rule(FAIL, **match)
    assert post().is_server_error is fires


def test_the_first_rule_that_is_not_used_up_wins(post, standin):
    """Rules apply in their order; a rule with `times` ends after so many requests."""
    standin.add_rule({"kind": "answer", "status": 503}, times=2)
    standin.add_rule({"kind": "answer", "status": 504}, times=1)
    assert [post().status_code for _ in range(4)] == [503, 503, 504, 200]


def test_cleared_rules_fire_no_more(post, standin):
    """After `clear_rules` all requests succeed."""
    standin.add_rule(FAIL)
    standin.clear_rules()
    assert post().status_code == 200


@pytest.mark.parametrize("code", ["ATS.JOB_CLOSED", "ATS.NEVER_HEARD_OF", None])
def test_an_answer_has_the_status_and_code_it_is_told(post, standin, code):
    """Documented, unknown and null codes are sent unchanged."""
    error = {
        "status": 418,
        "code": code,
        "title": "Title",
        "message": "Text",
        "headers": {"A": "b"},
    }
    standin.add_rule({"kind": "answer", **error})
    answer = post()
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["title"], error["message"]) == (
        418,
        code,
        "Title",
        "Text",
    )
    assert answer.headers["a"] == "b"
    assert "Concurrency-Limit" in answer.headers
    assert standin.stats()["answers"] == {f"418 {code}" if code else "418": 1}


def test_a_success_may_have_warnings(post, standin):
    """Warnings are objects with a message, and the link is made."""
    standin.add_rule({"kind": "success", "warnings": ["Label was cut.", "And so on."]})
    assert post().json()["warnings"] == [{"message": "Label was cut."}, {"message": "And so on."}]
    assert len(standin.links()) == 1


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (502, "text/html", "<html>Bad Gateway</html>"),
        (503, "text/plain", "no healthy upstream"),
        (200, "application/json", ""),
        (200, "application/json", '{"status": "succ'),
        (200, "application/json", json.dumps({"status": "success", "data": {}})),
    ],
)
def test_any_bytes_can_be_answered(post, standin, status, content_type, body):
    """A raw response is sent unchanged, without Kombo's headers, as from a load balancer."""
    rule = {"kind": "raw", "status": status, "content_type": content_type, "body": body}
    standin.add_rule(rule)
    answer = post()
    assert (answer.status_code, answer.text) == (status, body)
    assert answer.headers["content-type"].startswith(content_type)
    assert "Concurrency-Limit" not in answer.headers


def test_who_follows_a_redirect_is_fooled_and_found_out(post, http, standin):
    """A 302 leads to an apparent success, and the statistics count its visitors."""
    standin.add_rule({"kind": "redirect"})
    answer = post()
    assert answer.status_code == 302
    assert standin.stats()["redirects_followed"] == 0
    page = http.get(httpx.URL(standin.url).join(answer.headers["location"]))
    assert (page.status_code, page.json()["status"]) == (200, "success")
    assert standin.stats()["redirects_followed"] == 1
    assert standin.links() == []


def test_a_reset_is_a_reset_on_the_wire(standin, connection, raw_request):
    """The client reads ECONNRESET (RST), and no byte."""
    standin.add_rule({"kind": "reset"})
    connection.sendall(raw_request)
    with pytest.raises(ConnectionResetError):
        connection.recv(1)


def test_a_close_is_an_orderly_end_without_an_answer(standin, connection, raw_request):
    """The client reads the end of the stream (FIN), and no byte."""
    standin.add_rule({"kind": "close"})
    connection.sendall(raw_request)
    assert connection.recv(1) == b""


def test_a_hanging_request_gets_nothing(standin, connection, raw_request):
    """A hanging request gets no byte, and the connection stays open."""
    standin.add_rule({"kind": "hang"})
    connection.sendall(raw_request)
    connection.settimeout(0.2)
    with pytest.raises(TimeoutError):
        connection.recv(1)


def test_a_truncated_answer_stops_in_its_body(standin, connection, raw_request):
    """The headers promise more bytes than the body has."""
    standin.add_rule({"kind": "truncate"})
    connection.sendall(raw_request)
    head, _, body = b"".join(iter(lambda: connection.recv(4096), b"")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    promised = int(re.search(rb"content-length: (\d+)", head)[1])
    assert len(body) == promised // 2


@pytest.mark.parametrize("kind", ["reset", "close", "truncate"])
def test_a_client_library_reports_the_lost_connection(post, standin, kind):
    """An HTTP client raises, and the statistics count the outcome by kind."""
    standin.add_rule({"kind": kind})
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        post()
    assert standin.stats()["answers"] == {kind: 1}


@pytest.mark.parametrize("effect", ["none", "created"])
@pytest.mark.parametrize("outcome", [{"kind": "reset"}, FAIL, {"kind": "success"}])
def test_the_effect_is_independent_of_the_outcome(post, standin, effect, outcome):
    """A link can be made in spite of a failure, and missing in spite of a success."""
    standin.add_rule(outcome, effect=effect)
    try:
        post()
    except httpx.ReadError:
        assert outcome == {"kind": "reset"}
    assert len(standin.links()) == (effect == "created")


def test_a_delay_comes_after_the_effect(post, standin, http, monkeypatch):
    """The link is made before the delay."""
    standin.add_rule({"kind": "success"}, delay=30)
    monkeypatch.setattr(http, "timeout", httpx.Timeout(0.2))
    with pytest.raises(httpx.ReadTimeout):
        post()
    assert len(standin.links()) == 1


def test_a_delay_is_in_seconds(post, standin):
    """A delay is a number of seconds."""
    standin.add_rule(FAIL, delay=0.2)
    begin = time.perf_counter()
    assert post().status_code == 500
    assert time.perf_counter() - begin >= 0.2


@pytest.mark.parametrize(
    ("outcome", "options"),
    [
        ({"kind": "explode"}, {}),
        ({"kind": "answer"}, {}),
        ({"kind": "answer", "status": 99}, {}),
        ({"kind": "hang", "status": 200}, {}),
        (FAIL, {"lable": "Coding"}),
        (FAIL, {"times": 0}),
        (FAIL, {"delay": -1}),
        (FAIL, {"effect": "maybe"}),
        (FAIL, {"target_type": "job"}),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(standin, outcome, options):
    """A misspelled or impossible rule raises an error."""
    with pytest.raises(StandInError, match="422"):
        standin.add_rule(outcome, **options)


def test_an_invalid_body_meets_no_rule(post, standin):
    """An invalid body is refused before the rules, and uses up none."""
    standin.add_rule(FAIL, times=1)
    assert post(label=None).status_code == 400
    assert post().status_code == 500
