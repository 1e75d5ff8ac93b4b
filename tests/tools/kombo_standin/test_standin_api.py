"""Responses of the stand-in, as Kombo documents them."""

import kombo
import pytest
from kombo import errors

from tools.kombo_standin.client import DEFAULT_KEY

INTEGRATION = "workday:HWUTwvyx2wLoSUHphiWVrp28"
LIMIT_HEADERS = {
    "Concurrency-Limit",
    "Concurrency-Remaining",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
}
DETAILS = {"custom_field_name_prefix": "Acme:", "attributes": [{"key": "Score", "value": "100%"}]}
SECRET = "S3CRET"


@pytest.mark.parametrize("target", ["candidates/c1", "applications/a1"])
def test_a_valid_post_makes_a_link(post, standin, target):
    """Both endpoints respond 200 with empty `data` and no warnings, and record the link."""
    answer = post(target)
    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "success", "data": {}, "warnings": []},
    )
    collection, target_id = target.split("/")
    assert standin.links() == [
        {
            "integration_id": INTEGRATION,
            "target_type": collection.removesuffix("s"),
            "target_id": target_id,
            "label": "Coding",
            "url": "https://example.com/results/1",
            "count": 1,
        }
    ]


def test_posting_twice_is_told_by_the_count(post, standin):
    """The same link, made twice, is one entry with count 2."""
    post()
    post()
    assert [link["count"] for link in standin.links()] == [2]
    assert standin.stats()["created"] == 2


def test_a_candidate_and_an_application_may_share_an_id(post, standin):
    """Links differ by the target's type, the integration and the URL."""
    post("candidates/same")
    post("applications/same")
    post("applications/same", url="https://example.com/results/2")
    post("applications/same", integration_id="greenhouse:x")
    assert [link["count"] for link in standin.links()] == [1, 1, 1, 1]


@pytest.mark.parametrize("authorization", ["", "Bearer wrong", DEFAULT_KEY])
def test_a_wrong_key_is_refused(http, standin, authorization):
    """Without the accepted bearer token the response is 401, and no link is made."""
    headers = {"Authorization": authorization}
    answer = http.post("/ats/candidates/c1/result-links", json={}, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "PLATFORM.AUTHENTICATION_INVALID"
    assert http.get("/check-api-key", headers=headers).status_code == 401
    assert standin.links() == []


@pytest.mark.parametrize("header", [b"X-Other: 1", b"X-Integration-Id:", b"X-Integration-Id:   "])
def test_the_integration_header_is_required(connection, raw_request, standin, header):
    """A missing or blank X-Integration-Id is invalid input."""
    connection.sendall(raw_request.replace(f"X-Integration-Id: {INTEGRATION}".encode(), header))
    assert connection.recv(4096).startswith(b"HTTP/1.1 400")
    assert standin.stats()["answers"] == {"400 PLATFORM.INPUT_INVALID": 1}


def test_an_error_has_the_documented_shape(post):
    """An error's object has code, title, message and a log_url on this server."""
    answer = post(label=None)
    assert answer.json()["status"] == "error"
    error = answer.json()["error"]
    assert set(error) == {"code", "title", "message", "log_url"}
    assert error["log_url"].startswith(f"http://{answer.request.url.netloc.decode()}/logs/")


@pytest.mark.parametrize("changes", [{}, {"label": 1}, {"integration_id": ""}])
def test_every_answer_tells_the_limits(post, changes):
    """All five limit headers come with success and failure, as whole numbers."""
    headers = post(**changes).headers
    assert all(headers[name].isdigit() for name in LIMIT_HEADERS)


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("label", {"label": None}),
        ("label", {"label": 5}),
        ("url", {"url": f"{SECRET}/no/scheme"}),
        ("url", {"url": f"https://example.com/{SECRET} with spaces"}),
        ("url", {"url": f"https://example.com/{SECRET}/ü"}),
        ("url", {"url": ""}),
        ("details", {"details": None}),
        ("details", {"details": SECRET}),
        ("details.attributes", {"details": {"custom_field_name_prefix": SECRET}}),
        ("details.custom_field_name_prefix", {"details": {"attributes": []}}),
        (
            "details.attributes.0.value",
            {"details": DETAILS | {"attributes": [{"key": SECRET, "value": 100}]}},
        ),
        ("details.attributes.0.value", {"details": DETAILS | {"attributes": [{"key": SECRET}]}}),
        ("remote_fields", {"remote_fields": [SECRET]}),
        (
            "remote_fields.oracle.override_document_category",
            {"remote_fields": {"oracle": {"override_document_category": SECRET}}},
        ),
        (
            "remote_fields.oracle.multi_post_to_all_current_applications",
            {"remote_fields": {"oracle": {"multi_post_to_all_current_applications": "true"}}},
        ),
        (
            "remote_fields.greenhouse.post_headers.On-Behalf-Of",
            {"remote_fields": {"greenhouse": {"post_headers": {"On-Behalf-Of": 7}}}},
        ),
        ("remote_fields.talent360.user_id", {"remote_fields": {"talent360": {}}}),
    ],
)
def test_a_body_against_the_schema_is_refused(post, standin, field, changes):
    """The message of a 400 names the field, and never repeats the content."""
    answer = post(**changes)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "PLATFORM.INPUT_INVALID")
    assert answer.json()["error"]["message"].startswith(f"{field}: ")
    assert SECRET not in answer.text
    assert standin.links() == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'"S3CRET"'])
