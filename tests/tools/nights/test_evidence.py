"""Looks for links in a night: the ATSs behind Kombo, and the checks of each decision."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from tools.nights.answers import ANSWERS, CALM
from tools.nights.ats import Ats
from tools.nights.ats_reads import AtsReads
from tools.nights.check_night import check_night
from tools.nights.checks import Checks
from tools.nights.evidence_truth import is_clock_trusted
from tools.nights.findings import LIE, LOST
from tools.nights.kombo import Sent
from tools.nights.plan import DAY, Accident, Plan, PlannedRun, SourceRow
from tools.nights.planned_evidence import KeptAs, PlannedAts, PlannedLook, PlannedRecipe
from tools.nights.replaced import Request
from tools.nights.stage import stage
from tools.nights.world import EVENING

NAME = "lever:two"
ATS = PlannedAts(NAME, KeptAs.ACTIVITIES, written_as="html", page_size=2)
RECIPES = tuple(
    PlannedRecipe("lever", target_type, KeptAs.ACTIVITIES, "tried", may_deny=True)
    for target_type in ("application", "candidate")
)
DOUBTFUL = Plan(
    seed=3,
    rows=(
        *(SourceRow(f"r{number}", -1.0, DAY, NAME, f"c{number}") for number in range(9)),
        *(SourceRow(f"s{number}", 990.0, DAY, NAME, f"d{number}") for number in range(4)),
    ),
    runs=(PlannedRun("night-0", 0.0, DAY), PlannedRun("hand-late", 1000.0, DAY)),
    decisions=(),
    accidents=(Accident("doubt", 0.0, 60.0),),
    patience=(0.1, 0.3),
    slots=30,
    commit_seconds=0.01,
    looks=(PlannedLook("look-0", 1600.0),),
    atss=(ATS,),
    recipes=RECIPES,
)


@pytest.fixture(scope="module")
def one():
    with stage() as stage_:
        yield stage_


@pytest.fixture
def story(one):
    """Return the story of a night with a link found by looks, and another one denied."""
    checked = check_night(DOUBTFUL, one)
    assert checked.findings == []
    words = Counter(row["resolution"] for row in checked.story.resolutions)
    assert words["created"]
    assert words["not created"]
    return checked.story


def kinds(story, rows=(), moment="in between"):
    checks = Checks()
    checks.look(story, moment, list(rows))
    return {finding.kind for finding in checks.findings}


def sent_by(story, word):
    """Return the request of an attempt with a decision."""
    decided = next(row for row in story.resolutions if row["resolution"] == word)
    key = decided["result_id"], decided["attempt"]
    return next(sent for sent in story.sent if (sent.result_id, sent.attempt) == key)


def row_of(sent, status):
    target = dict(zip(("integration_id", "target_type", "target_id"), sent.target, strict=True))
    other = {"error_code": None, "error_message": None, "attempts": sent.attempt}
    return {"result_id": sent.result_id, **target, "status": status, **other}


def test_a_found_link_was_made_by_its_attempt(story):
    """A link the ATS never had is not found."""
    story.ats.kept = lambda _sent: None
    assert kinds(story) == {LIE}


def test_a_denied_link_was_not_made(story):
    """A link really made is not denied."""
    sent = sent_by(story, "not created")
    sent.made_at = sent.at
    assert kinds(story) == {LIE}


def test_a_deleted_link_may_be_denied(story):
    """A link deleted by a recruiter before the look may be denied."""
    sent = sent_by(story, "not created")
    sent.made_at = sent.at
    story.ats.plans = {NAME: replace(ATS, deleted=1.0)}
    story.ats.keep(sent)
    (kept,) = [story.ats.kept(sent)]
    decided_at = min(row["at"] for row in story.resolutions)
    assert (kinds(story) == set()) is (kept.deleted_at <= decided_at)


def test_a_request_on_its_way_is_not_denied(story):
    """A request Kombo may still carry out is not denied."""
    sent_by(story, "not created").at += 1500
    assert kinds(story) == {LIE}


def test_a_denial_names_a_later_link(story):
    """A denial is a lie if the later link was sent earlier."""
    sent = sent_by(story, "not created")
    for later in story.sent:
        if later.result_id != sent.result_id:
            later.at = sent.at
    assert kinds(story) == {LIE}


def test_a_recipe_that_may_not_deny_does_not(story):
    """A denial by an inferred recipe is a lie."""
    recipes = tuple(replace(recipe, source="inferred") for recipe in RECIPES)
    story.plan = replace(DOUBTFUL, recipes=recipes)
    assert kinds(story) == {LIE}


def test_a_decision_is_not_written_over(story):
    """Evidence about an attempt with a decision or a response is a lie."""
    written = [dict(row) for row in story.evidence]
    story.evidence = [written[0] | {"status": "success"}]
    assert kinds(story) == {LIE}
    story.evidence = [written[0] | {"resolution_before": "created"}]
    assert kinds(story) == {LIE}


def test_the_counts_of_a_look_are_its_decisions(story):
    """A look lies by counting a decision too many."""
    story.looks[-1].counts["created"] += 1
    assert kinds(story) == {LIE}


@pytest.mark.parametrize("name", ["evidence_at", "resolution_reason"])
def test_the_columns_of_evidence_belong_together(story, name):
    """Evidence has a time, and is the reason of the decision."""
    story.attempts = [
        dict(row) | ({name: None} if row["evidence"] else {}) for row in story.attempts
    ]
    assert kinds(story) == {LIE}


@pytest.mark.parametrize("word", ["created", "not created"])
def test_the_row_has_the_status_of_the_decision(story, word):
    """A row with a decided attempt is in doubt no longer."""
    assert LIE in kinds(story, [row_of(sent_by(story, word), "unknown")])


def test_a_row_without_evidence_is_not_denied(story):
    """A row with the error code of evidence has an attempt with the same code."""
    sent = sent_by(story, "created")
    row = row_of(sent, "retryable") | {"error_code": "proved_not_created"}
    assert kinds(story, [row]) == {LIE}


def test_a_link_that_is_to_be_seen_is_settled(story):
    """A row in doubt after the last look, with the link there, is a finding."""
    found = row_of(sent_by(story, "created"), "unknown")
    assert LOST in kinds(story, [found], "after look-last")


def test_an_absence_beside_later_links_is_settled(story):
    """A row in doubt after the last look, beside a later link, is a finding."""
    sent = sent_by(story, "not created")
    story.sent[:] = [one for one in story.sent if one.result_id != sent.result_id or one is sent]
    story.attempts = [
        row
        for row in story.attempts
        if row["result_id"] != sent.result_id or row["attempt"] == sent.attempt
    ]
    later = [one for one in story.sent if one.result_id.startswith("s")]
    rows = [row_of(sent, "unknown"), *(row_of(one, "success") for one in later)]
    assert LOST in kinds(story, rows, "after look-last")
    assert LOST not in kinds(story, rows[:1], "after look-last")


@pytest.mark.parametrize(("jump", "is_trusted"), [(100.0, True), (3600.0, False), (-130.0, False)])
def test_a_clock_that_jumps_far_is_not_trusted(story, jump, is_trusted):
    """The rule trusts the ledger's clock to within two minutes."""
    story.jumps.append((EVENING + 500, jump))
    assert is_clock_trusted(story, EVENING + 10, EVENING + 900) is is_trusted
    assert is_clock_trusted(story, EVENING + 700, EVENING + 900)
    assert is_clock_trusted(story, EVENING + 10, EVENING + 400)


