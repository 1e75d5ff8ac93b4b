from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import Column, MetaData, String, Table, create_engine, text
from support.harness import all_of, by_result, delivery

from airflow_kombo.database.transactions import prepare
from airflow_kombo.delivery_key import TargetType
from airflow_kombo.exceptions import ConfigurationError, LedgerError
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.outcomes import AttemptOutcome, RowOutcome, UnsentRow
from airflow_kombo.ledger.redaction import redactor
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.ledger.tables import Tables
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
    """A claimed row is `sending`, with its request in the history, when the claim returns."""
    claim_one(ledger)
    link = by_result(ledger.engine, ledger.tables)["r1"]
    (attempt,) = all_of(ledger.engine, ledger.tables.attempts)
    assert (link.status, link.attempts, link.run_id) == ("sending", 1, "run")
    assert link.first_sent_at is not None
    assert (attempt.request, attempt.status, attempt.attempt) == ('{"label": "Coding"}', None, 1)


def test_a_claim_belongs_to_one_run(ledger):
    """What one run has claimed, no other run can claim, and neither can it itself."""
    assert claim_one(ledger)
    assert claim_one(ledger, "other") is None
    assert claim_one(ledger) is None


def test_an_outcome_is_kept_with_all_that_kombo_said(ledger):
    """The status table and the history hold the answer: code, title, message, warnings, time."""
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
    """A later run sends what may work now and what was mended, and a changed one if it is told."""
    recorded(ledger, outcome)

    def sends(row, redeliver=()):
        return bool(ledger.look_up_claims([row], redeliver)[0].won)

    mended = delivery(body=b'{"label": "Mended"}')
    assert sends(delivery()) is again
    assert sends(mended) is when_changed
    assert sends(delivery(), {"changed"}) is again
    assert sends(mended, {"changed"}) is on_purpose


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.UNKNOWN, Status.FAILED])
def test_redeliver_sends_on_purpose(ledger, status):
    """A status that `redeliver` names is sent again, as a further attempt."""
    recorded(ledger, RowOutcome(status))
    assert claim_one(ledger, "other", redeliver=[status]).attempt == 2


def test_a_row_that_became_valid_is_sent(ledger):
    """An `invalid` row that has become a request is claimed."""
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
    """The same id as a candidate's and as an application's are two targets of the same link."""
    url = "https://results.example/same"
    kinds = [delivery(f"of {kind}", target_type=kind, url=url) for kind in TargetType]
    assert len(ledger.claim("run", kinds).won) == 2


def test_what_was_not_sent_goes_back(ledger):
    """A released row is `retryable`, and its attempt never was."""
    claim = claim_one(ledger)
    ledger.release([claim], RowOutcome(Status.RETRYABLE, "run_stopped"))
    link = by_result(ledger.engine, ledger.tables)["r1"]
    assert (link.status, link.attempts, link.first_sent_at) == ("retryable", 0, None)
    assert all_of(ledger.engine, ledger.tables.attempts) == []
    assert claim_one(ledger, "other").attempt == 1


def test_a_late_answer_tells_of_a_link_that_a_newer_attempt_did_not_make(ledger):
    """An answer settles its own attempt, and a row whose link exists is not sent again."""
    late = claim_one(ledger)
    ledger.record([AttemptOutcome(late, RowOutcome(Status.UNKNOWN, "run_died"))])
    newer = claim_one(ledger, "other", redeliver=[Status.UNKNOWN])
    ledger.record([AttemptOutcome(newer, REFUSED)])
    assert by_result(ledger.engine, ledger.tables)["r1"].status == "unknown"
    ledger.record([AttemptOutcome(late, SUCCESS)])
    assert by_result(ledger.engine, ledger.tables)["r1"].status == "success"
    attempts = sorted(all_of(ledger.engine, ledger.tables.attempts), key=lambda row: row.attempt)
    assert [row.status for row in attempts] == ["success", "failed"]


def test_a_late_answer_ends_the_doubt_about_its_row(ledger):
    """An answer that comes after its row was given up as `unknown` tells what happened."""
    late = claim_one(ledger)
    ledger.record([AttemptOutcome(late, RowOutcome(Status.UNKNOWN, "run_died"))])
    ledger.record([AttemptOutcome(late, SUCCESS)])
    assert by_result(ledger.engine, ledger.tables)["r1"].status == "success"


