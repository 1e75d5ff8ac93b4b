"""Reads of the stand-in: limits and failures, and the records that Kombo tracks."""

from collections import Counter

import httpx
import kombo
import pytest

from tools.kombo_standin.client import DEFAULT_KEY, StandInError

INTEGRATION = "workday:HWUTwvyx2wLoSUHphiWVrp28"
OTHER = "greenhouse:x"
FEED = {"method": "GET", "path": "/candidates/remote-c1/activity_feed"}
SECRET = "S3CRET"
READS = [
    ("GET", "ats/applications?ids=a1"),
    ("GET", "ats/candidates?ids=c1"),
    ("GET", "ats/notes"),
    ("GET", "ats/applications/a1/attachments"),
    ("GET", "ats/candidates/c1/attachments"),
    ("POST", "passthrough/workday/hcm"),
]
FORBIDDEN = READS[2:]


@pytest.fixture
def read(http, standin):
    """Return a reader of a path; keywords are headers."""

    def read(method: str, path: str, **headers: str) -> httpx.Response:
        body = {"json": FEED} if method == "POST" else {}
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return http.request(method, f"{standin.url}/{path}", headers=headers, **body)

    return read


def code(answer: httpx.Response) -> tuple[int, str | None]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.parametrize(("method", "path"), READS)
def test_a_read_needs_key_and_integration(read, standin, method, path):
    """A wrong key is 401, a missing integration is 400, and both count as reads only."""
    wrong = read(method, path, Authorization="Bearer wrong", X_Integration_Id="")
    assert code(wrong) == (401, "PLATFORM.AUTHENTICATION_INVALID")
    assert code(read(method, path, X_Integration_Id="")) == (400, "PLATFORM.INPUT_INVALID")
    assert read(method, path).json()["status"] == "success"
    stats = standin.stats()
    assert (stats["reads"], stats["received"], stats["answers"]) == (3, 0, {})
    assert standin.requests() == []
    standin.reset()
    assert standin.stats()["reads"] == 0


@pytest.mark.parametrize(("method", "path"), READS)
def test_reads_and_writes_share_the_rate_limit(read, post, standin, method, path):
    """A window counts both; a refused read is no refused write."""
    standin.set_limits(rate=2, retry_after=True)
    assert read(method, path).headers["ratelimit-remaining"] == "1"
    assert post().headers["ratelimit-remaining"] == "0"
    refused = read(method, path)
    assert code(refused) == (429, "PLATFORM.RATE_LIMIT_EXCEEDED")
    assert refused.headers["Retry-After"] == refused.headers["ratelimit-reset"]
    assert standin.stats()["refused_429"] == 0
    assert post().status_code == 429


@pytest.mark.parametrize(("method", "path"), READS)
def test_a_read_takes_no_slot(read, standin, connection, raw_request, until, method, path):
    """A read succeeds while the only slot is taken, and reports no slots."""
    standin.set_limits(concurrency=1)
    standin.add_rule({"kind": "hang"}, times=1)
    connection.sendall(raw_request)
    until(lambda: "hang" in standin.stats()["answers"])
    answer = read(method, path)
    assert answer.status_code == 200
    assert "Concurrency-Limit" not in answer.headers
    assert standin.stats()["max_in_flight"] == {INTEGRATION: 1}


@pytest.mark.parametrize(("method", "path"), READS)
def test_a_permission_is_needed_for_the_links_of_an_ats(read, standin, method, path):
    """Without the permission, only applications and candidates can be read, by tool."""
    standin.set_ats(by_tool={"workday": {"may_read": False}})
    answer = read(method, path)
    if (method, path) in FORBIDDEN:
        assert code(answer) == (403, "INTEGRATION.PERMISSION_MISSING")
    else:
        assert answer.status_code == 200
    other = read(method, path.replace("workday", "greenhouse"), X_Integration_Id=OTHER)
    assert other.status_code == 200