# The ATSs -----------------------------------------------------------------------------------------


def made(number, at=EVENING, target=("application", "a1")):
    url = f"https://results.example/r{number}?v=0&as=x"
    answer = ANSWERS["made"][0]
    return Sent("run", f"r{number}", (NAME, *target), url, at, answer, 1, made_at=at)


def read(ats, path, query="", body=b"", now=EVENING + 1e6):
    plan = replace(DOUBTFUL, atss=(ats,))
    links = [made(number) for number in range(3)]
    kept = Ats(plan, links)
    for link in links:
        kept.keep(link)
    request = Request(None, "GET", f"/v1{path}", query, {"X-Integration-Id": NAME}, body, bool)
    answer = AtsReads(kept, 1).answer(request, CALM, now)
    return answer, json.loads(answer.body)


def test_an_ats_shows_a_link_late():
    """A note is to be seen from the next sync on."""
    ats = replace(ATS, kept_as=KeptAs.NOTES, candidates="same", sync_seconds=300.0)
    seen = []
    for seconds in (1.0, 301.0):
        plan = replace(DOUBTFUL, atss=(ats,))
        kept = Ats(plan, [])
        kept.keep(made(1, EVENING + 0.5))
        seen.append(len(kept.entries(NAME, "candidate", "a1", EVENING + seconds)))
    assert seen == [2, 3]  # two entries are of others


def test_reads_have_pages():
    """A page has a cursor if another one follows."""
    ats = replace(ATS, kept_as=KeptAs.NOTES, candidates="same")
    _, body = read(ats, "/ats/notes", "candidate_ids=a1&page_size=250")
    assert (len(body["data"]["results"]), body["data"]["next"]) == (2, "2")
    _, body = read(ats, "/ats/notes", "candidate_ids=a1&page_size=250&cursor=4")
    assert (len(body["data"]["results"]), body["data"]["next"]) == (1, None)


def test_a_document_is_on_its_application():
    """Documents of an application are live, and an untracked one has none."""
    ats = replace(ATS, kept_as=KeptAs.DOCUMENTS)
    _, body = read(ats, "/ats/applications/a1/attachments")
    assert "r0?v=0&amp;as=x" in body["data"]["results"][1]["data_url"]
    _, body = read(replace(ats, untracked=1.0), "/ats/applications/a1/attachments")
    assert body["data"]["results"] == []


def test_an_ats_has_errors_of_its_own():
    """The passthrough has the status of the ATS beside Kombo's success."""
    asked = {"method": "GET", "path": "/candidates/remote-of-a1/activities"}
    statuses = [
        read(ats, "/passthrough/lever/v1", body=json.dumps(asked).encode())[1]["data"]["status"]
        for ats in (ATS, replace(ATS, broken=1.0))
    ]
    assert statuses == [200, 500]


def test_reads_need_a_permission():
    """An integration without the permission shows records alone."""
    ats = replace(ATS, may_read=False)
    assert read(ats, "/ats/notes", "candidate_ids=a1")[0].status == 403
    _, body = read(ats, "/ats/applications", "ids=a1,a2&page_size=250")
    assert [record["candidate_id"] for record in body["data"]["results"]] == ["of-a1", "of-a2"]