@pytest.mark.parametrize(
    ("before", "noted", "after"),
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
def test_what_needs_no_request_is_noted(ledger, before, noted, after):
    """A fate without a request never overwrites what an answer, or the doubt about one, said."""
    if before:
        recorded(ledger, before)
    left = ledger.record_unsent("other", [UnsentRow(delivery().key, None, noted)])
    assert by_result(ledger.engine, ledger.tables)["r1"].status == after
    assert bool(left) is (after != noted.status.value)


def test_an_invalid_row_is_noted_once(ledger):
    """A row that is `invalid` for the same reason as before is left as it is."""
    rows = [UnsentRow(delivery().key, None, INVALID)]
    assert ledger.record_unsent("run", rows) == []
    assert ledger.record_unsent("other", rows) == [delivery().key]
    assert by_result(ledger.engine, ledger.tables)["r1"].run_id == "run"


def test_two_runs_at_once_claim_each_row_once(ledger):
    """Of runs that claim the same rows at the same moment, one gets each row."""
    rows = [delivery(f"r{number}") for number in range(32)]
    start = Barrier(2)

    def claim(run_id):
        start.wait()
        return [one.key for one in ledger.claim(run_id, rows).won]

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(claim, ["run", "other"])
    assert sorted(first + second) == sorted(row.key for row in rows)


def test_two_runs_at_once_send_a_shared_link_once(ledger):
    """Of runs that claim the same link under two result ids, one gets it."""
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
    """A run that ended, or was declared dead, gets an error instead of rows."""
    Runs(ledger.engine, ledger.tables).finish("run", {})
    with pytest.raises(LedgerError, match="must not send"):
        claim_one(ledger)
    assert all_of(ledger.engine, ledger.tables.links) == []


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"masked": ["label"]}, '{"label": "***"}'),
        ({"masked": ["url"]}, '{"label": "Coding"}'),
        ({"store": False}, None),
    ],
)
def test_what_the_history_keeps_is_a_setting(ledger, options, kept):
    """A deployment may mask members of the request in the history, or leave it out."""
    ledger.redact = redactor(**options)
    claim_one(ledger)
    (attempt,) = all_of(ledger.engine, ledger.tables.attempts)
    assert attempt.request == kept


def test_the_tables_are_made_by_many_at_once(warehouse):
    """Any number of tasks may make the tables at the same moment."""
    tables = Tables.named()
    start = Barrier(6)

    def make(_):
        start.wait()
        tables.create(warehouse)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(make, range(6)))
    assert all_of(warehouse, tables.links) == []


def test_a_foreign_table_of_that_name_is_refused(warehouse):
    """A table that lacks our columns is refused with their names, and left as it is."""
    foreign = Table("kombo_result_links", MetaData(), Column("result_id", String(9)))
    foreign.create(warehouse)
    with pytest.raises(ConfigurationError, match="attempts, error_code"):
        Tables.named().create(warehouse)


def test_other_names_for_the_tables(warehouse):
    """The two other tables are named after the status table."""
    tables = Tables.named("links")
    tables.create(warehouse)
    assert [tables.attempts.name, tables.runs.name] == ["link_attempts", "link_runs"]


def test_an_error_of_the_database_quotes_no_row(warehouse, tables):
    """What a failing statement was about is not in the error, nor in what led to it."""
    with warehouse.begin() as connection:
        connection.execute(text("ALTER TABLE kombo_result_links RENAME COLUMN status TO state"))
    Runs(warehouse, tables).start(Run("run"))
    with pytest.raises(LedgerError) as caught:
        Ledger(warehouse, tables).claim("run", [delivery(target_id="canary")])
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert "canary" not in str(caught.value.__context__)


def test_a_database_that_is_not_there_is_a_ledger_error(tmp_path):
    """A warehouse that cannot be opened is an error of the ledger, with the driver's reason."""
    engine = prepare(create_engine(f"sqlite:///{tmp_path / 'no' / 'such.db'}"))
    with pytest.raises(LedgerError, match="unable to open"):
        Tables.named().create(engine)


def test_ids_of_the_largest_size_fit(ledger):
    """Four ids of 255 bytes each make a key that the database takes."""
    long = "é" * 127
    row = delivery(long, integration_id=long, target_id=long)
    assert ledger.claim("run", [row]).won


def test_a_write_that_may_repeat_has_no_duplicates(ledger, warehouse, tables):
    """Without a member that a target has only once, two rows may say the same on one target."""
    same = {"target_id": "c1", "url": None, "body": b"{}"}
    deliveries = [delivery("r1", **same), delivery("r2", **same)]
    claims = ledger.claim("run", deliveries)
    assert ([one.key.result_id for one in claims.won], claims.duplicates) == (
        ["r1", "r2"],
        (),
    )
    assert [link.url_hash for link in all_of(warehouse, tables.links)] == [None, None]
    ledger.record([AttemptOutcome(claim, RowOutcome(Status.SUCCESS)) for claim in claims.won])
    assert len(ledger.claim("run", [delivery("r3", **same)]).won) == 1