def test_a_body_that_is_no_json_object_is_refused(http, standin, body):
    """Broken JSON and other types than an object are invalid input."""
    answer = http.post("/ats/candidates/c1/result-links", content=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "PLATFORM.INPUT_INVALID")
    assert SECRET not in answer.text
    assert standin.links() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"label": ""},
        {"url": "https://example.com/a%20b?x=1&y=%C3%BC#top"},
        {"url": "mailto:someone@example.com"},
        {"details": DETAILS},
        {"details": DETAILS | {"attributes": []}},
        {"remote_fields": {}},
        {"remote_fields": {"newats": {"anything": [1, None]}}},
        {"remote_fields": {"greenhouse": {"post_headers": {"On-Behalf-Of": None}}}},
        {"remote_fields": {"icims": {"assessment_package_id": "p1", "unknown": 1}}},
        {"application_id": "an unknown member"},
    ],
)
def test_all_that_the_schema_allows_is_accepted(post, changes):
    """Empty strings and unknown members are accepted at every level."""
    assert post(**changes).status_code == 200


def test_an_escaped_slash_belongs_to_the_id(post, standin):
    """An id is percent-decoded, as one id."""
    assert post("applications/a%2Fb%20%C3%BC").status_code == 200
    assert standin.links()[0]["target_id"] == "a/b ü"


@pytest.mark.parametrize("target", ["applications/a/b", "applications/", "jobs/j1"])
def test_another_path_is_no_endpoint(post, standin, target):
    """An unescaped slash, an empty id and another collection are 404, and make no link."""
    answer = post(target)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, None)
    assert standin.links() == []


def test_an_unknown_path_and_method_answer_like_kombo(http):
    """An unknown path or method gets Kombo's error format without a code."""
    for answer in (http.get("/ats/nothing"), http.get("/ats/candidates/c1/result-links")):
        assert answer.is_client_error
        assert answer.json()["error"]["code"] is None


def test_an_integration_is_described(http):
    """Tool and label are the part before the colon; both result-link actions are listed."""
    data = http.get("/integrations/workday%3Aa%2Fb").json()["data"]
    assert (data["id"], data["tool"]["id"], data["tool"]["label"]) == (
        "workday:a/b",
        "workday",
        "Workday",
    )
    assert (data["status"], data["setup_status"]) == ("ACTIVE", "COMPLETED")
    assert {action["id"] for action in data["write_actions"]} == {
        "ats_add_result_link_to_application",
        "ats_add_result_link_to_candidate",
    }


def test_the_official_client_understands_every_answer(standin):
    """Kombo's own Python client parses a success, both reads, and an error with a code."""
    with kombo.Kombo(
        api_key=DEFAULT_KEY, integration_id=INTEGRATION, server_url=standin.url
    ) as client:
        assert client.general.check_api_key().data.environment_id
        assert client.general.get_integration_details(integration_id=INTEGRATION).data.id
        link = {"label": "Coding", "url": "https://example.com/1", "details": DETAILS}
        made = client.ats.add_application_result_link(application_id="a1", **link)
        assert made.warnings == []
        standin.add_rule({"kind": "answer", "status": 422, "code": "REMOTE.INPUT_INVALID"})
        with pytest.raises(errors.KomboAtsError) as caught:
            client.ats.add_candidate_result_link(candidate_id="c1", **link)
    assert caught.value.data.error.code == "REMOTE.INPUT_INVALID"
    assert len(standin.links()) == 1
