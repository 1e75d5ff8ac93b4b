"""Links that an ATS keeps, as the stand-in's reads show them."""

import html
import time
from datetime import datetime
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest

from tools.kombo_standin.client import StandIn, StandInError, running

INTEGRATION = "workday:HWUTwvyx2wLoSUHphiWVrp28"
URL = "https://example.com/results/1"
ODD = "https://example.com/r?a='1'&b=%C3%BC&c=2"


@pytest.fixture
def notes(http, standin):
    """Return a reader of one page of notes; keywords are parameters."""

    def notes(**params: str | int) -> list[dict]:
        return http.get(f"{standin.url}/ats/notes", params=params).json()["data"]["results"]

    return notes


@pytest.fixture
def files(http, standin):
    """Return a reader of a candidate's or an application's attachments."""

    def files(target: str) -> list[str]:
        found = http.get(f"{standin.url}/ats/{target}/attachments").json()
        assert found["warnings"] == []
        return [one["data_url"] for one in found["data"]["results"]]

    return files


@pytest.fixture
def ask(http, standin):
    """Return a client of the ATS's own API."""

    def ask(remote_id: str, method: str = "GET", query: str = "", **params: str) -> dict:
        path = f"/candidates/{remote_id}/activity_feed{query}"
        body = {"method": method, "path": path, "params": params}
        answer = http.post(f"{standin.url}/passthrough/workday/hcm", json=body)
        assert (answer.status_code, answer.json()["warnings"]) == (200, [])
        return answer.json()["data"]

    return ask


@pytest.fixture
def bodies(ask):
    """Return a reader of the texts on one page of a candidate's activities."""

    def bodies(remote_id: str, **params: str) -> list[str]:
        return [one["body"] for one in ask(remote_id, **params)["data"]["activities"]]

    return bodies


@pytest.mark.parametrize("kept_as", ["notes", "documents", "activities"])
def test_a_link_is_in_one_place(post, standin, notes, files, bodies, kept_as):
    """A link is in the flavour's place, once for each write, and in no other place."""
    standin.set_ats(by_tool={"workday": {"kept_as": kept_as}})
    assert (notes(), files("candidates/c1"), bodies("remote-c1")) == ([], [], [])
    post("candidates/c1")
    post("candidates/c1")
    post("candidates/c1", integration_id="workday:other")
    found = {
        "notes": len(notes()),
        "documents": len(files("candidates/c1")),
        "activities": len(bodies("remote-c1")),
    }
    assert found == {name: 2 if name == kept_as else 0 for name in found}


@pytest.mark.parametrize(
    ("outcome", "effect", "number"),
    [
        ({"kind": "reset"}, "created", 1),
        ({"kind": "answer", "status": 500}, "created", 1),
        ({"kind": "answer", "status": 500}, None, 0),
        ({"kind": "success"}, "none", 0),
    ],
)
def test_the_ats_has_what_was_made_whatever_the_client_got(
    post, standin, notes, outcome, effect, number
):
    """A link made in spite of an error is there, and a link not made is not there."""
    standin.add_rule(outcome, effect=effect)
    before = time.time()
    try:
        post()
    except httpx.ReadError:
        assert outcome == {"kind": "reset"}
    found = notes()
    assert len(found) == number
    for note in found:
        made = datetime.fromisoformat(note["remote_created_at"].replace("Z", "+00:00"))
        assert before - 0.001 <= made.timestamp() <= time.time()


def test_a_note_says_whose_it_is(post, notes):
    """A note has the candidate, and the application of an application's link."""
    post("applications/a1")
    post("candidates/a1")
    post("applications/a%2F2")
    assert [(note["candidate_id"], note["application_id"]) for note in notes()] == [
        ("candidate-of-a1", "a1"),
        ("a1", None),
        ("candidate-of-a/2", "a/2"),
    ]


def test_notes_are_filtered_by_their_owners(post, standin, notes):
    """A candidate has all notes of the applications, an application has only its own notes."""
    standin.set_ats(candidates={"a1": "c1", "a2": "c1", "candidate": "c2"})
    targets = ["applications/a1", "applications/a2", "candidates/c1", "applications/a3"]
    for number, target in enumerate(targets):
        post(target, label=str(number))

    def found(**params: str) -> list[str]:
        return [note["title"] for note in notes(**params)]

    assert found(candidate_ids="c1") == ["0", "1", "2"]
    assert found(candidate_ids="c1,candidate-of-a3,c1") == ["0", "1", "2", "3"]
    assert found(candidate_ids="candidate-of-a1") == []
    assert found(application_ids="a1,a3") == ["0", "3"]
    assert found(application_ids="c1") == []
    assert found(application_ids="a1,a3", candidate_ids="c1") == ["0"]
    assert found(ids=notes()[1]["id"]) == ["1"]
    assert found() == ["0", "1", "2", "3"]


