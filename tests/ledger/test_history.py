"""Outcomes by history: a row with a possible link is not sent again by itself."""

from __future__ import annotations

import itertools

import pytest
from support.harness import all_of, but_for_its_time, by_result, delivery

from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.decisions import DecisionBy
from airflow_kombo.ledger.outcomes import AttemptOutcome, RowOutcome, UnsentRow
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.ledger.unknown_rows import UnknownRows, UnknownRowsFilter
from airflow_kombo.statuses import SENT_AGAIN, Decision, Status

SUCCESS = RowOutcome(Status.SUCCESS, http_status=200, warnings=("The label was cut",))
LOST = RowOutcome(Status.UNKNOWN, "answer_lost", error_message="the request left")
REFUSED = RowOutcome(Status.FAILED, "ATS.JOB_CLOSED", http_status=422)
LIMITED = RowOutcome(Status.RETRYABLE, "PLATFORM.RATE_LIMIT_EXCEEDED", http_status=429)
BLOCKED = RowOutcome(Status.BLOCKED, "INTEGRATION.INACTIVE", http_status=403)
INVALID = RowOutcome(Status.INVALID, "missing_field", error_message="url: is empty")
STOPPED = RowOutcome(Status.RETRYABLE, "run_stopped", error_message="Not sent, the run ended")
ALL = [status.value for status in Status if status is not Status.SENDING] + ["changed"]


@pytest.fixture
def ledger(warehouse, tables):
    runs = Runs(warehouse, tables)
    for number in range(5):
        runs.start(Run(f"run{number}", "dag", f"dagrun{number}", "deliver", -1, 1))
    return Ledger(warehouse, tables)


def claim(ledger, number=0, redeliver=(), **changes):
    """Claim the row in a dag run of its own."""
    claims = ledger.claim(f"run{number}", [delivery(**changes)], redeliver)
    return claims.won[0] if claims.won else None


def send(ledger, outcome, number=0, redeliver=(), **changes):
    claimed = claim(ledger, number, redeliver, **changes)
    ledger.record([AttemptOutcome(claimed, outcome)])
    return claimed


def link(ledger):
    (only,) = all_of(ledger.engine, ledger.tables.links)
    return only


@pytest.mark.parametrize("later", [REFUSED, LIMITED, BLOCKED], ids=lambda one: one.status.value)
@pytest.mark.parametrize("first", [SUCCESS, LOST], ids=lambda one: one.status.value)
def test_a_later_attempt_does_not_have_a_row_sent_again(ledger, first, later):
    """A further attempt without a link does not change a row with a possible link."""
    send(ledger, first)
    send(ledger, later, 1, ALL)
    row = link(ledger)
    assert (row.status, row.attempts) == (first.status.value, 2)
    assert str(later.error_code) in f"{row.warnings} {row.error_message}"
    assert claim(ledger, 2) is None
    assert claim(ledger, 2, body=b'{"label": "Corrected"}') is None


def test_a_row_without_a_link_is_what_its_last_attempt_says(ledger):
    """The newest of several attempts without a link decides the status."""
    for number, outcome in enumerate([LIMITED, BLOCKED, LIMITED, REFUSED]):
        send(ledger, outcome, number, ALL)
    assert (link(ledger).status, link(ledger).error_code) == ("failed", "ATS.JOB_CLOSED")


@pytest.mark.parametrize("later", [REFUSED, LIMITED, BLOCKED], ids=lambda one: one.status.value)
@pytest.mark.parametrize(
    ("decision", "after"), [(Decision.CREATED, "success"), (Decision.NOT_CREATED, None)]
)
def test_a_decision_counts_as_history(ledger, decision, after, later):
    """A decided attempt is in doubt no longer."""
    send(ledger, LOST)
    decide(ledger, decision)
    send(ledger, later, 1, ALL)
    assert link(ledger).status == after or (after is None and link(ledger).status == later.status)


def decide(ledger, decision):
    rows = UnknownRows(ledger.engine, ledger.tables)
    by_alice = DecisionBy(decision, "looked it up", "alice")
    return sum(rows.decide(UnknownRowsFilter(result_ids=("r1",)), by_alice))


