"""Decisions about unknown rows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import delete
from support.harness import DAY, all_of, by_result, delivery, statuses

from airflow_kombo.exceptions import LedgerError
from airflow_kombo.ledger import unknown_rows
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.decisions import DecisionBy
from airflow_kombo.ledger.outcomes import AttemptOutcome, RowOutcome, UnsentRow
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.ledger.unknown_rows import UnknownRows, UnknownRowsFilter
from airflow_kombo.statuses import Decision, Status

CREATED = DecisionBy(Decision.CREATED, "seen in Kombo's logs", "alice")
NOT_CREATED = DecisionBy(Decision.NOT_CREATED, "not in Kombo's logs", "bob")
LOST = RowOutcome(Status.UNKNOWN, "answer_lost", log_url="https://log", http_status=504)
SUCCESS = RowOutcome(Status.SUCCESS, http_status=200, warnings=("too long",))
REFUSED = RowOutcome(Status.FAILED, "ATS.JOB_CLOSED", http_status=422)
RETRYABLE = RowOutcome(Status.RETRYABLE, "REMOTE.SERVICE_UNAVAILABLE", http_status=503)


@pytest.fixture
def ledger(warehouse, tables):
    for run_id in ("run", "other"):
        Runs(warehouse, tables).start(Run(run_id))
    return Ledger(warehouse, tables)


@pytest.fixture
def resolver(ledger):
    return UnknownRows(ledger.engine, ledger.tables)


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(unknown_rows, "BATCH_ROWS", 3)


def doubtful(ledger, *result_ids, outcome=LOST, run_id="run", redeliver=(), **changes):
    """Send rows with a lost response, and return the claims by result."""
    rows = [delivery(result_id, **changes) for result_id in result_ids or ["r1"]]
    claims = ledger.claim(run_id, rows, redeliver).won
    ledger.record([AttemptOutcome(claim, outcome) for claim in claims])
    return {claim.key.result_id: claim for claim in claims}


def decide(resolver, decision, **choice):
    return sum(resolver.decide(UnknownRowsFilter(**choice), decision))


def attempts(ledger):
    return sorted(all_of(ledger.engine, ledger.tables.attempts), key=lambda row: row.attempt)


@pytest.mark.parametrize(("decision", "after"), [(CREATED, "success"), (NOT_CREATED, "retryable")])
def test_a_decision_moves_the_row_on_and_is_kept(ledger, resolver, decision, after):
    """The attempt keeps person, time and reason of the decision, and stays `unknown`."""
    doubtful(ledger)
    assert decide(resolver, decision, result_ids=("r1",)) == 1
    (attempt,) = attempts(ledger)
    assert by_result(ledger.engine, ledger.tables)["r1"].status == after
    assert (attempt.status, attempt.error_code) == ("unknown", "answer_lost")
    assert attempt.resolution == decision.decision
    assert (attempt.resolved_by, attempt.resolution_reason) == (decision.by, decision.reason)
    assert attempt.resolved_at >= attempt.answered_at


def test_a_decided_row_names_the_decision(ledger, resolver):
    """A decided row names the decision, and keeps the URL of Kombo's log."""
    doubtful(ledger, "r1", "r2")
    decide(resolver, CREATED, result_ids=("r1",))
    decide(resolver, NOT_CREATED, result_ids=("r2",))
    links = by_result(ledger.engine, ledger.tables)
    assert (links["r1"].error_code, links["r1"].log_url) == (None, "https://log")
    assert "A person decided" in links["r1"].warnings[0]
    assert links["r2"].error_code == "decided_not_created"
    assert "A person decided" in links["r2"].error_message


def test_what_the_next_run_sends_of_decided_rows(ledger, resolver):
    """A row decided as `created` is not sent again, one decided as `not created` is."""
    doubtful(ledger, "r1", "r2")
    decide(resolver, CREATED, result_ids=("r1",))
    decide(resolver, NOT_CREATED, result_ids=("r2",))
    again = [delivery("r1"), delivery("r2", body=b"{}")]
    (claim,) = ledger.claim("other", again).won
    assert (claim.key.result_id, claim.attempt) == ("r2", 2)
    ledger.record([AttemptOutcome(claim, SUCCESS)])
    assert ledger.claim("other", again).won == ()
    assert [attempt.resolution for attempt in attempts(ledger)][-1] is None