@pytest.mark.parametrize(("method", "path"), READS)
def test_reads_fail_as_often_as_ordered(read, standin, method, path):
    """All reads of a tool fail in three ways, and writes do not fail."""
    standin.set_ats(by_tool={"workday": {"failing_reads": 1}}, seed=1)
    answers = [read(method, path) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {500, 503, 429}
    shown = {answer.status_code: answer for answer in answers}
    assert code(shown[500]) == (500, None)
    assert code(shown[429]) == (429, "PLATFORM.RATE_LIMIT_EXCEEDED")
    assert shown[503].headers["content-type"].startswith("text/plain")
    assert "ratelimit-limit" not in shown[503].headers
    path = path.replace("workday", "greenhouse")
    assert read(method, path, X_Integration_Id=OTHER).status_code == 200


def test_failures_can_be_repeated(read, post, standin):
    """The same seed has the same failures, about as many as the share."""

    def statuses(seed: int) -> list[int]:
        standin.set_ats(default={"failing_reads": 0.3}, seed=seed)
        assert post().status_code == 200
        return [read("GET", "ats/notes").status_code for _ in range(50)]

    first = statuses(1)
    assert statuses(1) == first
    assert statuses(2) != first
    assert 5 <= Counter(first)[200] <= 45


@pytest.mark.parametrize(
    "path",
    ["ats/jobs/j1/attachments", "ats/candidates/a/b/attachments", "passthrough/workday"],
)
def test_another_path_is_no_endpoint(http, standin, path):
    """Another collection, an unescaped slash and a missing part are 404."""
    assert code(http.get(f"{standin.url}/{path}")) == (404, None)


def test_an_application_has_its_candidate(http, standin):
    """Ids of an application and of its candidate are different in the ATS, and stay the same."""
    standin.set_ats(candidates={"a2": "c2"})
    results = http.get("/ats/applications?ids=a1,a2").json()["data"]["results"]
    assert [(one["id"], one["remote_id"], one["candidate_id"]) for one in results] == [
        ("a1", "remote-application-a1", "candidate-of-a1"),
        ("a2", "remote-application-a2", "c2"),
    ]
    assert [one["candidate"]["id"] for one in results] == ["candidate-of-a1", "c2"]
    (candidate,) = http.get("/ats/candidates?ids=c2").json()["data"]["results"]
    assert candidate["remote_id"] == results[1]["candidate"]["remote_id"] == "remote-c2"


@pytest.mark.parametrize("collection", ["applications", "candidates"])
def test_untracked_records_are_missing(http, standin, collection):
    """Listed ids are missing, and so is a share of all others, always the same ones."""
    standin.set_ats(by_tool={"workday": {"untracked": 0.4}}, untracked_ids=["r7"])
    path = f"/ats/{collection}?page_size=250&ids=" + ",".join(f"r{n}" for n in range(200))

    def found(**headers: str) -> list[str]:
        return [one["id"] for one in http.get(path, **headers).json()["data"]["results"]]

    first = found()
    assert first == found()
    assert 90 <= len(first) <= 150
    others = found(headers={"X-Integration-Id": OTHER})
    assert len(others) == 199
    assert "r7" not in {*first, *others}


@pytest.mark.parametrize("collection", ["applications", "candidates"])
def test_records_come_in_pages(http, standin, collection):
    """The cursor leads through all records once, also across untracked and repeated ids."""
    standin.set_ats(untracked_ids=["r1", "r4"])
    params = {"ids": "r0,r1,r2,r2,r3,r4", "page_size": 1}
    pages = []
    while len(pages) < 10:
        data = http.get(f"/ats/{collection}", params=params).json()["data"]
        pages.append([one["id"] for one in data["results"]])
        if not data["next"]:
            break
        params["cursor"] = data["next"]
    assert pages == [["r0"], ["r2"], ["r3"]]


@pytest.mark.parametrize(
    ("field", "path"),
    [
        ("page_size", "applications?ids=a&page_size=251"),
        ("page_size", "candidates?ids=a&page_size=0"),
        ("page_size", f"notes?page_size={SECRET}"),
        ("cursor", f"candidates?ids=a&cursor={SECRET}"),
        ("ids", "applications"),
        ("ids", "candidates?ids="),
        ("ids", "applications?ids=a,,b"),
        ("remote_ids", f"applications?ids=a&remote_ids={SECRET}"),
        ("email", f"candidates?ids=a&email={SECRET}"),
        ("include_deleted", "notes?include_deleted=yes"),
        ("updated_after", "notes?updated_after=2026-11-03T17:00:00%2B02:00"),
        ("updated_after", f"notes?updated_after={SECRET}"),
        ("A parameter", f"notes?application_ids={SECRET}&application_ids=b"),
    ],
)
def test_a_parameter_against_the_schema_is_refused(http, standin, field, path):
    """No filter is ignored: the message of a 400 names the parameter, without the content."""
    answer = http.get(f"/ats/{path}")
    assert code(answer) == (400, "PLATFORM.INPUT_INVALID")
    assert answer.json()["error"]["message"].startswith(field)
    assert SECRET not in answer.text


@pytest.mark.parametrize(
    "ats",
    [
        {"default": {"kept_as": "emails"}},
        {"default": {"failing_reads": 2}},
        {"by_tool": {"workday": {"keptas": "notes"}}},
        {"by_tol": {}},
    ],
)
def test_a_flavour_that_cannot_be_meant_is_refused(standin, ats):
    """A misspelled or impossible flavour raises an error."""
    with pytest.raises(StandInError, match="422"):
        standin.set_ats(**ats)


def test_the_official_client_understands_every_read(post, standin):
    """Kombo's own Python client parses all reads, page by page."""
    with kombo.Kombo(DEFAULT_KEY, INTEGRATION, server_url=standin.url) as client:
        applications = client.ats.get_applications(ids=["a/1", "a2"], page_size=1)
        (first,) = applications.result.data.results
        (second,) = applications.next().result.data.results
        assert (first.id, second.candidate.remote_id) == ("a/1", "remote-candidate-of-a2")
        (candidate,) = client.ats.get_candidates(ids=["c1"]).result.data.results
        assert candidate.remote_id == "remote-c1"
        post("applications/a1")
        (note,) = client.ats.get_notes(application_ids=["a1"]).result.data.results
        assert (note.application_id, note.title) == ("a1", "Coding")
        later = client.ats.get_notes(updated_after=note.changed_at).result.data.results
        assert later == [note]
        standin.set_ats(default={"kept_as": "documents"})
        for found in (
            client.ats.get_application_attachments(application_id="a1"),
            client.ats.get_candidate_attachments(candidate_id="candidate-of-a1"),
        ):
            (file,) = found.data.results
            assert file.data_url == "https://example.com/results/1"
        path = "/candidates/remote-c1/activity_feed"
        feed = client.general.send_passthrough_request(
            tool="workday", api="hcm", method="GET", path=path, params={"page": "1"}
        )
        assert (feed.data.status, feed.data.data["notes"]) == (200, [])
