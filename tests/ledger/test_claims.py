"""Claims and outcomes: one run sends each row, and records a durable outcome."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from support.harness import all_of, by_result, delivery

from airflow_kombo.delivery_key import KeyColumns, TargetType
from airflow_kombo.exceptions import LedgerError
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.ledger_rows import LedgerRow, OutcomeColumns
from airflow_kombo.ledger.outcomes import (
    OUTCOME,
    AttemptOutcome,
    Claims,
    RowOutcome,
    Skipped,
    UnsentRow,
)
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.ledger.tables import KEY
from airflow_kombo.statuses import Status

SUCCESS = RowOutcome(Status.SUCCESS, http_status=200, warnings=("too long",))
RETRYABLE = RowOutcome(Status.RETRYABLE, "REMOTE.SERVICE_UNAVAILABLE", http_status=503)
REFUSED = RowOutcome(
    Status.FAILED, "ATS.JOB_CLOSED", "Closed", "The job is closed", http_status=422
)
BLOCKED = RowOutcome(Status.BLOCKED, "INTEGRATION.INACTIVE")
INVALID = RowOutcome(Status.INVALID, "missing_field", error_message="candidate_id: is empty")


@pytest.fixture
def ledger(warehouse, tables):
    for run_id in ("run", "other"):
        Runs(warehouse, tables).start(Run(run_id))
    return Ledger(warehouse, tables)


def claim_one(ledger, run_id="run", redeliver=(), **changes):
    claims = ledger.claim(run_id, [delivery(**changes)], redeliver)
    return claims.won[0] if claims.won else None


def recorded(ledger, outcome, **changes):
    claim = claim_one(ledger, **changes)
    ledger.record([AttemptOutcome(claim, outcome, 12)])
    return claim


def test_a_claim_is_durable_before_anything_is_sent(ledger):
    """A claimed row is `sending` when the claim returns, and the history has the request."""
    claim_one(ledger)
    link = by_result(ledger.engine, ledger.tables)["r1"]
    (attempt,) = all_of(ledger.engine, ledger.tables.attempts)
    assert (link.status, link.attempts, link.run_id) == ("sending", 1, "run")
    assert link.first_sent_at is not None
    assert (attempt.request, attempt.status, attempt.attempt) == ('{"label": "Coding"}', None, 1)


def test_a_claim_belongs_to_one_run(ledger):
    """A claimed row cannot be claimed again, neither by another run nor by the same one."""
    assert claim_one(ledger)
    assert claim_one(ledger, "other") is None
    assert claim_one(ledger) is None


def test_an_outcome_is_recorded_with_all_of_its_columns(ledger):
    """The status table and the history have code, title, message, warnings and time."""
    recorded(ledger, SUCCESS)
    recorded(ledger, REFUSED, result_id="r2")
    links = by_result(ledger.engine, ledger.tables)
    attempts = {row.result_id: row for row in all_of(ledger.engine, ledger.tables.attempts)}
    for rows in (links, attempts):
        assert (rows["r1"].status, rows["r1"].warnings) == ("success", ["too long"])
        assert (rows["r2"].error_title, rows["r2"].error_message) == ("Closed", "The job is closed")
        assert (rows["r2"].http_status, rows["r2"].error_code) == (422, "ATS.JOB_CLOSED")
    assert attempts["r1"].milliseconds == 12
    assert attempts["r1"].answered_at is not None


@pytest.mark.parametrize(
    ("outcome", "again", "when_changed", "on_purpose"),
    [
        (SUCCESS, False, False, True),
        (RowOutcome(Status.UNKNOWN), False, False, False),
        (REFUSED, False, True, True),
        (RETRYABLE, True, True, True),
        (BLOCKED, True, True, True),
    ],
    ids=lambda value: value.status.value if isinstance(value, RowOutcome) else "",
)
def test_what_the_next_run_sends(ledger, outcome, again, when_changed, on_purpose):
    """A later run sends retryable and corrected rows, and changed ones with `redeliver`."""
    recorded(ledger, outcome)

    def sends(row, redeliver=()):
        return bool(ledger.look_up_claims([row], redeliver)[0].won)

    corrected = delivery(body=b'{"label": "Corrected"}')
    assert sends(delivery()) is again
    assert sends(corrected) is when_changed
    assert sends(delivery(), {"changed"}) is again
    assert sends(corrected, {"changed"}) is on_purpose


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.UNKNOWN, Status.FAILED])
def test_redeliver_sends_on_purpose(ledger, status):
    """A status named by `redeliver` is sent again, as a further attempt."""
    recorded(ledger, RowOutcome(status))
    assert claim_one(ledger, "other", redeliver=[status]).attempt == 2


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.UNKNOWN, Status.FAILED])
def test_redeliver_sends_only_what_is_as_a_person_saw(ledger, status):
    """One of two runs sends a row that two people saw, whatever came of the call."""
    recorded(ledger, RowOutcome(status))
    seen = Ledger(ledger.engine, ledger.tables, seen={"r1": f"{status} 1"})
    everything = ["success", "unknown", "failed"]
    other = Ledger(ledger.engine, ledger.tables, seen={"another": f"{status} 1"})
    assert claim_one(other, "other", redeliver=everything) is None
    claim = claim_one(seen, "other", redeliver=everything)
    assert claim.attempt == 2
    ledger.record([AttemptOutcome(claim, RowOutcome(status))])
    assert claim_one(seen, "other", redeliver=everything) is None
    assert seen.look_up_claims([delivery()], everything)[0].won == ()


def test_a_run_tries_a_row_again_although_its_own_attempt_changed_the_row(ledger):
    """After a 503 the run that a person started for a row in doubt sends the row once more."""
    recorded(ledger, RowOutcome(Status.UNKNOWN))
    seen = Ledger(ledger.engine, ledger.tables, seen={"r1": "unknown 1"})
    first = claim_one(seen, "other", redeliver=["unknown"])
    ledger.record([AttemptOutcome(first, RETRYABLE)])
    assert by_result(ledger.engine, ledger.tables)["r1"].status == "unknown"
    assert claim_one(seen, "run", redeliver=["unknown"]) is None
    assert claim_one(seen, "other", redeliver=["unknown"]).attempt == 3


def test_seen_versions_hold_for_redeliver_alone(ledger):
    """A row that a run sends by itself is sent, whatever a person saw."""
    recorded(ledger, RETRYABLE)
    seen = Ledger(ledger.engine, ledger.tables, seen={"r1": "failed 7"})
    assert claim_one(seen, "other", redeliver=["failed"]).attempt == 2


def test_a_row_that_became_valid_is_sent(ledger):
    """A corrected `invalid` row is claimed."""
    ledger.record_unsent("run", [UnsentRow(delivery().key, None, INVALID)])
    assert claim_one(ledger)


def test_the_same_link_is_sent_once(ledger):
    """A second result id with the same target and URL is a duplicate, and names the first."""
    url = "https://results.example/same"
    claims = ledger.claim("run", [delivery("a", url=url), delivery("b", url=url)])
    assert [claim.key.result_id for claim in claims.won] == ["a"]
    assert [(copy.key.result_id, owner) for copy, owner in claims.duplicates] == [("b", "a")]
    later = ledger.claim("other", [delivery("c", url=url)])
    assert [owner for _, owner in later.duplicates] == ["a"]


def test_a_candidate_and_an_application_may_share_their_id(ledger):
    """A candidate and an application with the same id are two targets."""
    url = "https://results.example/same"
    kinds = [delivery(f"of {kind}", target_type=kind, url=url) for kind in TargetType]
    assert len(ledger.claim("run", kinds).won) == 2


def test_what_was_not_sent_goes_back(ledger):
    """A released row is `retryable`, and the history has no attempt."""
    claim = claim_one(ledger)
    ledger.release([claim], RowOutcome(Status.RETRYABLE, "run_stopped"))
    link = by_result(ledger.engine, ledger.tables)["r1"]
    assert (link.status, link.attempts, link.first_sent_at) == ("retryable", 0, None)
    assert all_of(ledger.engine, ledger.tables.attempts) == []
    assert claim_one(ledger, "other").attempt == 1


def test_a_late_response_settles_its_own_attempt(ledger):
    """A late response settles one attempt, and a row with a link is not sent again."""
    late = claim_one(ledger)
    ledger.record([AttemptOutcome(late, RowOutcome(Status.UNKNOWN, "run_died"))])
    newer = claim_one(ledger, "other", redeliver=[Status.UNKNOWN])
    ledger.record([AttemptOutcome(newer, REFUSED)])
    assert by_result(ledger.engine, ledger.tables)["r1"].status == "unknown"
    ledger.record([AttemptOutcome(late, SUCCESS)])
    assert by_result(ledger.engine, ledger.tables)["r1"].status == "success"
    attempts = sorted(all_of(ledger.engine, ledger.tables.attempts), key=lambda row: row.attempt)
    assert [row.status for row in attempts] == ["success", "failed"]


def test_a_late_response_settles_its_unknown_row(ledger):
    """A late response settles a row after the row was settled as `unknown`."""
    late = claim_one(ledger)
    ledger.record([AttemptOutcome(late, RowOutcome(Status.UNKNOWN, "run_died"))])
    ledger.record([AttemptOutcome(late, SUCCESS)])
    assert by_result(ledger.engine, ledger.tables)["r1"].status == "success"


@pytest.mark.parametrize(
    ("before", "unsent", "after"),
    [
        (None, INVALID, "invalid"),
        (SUCCESS, INVALID, "success"),
        (SUCCESS, BLOCKED, "success"),
        (RowOutcome(Status.UNKNOWN), BLOCKED, "unknown"),
        (REFUSED, BLOCKED, "failed"),
        (REFUSED, INVALID, "invalid"),
        (RETRYABLE, BLOCKED, "blocked"),
        (BLOCKED, RETRYABLE, "retryable"),
    ],
)
def test_an_outcome_without_a_request(ledger, before, unsent, after):
    """An outcome without a request never overwrites `success`, `unknown` or a refusal."""
    if before:
        recorded(ledger, before)
    left = ledger.record_unsent("other", [UnsentRow(delivery().key, None, unsent)]).left
    assert by_result(ledger.engine, ledger.tables)["r1"].status == after
    assert bool(left) is (after != unsent.status.value)


def test_an_invalid_row_is_recorded_once(ledger):
    """An `invalid` row with the same reason as before is not changed."""
    rows = [UnsentRow(delivery().key, None, INVALID)]
    assert ledger.record_unsent("run", rows).left == []
    assert ledger.record_unsent("other", rows).left == [delivery().key]
    assert by_result(ledger.engine, ledger.tables)["r1"].run_id == "run"


def test_a_claim_answers_in_the_order_of_its_requests(ledger):
    """Each request has one result at its own place, also for a row that comes twice."""
    url = "https://results.example/same"
    recorded(ledger, SUCCESS, result_id="done")
    requests = [
        delivery("z"),
        delivery("done"),
        delivery("b", url=url),
        delivery("z"),
        delivery("a", url=url),
        delivery("z", target_id="c2"),
    ]
    results = ledger.claim("run", requests).results
    assert all(one.request is request for one, request in zip(results, requests, strict=True))
    kinds = [type(one).__name__ for one in results]
    assert kinds == ["Claim", "Skipped", "Duplicate", "Skipped", "Claim", "MovedRow"]


def test_a_part_of_a_claim_is_found_by_place():
    """A sender's part of a shared claim has the results of its own requests only."""
    claims = Claims([Skipped(delivery(f"r{number}")) for number in range(5)])
    assert [one.key.result_id for one in claims.part(1, 3).skipped] == ["r1", "r2", "r3"]