def test_a_decision_about_a_row_that_has_a_link_does_not_send_it_again(ledger):
    """The decision `not created` about a redelivery leaves the row `success`."""
    send(ledger, SUCCESS)
    send(ledger, LOST, 1, ["success"])
    assert link(ledger).status == "unknown"
    assert decide(ledger, Decision.NOT_CREATED) == 1
    assert link(ledger).status == "success"
    assert claim(ledger, 2) is None


def test_a_decision_is_about_all_attempts_in_doubt(ledger):
    """One decision covers all attempts in doubt, and the row is then sent again."""
    send(ledger, LOST)
    send(ledger, LOST, 1, ["unknown"])
    assert decide(ledger, Decision.NOT_CREATED) == 1
    attempts = all_of(ledger.engine, ledger.tables.attempts)
    assert [one.resolution for one in attempts] == ["not created"] * 2
    assert claim(ledger, 2).attempt == 3


STATES = {
    "success": SUCCESS,
    "unknown": LOST,
    "failed": REFUSED,
    "retryable": LIMITED,
    "blocked": BLOCKED,
}


@pytest.mark.parametrize("before", STATES)
def test_a_released_claim_gets_its_status_back(ledger, before):
    """A released row is as before, except for the time."""
    send(ledger, STATES[before])
    was = link(ledger)
    again = claim(ledger, 1, ALL, body=b'{"label": "Corrected"}', url="https://results.example/new")
    assert link(ledger).status == "sending"
    ledger.release([again], STOPPED)
    now = link(ledger)
    assert but_for_its_time(now) == but_for_its_time(was)
    assert len(all_of(ledger.engine, ledger.tables.attempts)) == 1


def test_a_released_invalid_row_is_invalid_again(ledger):
    """A released row that was `invalid` before has the same reason again."""
    ledger.record_unsent("run0", [UnsentRow(delivery().key, None, INVALID)])
    ledger.release([claim(ledger, 1)], STOPPED)
    assert (link(ledger).status, link(ledger).error_code) == ("invalid", "missing_field")


def test_a_late_response_counts_when_the_row_is_released(ledger):
    """A late response during a second claim decides the status after the release."""
    for outcome, status in [(SUCCESS, "success"), (REFUSED, "failed")]:
        late = send(ledger, LOST, 0, ALL, result_id=status)
        again = claim(ledger, 1, ["unknown"], result_id=status)
        ledger.record([AttemptOutcome(late, outcome)])
        ledger.release([again], STOPPED)
        assert by_result(ledger.engine, ledger.tables)[status].status == status


@pytest.mark.parametrize("later", [REFUSED, LIMITED, BLOCKED], ids=lambda one: one.status.value)
def test_the_doubt_of_an_attempt_goes_with_the_attempt(ledger, later):
    """A claim given back late takes the doubt from a row sent since."""
    seemed_dead = send(ledger, LOST)
    send(ledger, later, 1, ["unknown"])
    assert link(ledger).status == "unknown"
    ledger.release([seemed_dead], STOPPED)
    assert (link(ledger).status, link(ledger).error_code) == (later.status, later.error_code)


def test_a_released_claim_leaves_the_doubt_of_another_attempt(ledger):
    """A claim given back late leaves a row unknown while a later attempt is in doubt."""
    seemed_dead = send(ledger, LOST)
    send(ledger, LOST, 1, ["unknown"])
    ledger.release([seemed_dead], STOPPED)
    assert link(ledger).status == "unknown"


def test_a_row_whose_claims_are_both_given_back_is_sent_again(ledger):
    """A row in doubt by a claim is `retryable` when all its claims are given back."""
    seemed_dead = send(ledger, LOST)
    again = claim(ledger, 1, ["unknown"])
    ledger.release([seemed_dead], STOPPED)
    ledger.release([again], STOPPED)
    assert (link(ledger).status, link(ledger).error_code) == ("retryable", "run_stopped")
    assert claim(ledger, 2) is not None


@pytest.mark.parametrize("second", STATES)
def test_a_late_success_counts_while_a_second_attempt_is_sent(ledger, second):
    """A late `success` keeps the row from being sent again after any second response."""
    late = send(ledger, LOST)
    newer = claim(ledger, 1, ["unknown"])
    ledger.record([AttemptOutcome(late, SUCCESS)])
    assert link(ledger).status == "sending"
    ledger.record([AttemptOutcome(newer, STATES[second])])
    assert link(ledger).status == ("unknown" if second == "unknown" else "success")
    assert claim(ledger, 2, body=b'{"label": "Corrected"}') is None


