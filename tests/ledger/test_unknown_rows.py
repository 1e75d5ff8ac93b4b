from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import delete
from support.harness import DAY, all_of, by_result, delivery, statuses

from airflow_kombo.exceptions import LedgerError
from airflow_kombo.ledger import unknown_rows as resolution
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.outcomes import AttemptOutcome, RowOutcome, UnsentRow
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.ledger.unknown_rows import DecisionBy, UnknownRows, UnknownRowsFilter
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
    monkeypatch.setattr(resolution, "BATCH_ROWS", 3)


def doubtful(ledger, *result_ids, outcome=LOST, run_id="run", redeliver=(), **changes):
    """Send rows whose answer is lost, and give the claims, by result."""
    rows = [delivery(result_id, **changes) for result_id in result_ids or ["r1"]]
    claims = ledger.claim(run_id, rows, redeliver).won
    ledger.record([AttemptOutcome(claim, outcome) for claim in claims])
    return {claim.key.result_id: claim for claim in claims}


def decide(resolver, judgement, **choice):
    return sum(resolver.decide(UnknownRowsFilter(**choice), judgement))


def attempts(ledger):
    return sorted(all_of(ledger.engine, ledger.tables.attempts), key=lambda row: row.attempt)


@pytest.mark.parametrize(("judgement", "after"), [(CREATED, "success"), (NOT_CREATED, "retryable")])
def test_a_decision_moves_the_row_on_and_is_kept(ledger, resolver, judgement, after):
    """Who decided, when and why stands beside the attempt, which itself stays `unknown`."""
    doubtful(ledger)
    assert decide(resolver, judgement, result_ids=("r1",)) == 1
    (attempt,) = attempts(ledger)
    assert by_result(ledger.engine, ledger.tables)["r1"].status == after
    assert (attempt.status, attempt.error_code) == ("unknown", "answer_lost")
    assert attempt.resolution == judgement.decision
    assert (attempt.resolved_by, attempt.resolution_reason) == (judgement.by, judgement.reason)
    assert attempt.resolved_at >= attempt.answered_at


def test_a_decided_row_says_that_a_person_decided(ledger, resolver):
    """The status table does not pass a decision off as Kombo's answer, and keeps Kombo's log."""
    doubtful(ledger, "r1", "r2")
    decide(resolver, CREATED, result_ids=("r1",))
    decide(resolver, NOT_CREATED, result_ids=("r2",))
    links = by_result(ledger.engine, ledger.tables)
    assert (links["r1"].error_code, links["r1"].log_url) == (None, "https://log")
    assert "A person decided" in links["r1"].warnings[0]
    assert links["r2"].error_code == "decided_not_created"
    assert "A person decided" in links["r2"].error_message


def test_what_the_next_run_sends_of_decided_rows(ledger, resolver):
    """After `created` a row is never sent again; after `not created` it is sent once more."""
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
    """A row that is anything but `unknown` is left as it is, and told with its status."""
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
    """Rows are chosen by ids, integration, day, error code and run, and by all that is given."""
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
    """A choice without a condition says so, whatever its time."""
    assert UnknownRowsFilter().is_everything


def test_rows_that_came_into_doubt_later_are_not_decided(ledger, resolver):
    """What became `unknown` after a person was asked is not part of the answer."""
    doubtful(ledger, "r1")
    asked_at = resolver.now()
    late = by_result(ledger.engine, ledger.tables)["r1"].updated_at
    assert late.replace(tzinfo=asked_at.tzinfo) <= asked_at
    doubtful(ledger, "r2")
    assert decide(resolver, CREATED, run_id="run", until=asked_at) == 1
    assert by_result(ledger.engine, ledger.tables)["r2"].status == "unknown"


def test_many_rows_are_decided_in_batches(ledger, resolver, small_batches):
    """A batch is durable when its number is given, and what is left can be decided later."""
    doubtful(ledger, *(f"r{number}" for number in range(10)), integration_id="b")
    doubtful(ledger, *(f"s{number}" for number in range(4)), integration_id="a")
    batches = resolver.decide(UnknownRowsFilter(run_id="run"), CREATED)
    assert [next(batches), next(batches)] == [3, 3]
    batches.close()  # as a process that is killed
    assert statuses(ledger.engine, ledger.tables) == {"success": 6, "unknown": 8}
    assert list(resolver.decide(UnknownRowsFilter(run_id="run"), CREATED)) == [3, 3, 2]
    assert [attempt.resolution for attempt in attempts(ledger)] == ["created"] * 14


def test_many_ids_are_asked_for_in_batches(ledger, resolver, small_batches):
    """Any number of result ids may be named; each row is decided and each other one is told."""
    doubtful(ledger, *(f"r{number}" for number in range(7)))
    named = UnknownRowsFilter(result_ids=tuple(f"r{number}" for number in range(10)))
    lost = [others.get("not found") for others in resolver.others(named)]
    assert lost == [None, None, ["r7", "r8"], ["r9"]]
    assert sum(resolver.decide(named, CREATED)) == 7