def test_a_row_of_the_ledger_has_the_columns_of_its_type(ledger):
    """The types of ledger rows name the columns of an outcome and of the key, and no others."""
    assert set(OUTCOME) == {"status", *OutcomeColumns.__annotations__}
    assert list(KeyColumns.__annotations__) == list(KEY)
    recorded(ledger, REFUSED)
    known = ledger.look_up_claims([delivery()])[1].by_key[delivery().key]
    names = {*KEY, *OUTCOME, *LedgerRow.__annotations__}
    assert set(known._fields) == names


def test_two_runs_at_once_claim_each_row_once(ledger):
    """Two runs claim the same rows at once, and one of them gets each row."""
    rows = [delivery(f"r{number}") for number in range(32)]
    start = Barrier(2)

    def claim(run_id):
        start.wait()
        return [one.key for one in ledger.claim(run_id, rows).won]

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(claim, ["run", "other"])
    assert sorted(first + second) == sorted(row.key for row in rows)


def test_two_runs_at_once_send_a_shared_link_once(ledger):
    """Two runs claim the same link under two result ids, and one of them succeeds."""
    start = Barrier(2)

    def claim(run_id):
        start.wait()
        url = "https://results.example/same"
        rows = [delivery(f"{run_id}{number}", url=f"{url}{number}") for number in range(32)]
        return ledger.claim(run_id, rows)

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(claim, ["run", "other"])
    assert len(first.won) + len(second.won) == 32
    assert len(first.duplicates) + len(second.duplicates) == 32