@pytest.mark.parametrize("meanwhile", ["failed", "retryable", "blocked", "invalid"])
def test_a_late_success_counts_for_every_status_of_the_row(ledger, meanwhile):
    """A late `success` makes a refused or invalid row `success`."""
    late = send(ledger, LOST)
    decide(ledger, Decision.NOT_CREATED)
    if meanwhile == "invalid":
        ledger.record_unsent("run1", [UnsentRow(delivery().key, None, REFUSED)])
        send(ledger, REFUSED, 1)
        ledger.record_unsent("run2", [UnsentRow(delivery().key, None, INVALID)])
    else:
        send(ledger, STATES[meanwhile], 1)
    assert link(ledger).status == meanwhile
    ledger.record([AttemptOutcome(late, SUCCESS)])
    assert (link(ledger).status, link(ledger).warnings) == ("success", ["The label was cut"])


def test_a_late_refusal_settles_the_row(ledger):
    """After a late refusal the newest attempt decides the status."""
    late = send(ledger, LOST)
    send(ledger, LIMITED, 1, ["unknown"])
    assert link(ledger).status == "unknown"
    ledger.record([AttemptOutcome(late, REFUSED)])
    assert link(ledger).status == "retryable"


@pytest.mark.parametrize("outcome", [SUCCESS, LOST, REFUSED], ids=lambda one: one.status.value)
def test_redeliver_is_once_per_row_and_dag_run(ledger, warehouse, tables, outcome):
    """A second try of a dag run skips the rows redelivered by an earlier try."""
    send(ledger, outcome)
    send(ledger, outcome, 1, ALL)
    Runs(warehouse, tables).start(Run("try2", "dag", "dagrun1", "deliver", -1, 2))
    assert ledger.claim("run1", [delivery()], ALL).won == ()
    assert ledger.claim("try2", [delivery()], ALL).won == ()
    assert claim(ledger, 2, ALL).attempt == 3


def test_a_redelivery_that_met_a_limit_goes_again_in_its_dag_run(ledger, warehouse, tables):
    """A redelivery without a link is tried again in the same run and in a second try."""
    send(ledger, SUCCESS)
    send(ledger, LIMITED, 1, ["success"])
    assert link(ledger).status == "success"
    send(ledger, LIMITED, 1, ["success"])
    Runs(warehouse, tables).start(Run("try2", "dag", "dagrun1", "deliver", -1, 2))
    assert ledger.claim("try2", [delivery()], ["success"]).won[0].attempt == 4


@pytest.mark.parametrize("owner", [REFUSED, SUCCESS, LOST, LIMITED, BLOCKED])
def test_a_refused_row_does_not_own_its_link(ledger, owner):
    """A second result may take the link of a refused row, and of no other."""
    url = "https://results.example/same"
    send(ledger, owner, url=url)
    claims = ledger.claim("run1", [delivery("r2", url=url)])
    assert bool(claims.won) is (owner is REFUSED)
    assert [first for _, first in claims.duplicates] == ([] if owner is REFUSED else ["r1"])
    if owner is REFUSED:
        corrected = delivery("r1", url=url, body=b'{"label": "Corrected"}')
        assert ledger.claim("run2", [corrected]).duplicates == ((corrected, "r2"),)


def test_any_history_keeps_a_row_from_being_sent_that_may_exist(ledger):
    """In every order of three attempts, a row with a possible link is not sent again."""
    orders = itertools.product(STATES.values(), repeat=3)
    for place, outcomes in enumerate(orders):
        name = f"r{place}"
        for number, outcome in enumerate(outcomes):
            send(ledger, outcome, number, ALL, result_id=name)
        row = by_result(ledger.engine, ledger.tables)[name]
        may_exist = {"success", "unknown"} & {one.status.value for one in outcomes}
        again = {status.value for status in SENT_AGAIN} | {"failed"}
        assert (row.status in again) is not bool(may_exist), [one.status for one in outcomes]