@pytest.mark.parametrize("outcome", [SUCCESS, REFUSED, RETRYABLE, RowOutcome(Status.BLOCKED)])
def test_only_unknown_rows_are_decided(ledger, resolver, outcome):
    """A row with another status is not changed, and returned with that status."""
    doubtful(ledger, outcome=outcome)
    ledger.claim("run", [delivery("r2")])
    chosen = UnknownRowsFilter(result_ids=("r1", "r2", "no such"))
    assert sum(resolver.decide(chosen, CREATED)) == 0
    assert list(resolver.others(chosen)) == [
        {outcome.status.value: ["r1"], "sending": ["r2"], "not found": ["no such"]}
    ]
    assert statuses(ledger.engine, ledger.tables) == {outcome.status.value: 1, "sending": 1}
    assert {attempt.resolution for attempt in attempts(ledger)} == {None}


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        ({"result_ids": ("a", "d", "d")}, "ad"),
        ({"integration_ids": ("workday:two",)}, "b"),
        ({"error_code": "run_died"}, "c"),
        ({"run_id": "other"}, "d"),
        ({"assessment_date": DAY}, "abcd"),
        ({"assessment_date": DAY.replace(day=9)}, ""),
        ({"result_ids": ("a", "b"), "integration_ids": ("workday:two",)}, "b"),
    ],
)
def test_conditions_have_to_hold_together(ledger, resolver, choice, chosen):
    """A filter by ids, integration, day, error code and run needs all of them to match."""
    doubtful(ledger, "a")
    doubtful(ledger, "b", integration_id="workday:two")
    doubtful(ledger, "c", outcome=RowOutcome(Status.UNKNOWN, "run_died"))
    doubtful(ledger, "d", run_id="other")
    choice = UnknownRowsFilter(**choice)
    assert sorted(name for page in resolver.in_doubt(choice) for name in page) == sorted(chosen)
    assert sum(resolver.count(choice).values()) == len(chosen)
    assert sum(resolver.decide(choice, CREATED)) == len(chosen)
    assert statuses(ledger.engine, ledger.tables)["success"] == len(chosen)
    assert not choice.is_everything


def test_no_condition_is_everything():
    """A filter with nothing but a time has no condition."""
    assert UnknownRowsFilter().is_everything


def test_rows_that_came_into_doubt_later_are_not_decided(ledger, resolver):
    """A row that became `unknown` after the question is not decided."""
    doubtful(ledger, "r1")
    asked_at = resolver.now()
    late = by_result(ledger.engine, ledger.tables)["r1"].updated_at
    assert late.replace(tzinfo=asked_at.tzinfo) <= asked_at
    doubtful(ledger, "r2")
    assert decide(resolver, CREATED, run_id="run", until=asked_at) == 1
    assert by_result(ledger.engine, ledger.tables)["r2"].status == "unknown"


def test_many_rows_are_decided_in_batches(ledger, resolver, small_batches):
    """A returned batch is durable, and the rest can be decided later."""
    doubtful(ledger, *(f"r{number}" for number in range(10)), integration_id="b")
    doubtful(ledger, *(f"s{number}" for number in range(4)), integration_id="a")
    batches = resolver.decide(UnknownRowsFilter(run_id="run"), CREATED)
    assert [next(batches), next(batches)] == [3, 3]
    batches.close()  # as a process that is killed
    assert statuses(ledger.engine, ledger.tables) == {"success": 6, "unknown": 8}
    assert list(resolver.decide(UnknownRowsFilter(run_id="run"), CREATED)) == [3, 3, 2]
    assert [attempt.resolution for attempt in attempts(ledger)] == ["created"] * 14


def test_many_ids_are_asked_for_in_batches(ledger, resolver, small_batches):
    """A filter may name any number of result ids, and ids without a row are returned."""
    doubtful(ledger, *(f"r{number}" for number in range(7)))
    named = UnknownRowsFilter(result_ids=tuple(f"r{number}" for number in range(10)))
    lost = [others.get("not found") for others in resolver.others(named)]
    assert lost == [None, None, ["r7", "r8"], ["r9"]]
    assert sum(resolver.decide(named, CREATED)) == 7


def test_two_people_at_once_decide_each_row_once(ledger, resolver):
    """Two decisions at once about the same rows decide each row once."""
    doubtful(ledger, *(f"r{number}" for number in range(60)))
    start = Barrier(2)

    def decide_all(decision):
        start.wait()
        return sum(
            UnknownRows(ledger.engine, ledger.tables).decide(
                UnknownRowsFilter(run_id="run"), decision
            )
        )

    with ThreadPoolExecutor(2) as threads:
        decided = list(threads.map(decide_all, [CREATED, NOT_CREATED]))
    assert sum(decided) == 60
    links = by_result(ledger.engine, ledger.tables)
    for attempt in attempts(ledger):
        status = {"created": "success", "not created": "retryable"}[attempt.resolution]
        assert links[attempt.result_id].status == status


def test_responses_and_decisions_at_once_agree(ledger, resolver):
    """A row ends with the outcome of the response, before or after a decision."""
    claims = doubtful(ledger, *(f"r{number:02}" for number in range(60)))
    start = Barrier(2)

    def respond():
        start.wait()
        for claim in claims.values():
            Ledger(ledger.engine, ledger.tables).record([AttemptOutcome(claim, SUCCESS)])

    with ThreadPoolExecutor(1) as threads:
        responding = threads.submit(respond)
        start.wait()
        decide(resolver, NOT_CREATED, run_id="run")
        responding.result()
    assert statuses(ledger.engine, ledger.tables) == {"success": 60}


