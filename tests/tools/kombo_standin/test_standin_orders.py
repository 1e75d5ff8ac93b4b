"""Responses of the stand-in to an order's result, as Kombo documents them."""

from datetime import datetime, timezone

import httpx
import pytest
from kombo import Kombo

from tools.kombo_standin.client import DEFAULT_KEY

INTEGRATION = "recruitee:HWUTwvyx2wLoSUHphiWVrp28"
RESULT = {"status": "COMPLETED", "result_url": "https://example.com/1"}
SECRET = "S3CRET"


@pytest.fixture
def put(http, standin):
    """Return a function that writes an order's result; keywords change the body."""

    def put(path="assessment/orders/o1/result", **changes) -> httpx.Response:
        headers = {"X-Integration-Id": INTEGRATION}
        return http.put(f"{standin.url}/{path}", json=RESULT | changes, headers=headers)

    return put


def test_a_valid_put_writes_the_result(put, standin):
    """The response equals a result link's; each write is recorded, and none is a link."""
    answers = [put("assessment/orders/a%2Fb/result", score=90) for _ in range(2)]
    assert [(one.status_code, one.json()["warnings"]) for one in answers] == [(200, [])] * 2
    assert "Concurrency-Limit" in answers[0].headers
    written = {"integration_id": INTEGRATION, "target_type": "order", "target_id": "a/b"}
    written |= {"url": RESULT["result_url"], "status": "COMPLETED", "score": 90.0}
    assert standin.order_results() == [written] * 2
    assert standin.links() == []
    assert standin.stats()["created"] == 2
    standin.reset()
    assert standin.order_results() == []


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("status", {"status": SECRET}),
        ("result_url", {"result_url": SECRET}),
        ("score", {"score": "90"}),
        ("completed_at", {"completed_at": f"03.11.2026 {SECRET}"}),
        ("completed_at", {"completed_at": "2026-11-03 17:00"}),
        ("completed_at", {"completed_at": "2026-11-03T17:00:00+02:00"}),
        ("attributes.0", {"attributes": [{"type": SECRET}]}),
        ("attachments", {"attachments": [{"name": "a"}] * 6}),
        ("remote_fields", {"remote_fields": SECRET}),
    ],
)
def test_a_result_against_the_schema_is_refused(put, standin, field, changes):
    """The message of a 400 names the field, and never repeats the content."""
    answer = put(**changes)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "PLATFORM.INPUT_INVALID")
    assert answer.json()["error"]["message"].startswith(field)
    assert SECRET not in answer.text
    assert standin.order_results() == []


def test_rules_speak_of_orders_too(put, standin):
    """A rule for orders matches them, and a rule for a label does not."""
    standin.add_rule({"kind": "answer", "status": 500}, label="Coding")
    standin.add_rule({"kind": "answer", "status": 503}, target_type="order", target_id="o1")
    assert put().status_code == 503
    assert put("assessment/orders/o2/result").status_code == 200


@pytest.mark.parametrize("path", ["assessment/orders/a/b/result", "assessment/orders/o1"])
def test_another_path_is_no_endpoint(put, standin, path):
    """An unescaped slash, and a path without its end, are 404."""
    assert put(path).status_code == 404
    assert standin.order_results() == []


def test_the_official_client_writes_a_result(standin):
    """A request of Kombo's own Python client is accepted."""
    with Kombo(DEFAULT_KEY, INTEGRATION, server_url=standin.url) as client:
        client.assessment.update_order_result(
            assessment_order_id="o1",
            status="COMPLETED",
            result_url="https://example.com/1",
            score=90,
            max_score=100,
            completed_at=datetime(2026, 11, 3, tzinfo=timezone.utc),
            attributes=[
                {"type": "TEXT", "label": "Role fit", "value": "Excellent"},
                {
                    "type": "SUB_RESULT",
                    "id": "t1",
                    "label": "Personality",
                    "score": {"value": 97, "max": 100},
                    "status": "COMPLETED",
                },
            ],
            attachments=[{"name": "a.pdf", "data": "SGk=", "content_type": "application/pdf"}],
        )
    (written,) = standin.order_results()
    assert (written["target_id"], written["score"]) == ("o1", 90)
