"""The checks of a night: each of them finds what it is for."""

from dataclasses import replace

import pytest

from tools.nights.answers import ANSWERS
from tools.nights.check_night import check_night, shortest
from tools.nights.checks import Checks
from tools.nights.findings import LIE, LOST, TWICE
from tools.nights.plan import DAY, Plan, PlannedRun, SourceRow
from tools.nights.plans import plan_of
from tools.nights.stage import stage

QUIET = Plan(
    seed=1,
    rows=tuple(
        SourceRow(f"r{number}", -1.0, DAY, "workday:one", f"c{number}") for number in range(3)
    ),
    runs=(PlannedRun("night-0", 0.0, DAY),),
    decisions=(),
    accidents=(),
    patience=(0.1, 0.3),
    slots=30,
    commit_seconds=0.01,
)


@pytest.fixture(scope="module")
def one():
    with stage() as stage_:
        yield stage_


@pytest.fixture
def story(one):
    """Return the story of a night that kept every promise."""
    checked = check_night(QUIET, one)
    assert checked.findings == []
    return checked.story


def kinds(story, rows=(), moment="at the end"):
    checks = Checks()
    checks.look(story, moment, list(rows))
    checks.end(story)
    return {finding.kind for finding in checks.findings}


def row(result_id, status):
    return {"result_id": result_id, "status": status, "error_code": None, "error_message": None}


def good(story):
    return [row(one.result_id, "success") for one in QUIET.rows]


def test_a_good_night_has_no_finding(story):
    """Three rows, made once each, are as they should be."""
    assert kinds(story, good(story)) == set()


def test_a_row_without_a_status_is_lost(story):
    """A source row without a status in the end is lost."""
    assert kinds(story, good(story)[1:]) == {LOST}


@pytest.mark.parametrize("status", ["sending", "retryable", "blocked", "unknown"])
def test_a_row_that_waits_for_ever_is_lost(story, status):
    """A row not done when all is well is lost, and a lie if made."""
    assert LOST in kinds(story, [*good(story)[1:], row("r0", status)])


@pytest.mark.parametrize("status", ["failed", "invalid", "retryable", "blocked"])
def test_a_link_that_exists_is_not_denied(story, status):
    """A made row with another status lies, at any moment."""
    assert kinds(story, [row("r0", status)], "in between") == {LIE}


def test_a_success_that_was_not_made_is_a_lie(story):
    """A successful row has a link."""
    story.sent[:] = [one for one in story.sent if one.result_id != "r0"]
    story.attempts = [one for one in story.attempts if one["result_id"] != "r0"]
    assert LIE in kinds(story, [row("r0", "success")], "in between")


def test_an_unknown_row_has_a_reason(story):
    """A row is unknown only if nobody can know."""
    assert kinds(story, [row("r0", "unknown")], "in between") == {LIE}


def test_a_second_link_is_found(story):
    """Two links without an order are one too many."""
    story.sent.append(replace(story.sent[0], at=story.sent[0].at + 9))
    assert TWICE in kinds(story, good(story))


def test_a_request_sent_again_in_doubt_is_found(story):
    """A doubtful request is not sent again, also if no link was made."""
    first = story.sent[0]
    first.answer, first.made_at = ANSWERS["doubtful"][0], None
    story.sent.append(replace(first, at=first.at + 9))
    assert LIE in kinds(story, good(story))


def claim(story, status_before, words, run="hand-0-0"):
    """Add a second request of the first row, and the claim that it had."""
    first = story.sent[0]
    planned = PlannedRun(run, 60.0, DAY, redeliver=frozenset(words))
    story.tries[f"{run}.1"] = replace(story.tries[first.run], planned=planned, run=None)
    story.sent.append(replace(first, run=f"{run}.1", at=first.at + 60))
    story.claims.append(
        {
            "result_id": first.result_id,
            "run_id": f"{run}.1",
            "status_before": status_before,
            "at": first.at + 59,
        }
    )
    return {finding.text for finding in findings(story) if "sends it, after" in finding.text}


def findings(story):
    checks = Checks()
    checks.end(story)
    return checks.findings


def test_an_order_is_for_rows_of_its_status(story):
    """A redelivery of successful rows is an order for a successful row."""
    assert claim(story, "success", {"success"}) == set()


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("success", {"unknown"}),
        ("unknown", {"success", "changed"}),
        ("success", {"changed"}),  # the request is the same
        ("retryable", {"success"}),
        ("success", set()),
    ],
)
def test_an_order_for_other_rows_is_none(story, status, words):
    """A redelivery of rows with another status is no order for this row."""
    assert len(claim(story, status, words)) == 1


def test_a_changed_row_is_sent_again_by_order(story):
    """A redelivery of changed rows is an order for a row with another URL."""
    story.sent[0].url += "&old"
    claim(story, "success", {"changed"})
    story.sent[-1].url += "&new"
    assert not [one for one in findings(story) if "sends it, after" in one.text]


def test_an_order_is_for_its_own_run(story):
    """A run without an order does not send a row that another run may send."""
    claim(story, "success", {"success"})
    story.tries["hand-0-0.1"].planned = replace(QUIET.runs[0], name="night-1")
    assert [one for one in findings(story) if "sends it, after" in one.text]


def test_an_attempt_tells_of_each_request(story):
    """A request without an attempt of its run is a lie of the history."""
    story.attempts = [one for one in story.attempts if one["result_id"] != "r1"]
    assert LIE in kinds(story, good(story))


def test_the_counts_of_a_run_are_its_attempts(story):
    """A run that counts a success too many lies."""
    story.tries["night-0.1"].run.report.senders["workday:one"]["success"] += 1
    assert LIE in kinds(story, good(story))


def test_a_night_that_fails_is_made_short(one, monkeypatch):
    """Of a failing night, unneeded parts are left out."""
    plan = next(plan for plan in map(plan_of, range(1, 99)) if len(plan.rows) > 5)
    monkeypatch.setattr(Checks, "end", lambda self, _story: self._found(LIE, "r1", "planted"))
    story, findings = shortest(plan, one)
    assert (len(story.plan.rows), len(story.plan.runs), story.plan.accidents) == (1, 1, ())
    assert findings