def test_a_late_response_overrules_not_created(ledger, resolver):
    """A late `success` overrules `not created` and every later status of the row."""
    claims = doubtful(ledger, "r1", "r2", "r3")
    decide(resolver, NOT_CREATED, run_id="run")
    ledger.record_unsent("other", [UnsentRow(delivery("r2").key, DAY, RowOutcome(Status.BLOCKED))])
    wrong = RowOutcome(Status.INVALID, "missing_field")
    ledger.record_unsent("other", [UnsentRow(delivery("r3").key, DAY, wrong)])
    ledger.record([AttemptOutcome(claim, SUCCESS) for claim in claims.values()])
    assert statuses(ledger.engine, ledger.tables) == {"success": 3}
    assert ledger.claim("other", [delivery(name) for name in claims]).won == ()
    assert {row.status for row in attempts(ledger)} == {"success"}
    assert {row.resolution for row in attempts(ledger)} == {"not created"}


def test_a_late_response_overrules_created(ledger, resolver):
    """A late refusal overrules `created`, so no row is lost by a mistake."""
    claim = doubtful(ledger)["r1"]
    decide(resolver, CREATED, run_id="run")
    ledger.record([AttemptOutcome(claim, RETRYABLE)])
    link = by_result(ledger.engine, ledger.tables)["r1"]
    assert (link.status, link.error_code) == ("retryable", "REMOTE.SERVICE_UNAVAILABLE")
    assert link.warnings is None
    assert attempts(ledger)[0].resolution == "created"


def test_a_late_response_confirms_created(ledger, resolver):
    """A late `success` replaces the warning about the decision."""
    claim = doubtful(ledger)["r1"]
    decide(resolver, CREATED, run_id="run")
    ledger.record([AttemptOutcome(claim, SUCCESS)])
    link = by_result(ledger.engine, ledger.tables)["r1"]
    assert (link.status, link.warnings, link.http_status) == ("success", ["too long"], 200)


def test_created_stands_while_another_attempt_is_in_doubt(ledger, resolver):
    """A response to one attempt does not overrule a decision about another."""
    doubtful(ledger)
    second = doubtful(ledger, run_id="other", redeliver=["unknown"])["r1"]
    decide(resolver, CREATED, result_ids=("r1",))
    ledger.record([AttemptOutcome(second, RETRYABLE)])
    assert by_result(ledger.engine, ledger.tables)["r1"].status == "success"
    assert [row.status for row in attempts(ledger)] == ["unknown", "retryable"]


@pytest.mark.parametrize(("decision", "after"), [(CREATED, "success"), (NOT_CREATED, "retryable")])
def test_a_late_unknown_does_not_undo_a_decision(ledger, resolver, decision, after):
    """A late `unknown` does not change a decided row."""
    claim = doubtful(ledger)["r1"]
    decide(resolver, decision, run_id="run")
    ledger.record([AttemptOutcome(claim, LOST)])
    assert by_result(ledger.engine, ledger.tables)["r1"].status == after


def test_a_late_response_leaves_a_row_alone_that_is_being_sent(ledger, resolver):
    """A late response to an older attempt does not change a `sending` row."""
    first = doubtful(ledger)["r1"]
    decide(resolver, NOT_CREATED, run_id="run")
    assert ledger.claim("other", [delivery()]).won
    ledger.record([AttemptOutcome(first, SUCCESS)])
    assert by_result(ledger.engine, ledger.tables)["r1"].status == "sending"
    assert [row.status for row in attempts(ledger)] == ["success", None]


def test_a_late_response_keeps_a_newer_attempt_from_being_repeated(ledger, resolver):
    """A late `success` keeps a row from a third attempt."""
    first = doubtful(ledger)["r1"]
    decide(resolver, NOT_CREATED, run_id="run")
    doubtful(ledger, run_id="other", outcome=RETRYABLE)
    ledger.record([AttemptOutcome(first, SUCCESS)])
    assert by_result(ledger.engine, ledger.tables)["r1"].status == "success"


def test_a_decision_without_an_attempt_is_not_made(ledger, resolver):
    """A row with a deleted attempt stays `unknown`, because nothing could keep the decision."""
    doubtful(ledger)
    with ledger.engine.begin() as connection:
        connection.execute(delete(ledger.tables.attempts))
    with pytest.raises(LedgerError, match="1 rows have lost their attempt"):
        decide(resolver, CREATED, run_id="run")
    assert by_result(ledger.engine, ledger.tables)["r1"].status == "unknown"