def test_two_people_at_once_decide_each_row_once(ledger, resolver):
    """Of two decisions about the same rows at the same moment, one gets each row."""
    doubtful(ledger, *(f"r{number}" for number in range(60)))
    start = Barrier(2)

    def judge(judgement):
        start.wait()
        return sum(
            UnknownRows(ledger.engine, ledger.tables).decide(
                UnknownRowsFilter(run_id="run"), judgement
            )
        )

    with ThreadPoolExecutor(2) as threads:
        decided = list(threads.map(judge, [CREATED, NOT_CREATED]))
    assert sum(decided) == 60
    links = by_result(ledger.engine, ledger.tables)
    for attempt in attempts(ledger):
        fate = {"created": "success", "not created": "retryable"}[attempt.resolution]
        assert links[attempt.result_id].status == fate


def test_answers_and_decisions_at_once_agree(ledger, resolver):
    """Whichever comes first, a row ends with what its answer said."""
    claims = doubtful(ledger, *(f"r{number:02}" for number in range(60)))
    start = Barrier(2)

    def answer():
        start.wait()
        for claim in claims.values():
            Ledger(ledger.engine, ledger.tables).record([AttemptOutcome(claim, SUCCESS)])

    with ThreadPoolExecutor(1) as threads:
        answering = threads.submit(answer)
        start.wait()
        decide(resolver, NOT_CREATED, run_id="run")
        answering.result()
    assert statuses(ledger.engine, ledger.tables) == {"success": 60}


def test_a_late_answer_overrules_not_created(ledger, resolver):
    """A link that turns out to exist is not sent again, whatever was noted about its row since."""
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


def test_a_late_answer_overrules_created(ledger, resolver):
    """Proof that nothing was created beats a person's word: no row is lost by a mistake."""
    claim = doubtful(ledger)["r1"]
    decide(resolver, CREATED, run_id="run")
    ledger.record([AttemptOutcome(claim, RETRYABLE)])
    link = by_result(ledger.engine, ledger.tables)["r1"]
    assert (link.status, link.error_code) == ("retryable", "REMOTE.SERVICE_UNAVAILABLE")
    assert link.warnings is None
    assert attempts(ledger)[0].resolution == "created"


def test_a_late_answer_confirms_created(ledger, resolver):
    """When Kombo's word comes after all, the row has it instead of the person's."""
    claim = doubtful(ledger)["r1"]
    decide(resolver, CREATED, run_id="run")
    ledger.record([AttemptOutcome(claim, SUCCESS)])
    link = by_result(ledger.engine, ledger.tables)["r1"]
    assert (link.status, link.warnings, link.http_status) == ("success", ["too long"], 200)


def test_created_stands_where_another_attempt_may_be_the_one(ledger, resolver):
    """An answer about one attempt proves nothing about a row with another one in doubt."""
    doubtful(ledger)
    second = doubtful(ledger, run_id="other", redeliver=["unknown"])["r1"]
    decide(resolver, CREATED, result_ids=("r1",))
    ledger.record([AttemptOutcome(second, RETRYABLE)])
    assert by_result(ledger.engine, ledger.tables)["r1"].status == "success"
    assert [row.status for row in attempts(ledger)] == ["unknown", "retryable"]


@pytest.mark.parametrize(("judgement", "after"), [(CREATED, "success"), (NOT_CREATED, "retryable")])
def test_a_late_doubt_does_not_undo_a_decision(ledger, resolver, judgement, after):
    """A run that wakes up and has heard nothing either tells nothing new."""
    claim = doubtful(ledger)["r1"]
    decide(resolver, judgement, run_id="run")
    ledger.record([AttemptOutcome(claim, LOST)])
    assert by_result(ledger.engine, ledger.tables)["r1"].status == after


def test_a_late_answer_leaves_what_is_on_the_wire_alone(ledger, resolver):
    """Once the row was sent again, an older answer settles its own attempt only."""
    first = doubtful(ledger)["r1"]
    decide(resolver, NOT_CREATED, run_id="run")
    assert ledger.claim("other", [delivery()]).won
    ledger.record([AttemptOutcome(first, SUCCESS)])
    assert by_result(ledger.engine, ledger.tables)["r1"].status == "sending"
    assert [row.status for row in attempts(ledger)] == ["success", None]


def test_a_late_answer_keeps_a_newer_attempt_from_being_repeated(ledger, resolver):
    """A row whose link turns out to exist is not tried a third time."""
    first = doubtful(ledger)["r1"]
    decide(resolver, NOT_CREATED, run_id="run")
    doubtful(ledger, run_id="other", outcome=RETRYABLE)
    ledger.record([AttemptOutcome(first, SUCCESS)])
    assert by_result(ledger.engine, ledger.tables)["r1"].status == "success"


def test_a_decision_that_cannot_be_kept_is_not_made(ledger, resolver):
    """A row whose attempt was deleted stays `unknown`: who decided could not be told."""
    doubtful(ledger)
    with ledger.engine.begin() as connection:
        connection.execute(delete(ledger.tables.attempts))
    with pytest.raises(LedgerError, match="1 rows have lost their attempt"):
        decide(resolver, CREATED, run_id="run")
    assert by_result(ledger.engine, ledger.tables)["r1"].status == "unknown"