def test_a_run_that_is_not_alive_claims_nothing(ledger):
    """An ended run, or one declared dead, gets an error instead of rows."""
    Runs(ledger.engine, ledger.tables).finish("run", {})
    with pytest.raises(LedgerError, match="must not send"):
        claim_one(ledger)
    assert all_of(ledger.engine, ledger.tables.links) == []


def test_ids_of_the_largest_size_fit(ledger):
    """Ids of 254 bytes each make a valid key."""
    long = "é" * 127
    row = delivery(long, integration_id=long, target_id=long)
    assert ledger.claim("run", [row]).won


def test_a_write_that_may_repeat_has_no_duplicates(ledger, warehouse, tables):
    """A repeatable write has no duplicates: two rows may be equal on one target."""
    same = {"target_id": "c1", "url": None, "body": b"{}"}
    requests = [delivery("r1", **same), delivery("r2", **same)]
    claims = ledger.claim("run", requests)
    assert ([one.key.result_id for one in claims.won], claims.duplicates) == (
        ["r1", "r2"],
        (),
    )
    assert [link.url_hash for link in all_of(warehouse, tables.links)] == [None, None]
    ledger.record([AttemptOutcome(claim, RowOutcome(Status.SUCCESS)) for claim in claims.won])
    assert len(ledger.claim("run", [delivery("r3", **same)]).won) == 1
