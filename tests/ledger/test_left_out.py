"""Rows left out by a person: no run sends them until a person takes them back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from support.harness import DAY, all_of, by_result, delivery

from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.day_rows import rows_of_days
from airflow_kombo.ledger.decision_file import DecidedLine
from airflow_kombo.ledger.decisions import DecisionBy
from airflow_kombo.ledger.outcomes import AttemptOutcome, RowOutcome, UnsentRow
from airflow_kombo.ledger.run_scope import Days
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.ledger.unknown_rows import UnknownRows, UnknownRowsFilter
from airflow_kombo.statuses import REDELIVERABLE, Decision, ErrorCode, Status

LEAVE_OUT = DecisionBy(Decision.LEAVE_OUT, "a test candidate", "alice")
TAKE_BACK = DecisionBy(Decision.TAKE_BACK, "a real candidate", "bob")
CREATED = DecisionBy(Decision.CREATED, "seen in Kombo's logs", "alice")
SUCCESS = RowOutcome(Status.SUCCESS, http_status=200)
REFUSED = RowOutcome(Status.FAILED, "ATS.JOB_CLOSED", http_status=422)
LOST = RowOutcome(Status.UNKNOWN, "answer_lost")
INVALID = RowOutcome(Status.INVALID, "missing_field", error_message="candidate_id: is empty")
SENT = [Status.SUCCESS, Status.FAILED, Status.UNKNOWN, Status.RETRYABLE, Status.BLOCKED]


@pytest.fixture
def ledger(warehouse, tables):
    for run_id in ("run", "other"):
        Runs(warehouse, tables).start(Run(run_id))
    return Ledger(warehouse, tables)


@pytest.fixture
def unknown(ledger):
    return UnknownRows(ledger.engine, ledger.tables)


def send(ledger, *result_ids, outcome=REFUSED):
    claims = ledger.claim("run", [delivery(name) for name in result_ids]).won
    ledger.record([AttemptOutcome(claim, outcome) for claim in claims])
    return claims


def decide(unknown, decision, *result_ids):
    return sum(unknown.decide(UnknownRowsFilter(result_ids=result_ids), decision))


def row_of(ledger, result_id="r1"):
    return by_result(ledger.engine, ledger.tables)[result_id]


@pytest.mark.parametrize("status", SENT)
def test_a_row_that_is_left_out_keeps_its_status_and_is_not_sent(ledger, unknown, status):
    """The row has person, time and reason, and no word of `redeliver` sends the row."""
    send(ledger, "r1", outcome=RowOutcome(status, "code"))
    before = row_of(ledger)
    assert decide(unknown, LEAVE_OUT, "r1") == 1
    row = row_of(ledger)
    assert (row.status, row.error_code, row.attempts) == (status, before.error_code, 1)
    assert (row.left_out_by, row.left_out_reason) == ("alice", "a test candidate")
    assert row.left_out_at >= before.updated_at
    changed = delivery("r1", body=b'{"label": "Corrected"}')
    for request in (delivery("r1"), changed, delivery("r1", target_id="another")):
        assert ledger.look_up_claims([request], REDELIVERABLE)[0].left_out == (request,)
        assert ledger.claim("other", [request], REDELIVERABLE).left_out == (request,)
    assert row_of(ledger) == row


@pytest.mark.parametrize("status", SENT)
def test_the_decision_is_taken_back(ledger, unknown, status):
    """Afterwards a run treats the row by the status, as before."""
    send(ledger, "r1", outcome=RowOutcome(status, "code"))
    sent_before = len(ledger.look_up_claims([delivery("r1")])[0].won)
    decide(unknown, LEAVE_OUT, "r1")
    assert decide(unknown, TAKE_BACK, "r1") == 1
    row = row_of(ledger)
    assert (row.status, row.left_out_by, row.left_out_at) == (status, None, None)
    assert row.left_out_reason is None
    assert len(ledger.claim("other", [delivery("r1")]).won) == sent_before


def test_a_row_that_is_being_sent_cannot_be_left_out(ledger, unknown):
    """A `sending` row has perhaps left already, so the decision changes nothing."""
    ledger.claim("run", [delivery("r1")])
    assert decide(unknown, LEAVE_OUT, "r1") == 0
    assert list(unknown.others(UnknownRowsFilter(("r1",)), Decision.LEAVE_OUT)) == [
        {"sending": ["r1"]}
    ]
    assert row_of(ledger).left_out_at is None


def test_the_first_decision_stands(ledger, unknown):
    """A row left out twice keeps the first person and the first reason."""
    send(ledger, "r1", "r2")
    decide(unknown, LEAVE_OUT, "r1")
    again = DecisionBy(Decision.LEAVE_OUT, "another reason", "carol")
    assert decide(unknown, again, "r1", "r2") == 1
    assert row_of(ledger).left_out_by == "alice"
    others = list(unknown.others(UnknownRowsFilter(("r1", "r2")), Decision.TAKE_BACK))
    assert others == [{}]
    assert decide(unknown, TAKE_BACK, "r1") == 1
    assert decide(unknown, TAKE_BACK, "r1") == 0


def test_a_row_left_out_between_plan_and_claim_is_not_sent(ledger, unknown):
    """The claim has the last word, not the plan."""
    send(ledger, "r1", "r2")
    requests = [delivery("r1"), delivery("r2")]
    planned, _ = ledger.look_up_claims(requests, {"failed"})
    assert len(planned.won) == 2
    decide(unknown, LEAVE_OUT, "r1")
    claims = ledger.claim("other", requests, {"failed"})
    assert [claim.key.result_id for claim in claims.won] == ["r2"]
    assert claims.left_out == (requests[0],)


def test_claims_and_leaving_out_at_once_exclude_each_other(ledger, unknown):
    """Each row is either sent or left out, whoever is faster."""
    names = [f"r{number:02}" for number in range(60)]
    send(ledger, *names)
    start = Barrier(2)

    def leave_out():
        start.wait()
        return [decide(unknown, LEAVE_OUT, name) for name in reversed(names)]

    with ThreadPoolExecutor(1) as threads:
        leaving = threads.submit(leave_out)
        start.wait()
        requests = [delivery(name) for name in names]
        won = [
            claim.key.result_id
            for place in range(0, 60, 4)
            for claim in ledger.claim("other", requests[place : place + 4], {"failed"}).won
        ]
        left_out = sum(leaving.result())
    rows = all_of(ledger.engine, ledger.tables.links)
    assert {row.result_id for row in rows if row.left_out_at is None} == set(won)
    assert {row.status for row in rows if row.left_out_at is None} <= {"sending"}
    assert {row.status for row in rows if row.left_out_at is not None} <= {"failed"}
    assert len(won) + left_out == 60


def test_an_unsent_outcome_leaves_a_left_out_row(ledger, unknown):
    """A row left out keeps the status although no request can be made of the row any more."""
    send(ledger, "r1")
    decide(unknown, LEAVE_OUT, "r1")
    unwritten = ledger.record_unsent("other", [UnsentRow(delivery("r1").key, DAY, INVALID)])
    assert unwritten == ([], [delivery("r1").key])
    assert row_of(ledger).status == "failed"


def test_leaving_one_of_two_rows_of_a_result_out_is_enough(ledger, unknown):
    """A result with two rows in the source is not sent by the other row."""
    twice = RowOutcome(Status.INVALID, ErrorCode.DUPLICATE_RESULT_ID.value)
    targets = [delivery("r1"), delivery("r1", target_id="c2")]
    ledger.record_unsent("run", [UnsentRow(one.key, DAY, twice) for one in targets])
    line = DecidedLine(2, targets[1].key, 0, Decision.LEAVE_OUT, "the wrong target")
    assert sum(unknown.decide_lines([line], "alice")) == 1
    assert ledger.claim("other", targets[:1]).left_out == (targets[0],)


def test_a_left_out_row_does_not_keep_its_link_from_another_result(ledger, unknown):
    """One of two results with one link is left out: the other one is sent."""
    url = "https://results.example/same"
    rows = [delivery(name, url=url) for name in "ab"]
    (claim,) = ledger.claim("run", rows).won
    ledger.record([AttemptOutcome(claim, RowOutcome(Status.RETRYABLE))])
    assert [owner for _, owner in ledger.claim("other", rows[1:]).duplicates] == ["a"]
    decide(unknown, LEAVE_OUT, "a")
    assert [claim.key.result_id for claim in ledger.claim("other", rows).won] == ["b"]
    decide(unknown, TAKE_BACK, "a")
    assert [owner for _, owner in ledger.claim("other", rows[:1]).duplicates] == ["b"]


def test_a_delivered_row_keeps_its_link_although_it_is_left_out(ledger, unknown):
    """The link of a delivered or doubtful row is not put on the target again."""
    url = "https://results.example/same"
    rows = [delivery(name, url=url) for name in "ab"]
    (claim,) = ledger.claim("run", rows[:1]).won
    ledger.record([AttemptOutcome(claim, LOST)])
    decide(unknown, LEAVE_OUT, "a")
    assert [owner for _, owner in ledger.claim("other", rows[1:]).duplicates] == ["a"]


def test_a_left_out_row_in_doubt_is_still_settled(ledger, unknown):
    """Decisions and late responses still set the status, and the row stays left out."""
    claims = send(ledger, "r1", "r2", outcome=LOST)
    decide(unknown, LEAVE_OUT, "r1", "r2")
    assert decide(unknown, CREATED, "r1") == 1
    ledger.record([AttemptOutcome(claims[1], SUCCESS)])
    rows = by_result(ledger.engine, ledger.tables)
    assert {row.status for row in rows.values()} == {"success"}
    assert all(row.left_out_by == "alice" for row in rows.values())


def test_a_day_is_counted_without_the_rows_left_out(ledger, unknown):
    """Rows left out make no day red."""
    send(ledger, "r1", "r2")
    send(ledger, "r3", outcome=LOST)
    decide(unknown, LEAVE_OUT, "r1", "r3")
    day = rows_of_days(ledger.engine, ledger.tables, Days(DAY, DAY), Run("run"))
    assert day.own == {"failed": 1}
    assert day.in_doubt == 0


def test_a_file_leaves_rows_out_and_takes_them_back(ledger, unknown):
    """Each line is about one row and one attempt, as the person saw them."""
    send(ledger, "r1", "r2", "r3")
    ledger.claim("other", [delivery("r3")], {"failed"})

    def lines(decision, attempt=1):
        return [
            DecidedLine(number, delivery(name).key, attempt, decision, "a test")
            for number, name in enumerate(["r1", "r2", "r3"], start=2)
        ]

    left = unknown.check(UnknownRowsFilter(), lines(Decision.LEAVE_OUT))
    assert [(one.line.line, one.why) for one in left] == [(4, "sending")]
    assert sum(unknown.decide_lines(lines(Decision.LEAVE_OUT, attempt=7), "alice")) == 0
    assert sum(unknown.decide_lines(lines(Decision.LEAVE_OUT), "alice")) == 2
    left = unknown.check(UnknownRowsFilter(), lines(Decision.LEAVE_OUT))
    assert [one.why for one in left] == ["left out already", "left out already", "sending"]
    left = unknown.check(UnknownRowsFilter(), lines(Decision.TAKE_BACK))
    assert [(one.line.line, one.why) for one in left] == [(4, "not left out")]
    assert sum(unknown.decide_lines(lines(Decision.TAKE_BACK), "bob")) == 2