def test_an_ats_may_file_links_under_candidates(post, standin, notes, files):
    """Then an application has no note, and has all of the candidate's attachments."""
    candidates = {"a1": "c1", "a2": "c1"}
    standin.set_ats(default={"filed_under": "candidate"}, candidates=candidates)
    post("applications/a1")
    post("applications/a2", url=ODD)
    assert notes(application_ids="a1,a2") == []
    assert [note["application_id"] for note in notes(candidate_ids="c1")] == [None, None]
    flavour = {"filed_under": "candidate", "kept_as": "documents"}
    standin.set_ats(default=flavour, candidates=candidates)
    assert files("applications/a1") == files("applications/a2") == [URL, ODD]


def test_notes_come_in_pages(post, http):
    """The cursor leads through all notes once, also if a note is added meanwhile."""
    for number in range(3):
        post("candidates/c1", label=str(number))
    params = {"candidate_ids": "c1", "page_size": 2}
    first = http.get("/ats/notes", params=params).json()["data"]
    post("candidates/c1", label="3")
    params["cursor"] = first["next"]
    second = http.get("/ats/notes", params=params).json()["data"]
    pages = [[note["title"] for note in data["results"]] for data in (first, second)]
    assert pages == [["0", "1"], ["2", "3"]]
    assert second["next"] is None


def test_notes_are_as_old_as_the_last_ordered_sync(post, standin, notes):
    """Without periodic syncs, notes are a snapshot: later links and deletions are missing."""
    standin.set_ats(default={"sync_seconds": None})
    post("candidates/c1", label="0")
    assert notes() == []
    standin.sync()
    (note,) = notes()
    post("candidates/c1", label="1")
    standin.delete_link(label="0")
    assert notes() == [note]
    standin.sync()
    assert [one["title"] for one in notes()] == ["1"]
    old, new = notes(include_deleted="true")
    assert (old["remote_deleted_at"] is None, new["remote_deleted_at"]) == (False, None)
    assert note["changed_at"] < old["changed_at"] == new["changed_at"]


def test_a_note_changes_when_a_sync_finds_the_note(post, standin, notes):
    """The filter by change goes by Kombo's sync, not by the creation in the ATS."""
    standin.set_ats(default={"sync_seconds": None})
    post("candidates/c1")
    standin.sync()
    (first,) = notes()
    post("candidates/c1", url=ODD)
    standin.sync()
    second = notes()[1]
    assert notes(updated_after=second["changed_at"]) == [second]
    assert len(notes(updated_after=first["changed_at"])) == 2
    assert notes(updated_after="2999-01-01") == []


def test_a_link_deleted_between_two_syncs_never_becomes_a_note(post, standin, notes):
    """Kombo does not know of a note before a sync."""
    standin.set_ats(default={"sync_seconds": None})
    post("candidates/c1")
    standin.delete_link()
    standin.sync()
    assert notes(include_deleted="true") == []


def test_notes_are_synced_every_so_often(post, standin, notes, until):
    """With a period, a link becomes a note at the next sync, without an order."""
    for _ in range(2):
        standin.set_ats(default={"sync_seconds": 600})
        assert notes() == []
        post("candidates/c1")
        assert notes() == []
    standin.set_ats(default={"sync_seconds": 0.4})
    assert until(notes)
    standin.delete_link()
    assert until(lambda: not notes())


def test_an_order_syncs_between_two_periods(post, standin, notes):
    """An ordered sync finds notes, although the next periodic sync is far away."""
    standin.set_ats(default={"sync_seconds": 600})
    post("candidates/c1")
    standin.sync()
    assert len(notes()) == 1


@pytest.mark.parametrize("kept_as", ["notes", "documents", "activities"])
def test_a_link_appears_late(post, standin, notes, files, bodies, until, kept_as):
    """An ATS shows a link some time after the creation, in each place."""
    standin.set_ats(default={"kept_as": kept_as, "appears_after": (600, 601)})
    post("candidates/c1")
    standin.sync()

    def found() -> list:
        return [*notes(), *files("candidates/c1"), *bodies("remote-c1")]

    assert found() == []
    standin.set_ats(default={"kept_as": kept_as, "appears_after": (0.2, 0.3)})
    post("candidates/c1")
    assert len(until(found)) == 1


@pytest.mark.parametrize("written_as", ["plain", "html", "percent"])
def test_an_ats_writes_the_address_in_its_own_way(post, standin, notes, files, bodies, written_as):
    """The address is unchanged, escaped for HTML, or inside the address of a redirect."""

    def shown(place: str) -> None:
        standin.set_ats(default={"written_as": written_as, "kept_as": place})

    shown("notes")
    post("candidates/c1", url=ODD, label="A<B")
    text = notes()[0]["content_html"]
    shown("activities")
    assert bodies("remote-c1") == [text]
    shown("documents")
    (file,) = files("candidates/c1")
    assert (ODD in text) is (written_as == "plain")
    assert (ODD in html.unescape(text)) is (written_as != "percent")
    assert ("&lt;" in text) is (written_as == "html")
    assert (file == ODD) is (written_as != "percent")
    if written_as == "percent":
        assert text.endswith(quote(ODD, safe=""))
        assert parse_qs(urlsplit(file).query) == {"to": [ODD]}


def test_attachments_belong_to_a_candidate_or_an_application(post, standin, files, http):
    """A candidate has the applications' attachments, an application has its own ones."""
    standin.set_ats(default={"kept_as": "documents"}, candidates={"a/1": "c1"})
    post("applications/a%2F1", url=f"{URL}?a")
    post("candidates/c1", url=f"{URL}?c")
    assert files("candidates/c1") == [f"{URL}?a", f"{URL}?c"]
    assert files("applications/a%2F1") == [f"{URL}?a"]
    assert files("applications/c1") == files("candidates/a%2F1") == []
    results = http.get("/ats/candidates/c1/attachments").json()["data"]["results"]
    owners = [(one["candidate_id"], one["application_id"]) for one in results]
    assert owners == [("c1", "a/1"), ("c1", None)]


def test_a_deleted_link_is_gone_at_once_from_live_reads(post, standin, files, bodies):
    """A recruiter deletes all matching links; the counts of writes stay."""
    standin.set_ats(default={"kept_as": "documents"})
    post("candidates/c1", url=ODD)
    post("candidates/c1")
    post("candidates/c1")
    assert standin.delete_link(url=URL, target_type="candidate", target_id="c1") == 2
    assert files("candidates/c1") == [ODD]
    assert (standin.stats()["created"], len(standin.links())) == (3, 2)
    post("candidates/c1")
    assert files("candidates/c1") == [ODD, URL]
    with pytest.raises(StandInError, match="404"):
        standin.delete_link(target_type="application")
    with pytest.raises(StandInError, match="422"):
        standin.delete_link(targettype="application")
    assert standin.delete_link() == 2
    with pytest.raises(StandInError, match="404"):
        standin.delete_link()


@pytest.mark.parametrize(
    ("remote_id", "status"),
    [
        ("remote-c1", 200),
        ("remote-never-heard-of", 200),
        ("c1", 404),
        ("remote-application-a1", 404),
        ("remote-a/b", 404),
    ],
)
def test_the_ats_knows_its_own_ids_only(post, ask, remote_id, status):
    """Kombo's id, an application's and an unescaped slash are the ATS's own 404, in a 200."""
    post("candidates/c1")
    answer = ask(remote_id)
    assert (answer["status"], "activities" in answer["data"]) == (status, status == 200)
    assert answer["url"].endswith(f"/candidates/{remote_id}/activity_feed")
    assert answer["headers"] == {"content-type": "application/json"}


def test_activities_of_all_applications_are_the_candidates(post, standin, bodies):
    """A candidate's activities have the applications' links, newest first, by escaped id."""
    standin.set_ats(default={"kept_as": "activities"}, candidates={"a1": "c/1"})
    post("applications/a1", label="old")
    post("candidates/c%2F1", label="new")
    assert bodies("remote-c%2F1") == [f"new: {URL}", f"old: {URL}"]
    assert bodies("remote-candidate-of-a1") == []


@pytest.mark.parametrize("per_page", [None, "1", "2", "99"])
def test_activities_come_in_the_atss_own_pages(post, standin, ask, per_page):
    """The ATS's pages have at most its own size, and name the next page."""
    standin.set_ats(default={"kept_as": "activities", "per_page": 2})
    for number in range(5):
        post("candidates/c1", label=str(number))
    size = {"per_page": per_page} if per_page else {}
    pages, page = [], 1
    while page and len(pages) < 10:
        data = ask("remote-c1", query="?page=1", page=str(page), **size)["data"]
        pages.append([one["subject"] for one in data["activities"]])
        page = data["next"]
    expected = "43210"
    step = 1 if per_page == "1" else 2
    assert pages == [list(expected[n : n + step]) for n in range(0, 5, step)]


@pytest.mark.parametrize("query", ["?page=2", "?page=2&page=2"])
def test_parameters_may_be_in_the_path(post, standin, ask, query):
    """Parameters in the path count, too."""
    standin.set_ats(default={"kept_as": "activities", "per_page": 1})
    post("candidates/c1", label="0")
    post("candidates/c1", label="1")
    assert ask("remote-c1", query=query)["data"]["activities"][0]["subject"] == "0"


def test_the_atss_own_errors_are_inside_a_success(ask):
    """An impossible page and another method are the ATS's errors."""
    assert ask("remote-c1", page="0")["status"] == 422
    assert ask("remote-c1", method="POST")["status"] == 405


@pytest.mark.parametrize(
    ("field", "tool", "changes"),
    [
        ("method", "workday", {"method": "get"}),
        ("path", "workday", {"path": None}),
        ("params.page", "workday", {"params": {"page": 1}}),
        ("headers", "workday", {"headers": []}),
        ("tool", "greenhouse", {}),
    ],
)
def test_a_passthrough_against_the_schema_is_refused(http, standin, field, tool, changes):
    """Wrong types, a missing path and another integration's tool are invalid input."""
    body = {"method": "GET", "path": "/candidates/remote-c1/activity_feed", **changes}
    answer = http.post(f"{standin.url}/passthrough/{tool}/hcm", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "PLATFORM.INPUT_INVALID")
    assert error["message"].startswith(field)


def test_live_reads_take_the_atss_time(http, standin):
    """Attachments and the ATS's own API take the latency, and notes do not."""
    standin.set_latency(default=(0.2, 0.2))
    body = {"method": "GET", "path": "/candidates/remote-c1/activity_feed"}

    def seconds(method: str, path: str, sent: dict | None = None) -> float:
        begin = time.perf_counter()
        http.request(method, f"{standin.url}/{path}", json=sent)
        return time.perf_counter() - begin

    assert seconds("GET", "ats/candidates/c1/attachments") >= 0.2
    assert seconds("GET", "ats/applications/a1/attachments") >= 0.2
    assert seconds("POST", "passthrough/workday/hcm", body) >= 0.2
    assert min(seconds("GET", "ats/notes") for _ in range(5)) < 0.2


def test_a_reset_forgets_links_syncs_and_flavours(post, standin, notes):
    """After a reset the scenario's ATSs are back, without links."""
    post("candidates/c1")
    standin.sync()
    standin.set_ats(default={"kept_as": "documents"})
    standin.reset()
    assert notes() == []
    post("candidates/c1")
    assert len(notes()) == 1


def test_links_times_and_deletions_outlive_a_restart(http, tmp_path):
    """With scenario and journal, a new server has the same links at the same places."""
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text("""
        ats:
          default: {kept_as: documents, may_read: false}
          by_tool: {workday: {kept_as: notes}, sap: {appears_after: [600, 600]}}
          candidates: {a1: c1}
          untracked_ids: [c2]
          seed: 7
    """)

    def read(standin: StandIn, integration_id: str = INTEGRATION) -> list[dict]:
        headers = {"X-Integration-Id": integration_id}
        path = f"{standin.url}/ats/notes?candidate_ids=c1"
        return http.get(path, headers=headers).json()["data"]["results"]

    def post(standin: StandIn, target: str, url: str, integration_id: str = INTEGRATION) -> None:
        path = f"{standin.url}/ats/{target}/result-links"
        headers = {"X-Integration-Id": integration_id}
        http.post(path, json={"label": "Coding", "url": url}, headers=headers)

    journal = tmp_path / "links.jsonl"
    with running(scenario=scenario, journal=journal) as standin:
        post(standin, "candidates/c1", URL)
        post(standin, "candidates/c1", ODD)
        post(standin, "applications/a1", URL)
        post(standin, "candidates/c1", URL, "sap:late")
        standin.delete_link(url=ODD)
        before = read(standin)
        assert [one["application_id"] for one in before] == [None, "a1"]
    with running(scenario=scenario, journal=journal) as standin:
        after = read(standin)
        assert (after, read(standin, "sap:late")) == (before, [])
        post(standin, "candidates/c1", URL)
        assert len({one["id"] for one in read(standin)}) == 3
        tracked = http.get(f"{standin.url}/ats/candidates?ids=c1,c2").json()["data"]["results"]
        assert [one["id"] for one in tracked] == ["c1"]
