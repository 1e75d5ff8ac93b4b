"""Rows held by another open transaction: they are left out, and the run goes on."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import create_engine, insert, select, text
from support.another_server import CREATED, KNOWN, another_server, kombo_error
from support.harness import (
    DAY,
    all_of,
    by_result,
    connect,
    delivery,
    fill,
    make_run,
    row,
    run_day,
    statuses,
)

from airflow_kombo.database.sql import utc_now
from airflow_kombo.database.transactions import prepare
from airflow_kombo.delivery.held_outcomes import MOST_WAITING as MOST_OUTCOMES
from airflow_kombo.delivery.held_outcomes import HeldOutcomes
from airflow_kombo.delivery.held_rows import MOST_WAITING, NOT_CLAIMED, HeldRows
from airflow_kombo.delivery.run_context import Settings
from airflow_kombo.exceptions import LedgerError, RunStoppedError
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.held_rows import LockTolerantLedger
from airflow_kombo.ledger.outcomes import (
    AttemptOutcome,
    Claim,
    RowOutcome,
    UnconfirmedClaimError,
    UnsentRow,
)
from airflow_kombo.ledger.row_locks import find_held
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.statuses import HELD, Status

pytestmark = pytest.mark.parametrize("warehouse", ["postgresql"], indirect=True)

SOON = Settings(first_retry=0.01, held_pause=0.02, held_patience=0.2)
PATIENT = Settings(first_retry=0.01, held_pause=0.02, held_patience=300.0)
RETRYABLE = RowOutcome(Status.RETRYABLE, "run_stopped", error_message="Not sent")


@pytest.fixture
def ours(warehouse):
    """Return the warehouse with connections of a short lock timeout."""
    with warehouse.connect() as connection:
        schema = connection.execute(text("SELECT current_schema()")).scalar_one()
    options = f"-c lock_timeout=100ms -c search_path={schema}"
    engine = prepare(create_engine(warehouse.url, connect_args={"options": options}))
    yield engine
    engine.dispose()


@pytest.fixture
def somebody(warehouse):
    """Return a foreign connection with an open transaction."""
    with warehouse.connect() as connection:
        yield connection


@pytest.fixture
def ledger(ours, tables):
    """Return the ledger of a started run."""
    Runs(ours, tables).start(Run("run"))
    return LockTolerantLedger(Ledger(ours, tables))


def hold(somebody, tables, result_id, table="links"):
    held = getattr(tables, table)
    somebody.execute(select(held).where(held.c.result_id == result_id).with_for_update())


def insert_open(somebody, tables, key, url_hash=None):
    values = {"status": "retryable", "attempts": 0, "run_id": "x", "url_hash": url_hash}
    somebody.execute(insert(tables.links).values(**key.columns, **values, updated_at=utc_now()))


def make_retryable(engine, tables, *keys):
    Runs(engine, tables).start(Run("before"))
    Ledger(engine, tables).record_unsent("before", [UnsentRow(key, DAY, RETRYABLE) for key in keys])


def rows_of(count):
    return [row(f"r{n:03}", integration_id=f"workday:{n % 3}") for n in range(count)]


def key_of(result_id):
    number = int(result_id[1:])
    target = f"candidate-{result_id}"
    return delivery(result_id, integration_id=f"workday:{number % 3}", target_id=target).key


def ended(engine, tables):
    """Return the newest run's number of held rows and its error."""
    run = max(all_of(engine, tables.runs), key=lambda one: one.started_at)
    return run.held, run.error


def until(condition):
    """Wait for a condition."""
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit, "what was waited for did not happen"


@contextmanager
def beside(work):
    """Run some work in a thread beside a block."""
    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(work)
        yield
        working.result()


def hold_existing(somebody, tables, key):
    hold(somebody, tables, key.result_id)


@pytest.mark.parametrize("way", [hold_existing, insert_open])
def test_the_other_rows_are_sent_and_the_held_one_goes_with_the_next_run(
    warehouse, ours, tables, source_table, standin, somebody, caplog, way
):
    """299 of 300 rows are sent; the held one is counted, named, and sent by the next run."""
    key = key_of("r007")
    if way is hold_existing:
        make_retryable(warehouse, tables, key)
    fill(warehouse, source_table, rows_of(300))
    way(somebody, tables, key)
    began = time.monotonic()
    report = run_day(ours, tables, settings=SOON)
    assert time.monotonic() - began < 60
    assert report.counts == {"success": 299, HELD: 1}
    assert report.senders["workday:1"][HELD] == 1
    assert ended(warehouse, tables) == (1, None)
    (line,) = [one for one in caplog.messages if "another transaction holds them" in one]
    assert "workday:1: 1 rows are left" in line
    assert "'r007'" in line
    somebody.rollback()
    assert run_day(ours, tables, settings=SOON).counts["success"] == 1
    assert statuses(warehouse, tables) == {"success": 300}
    assert [link["count"] for link in standin.links()] == [1] * 300


def test_a_row_that_is_free_again_before_the_end_goes_with_the_run(
    warehouse, ours, tables, source_table, standin, somebody
):
    """A held row is tried again during the run and is sent once."""
    make_retryable(warehouse, tables, key_of("r007"))
    fill(warehouse, source_table, rows_of(60))
    hold(somebody, tables, "r007")

    def let_go():
        until(lambda: statuses(warehouse, tables)["success"] == 59)
        somebody.rollback()

    with beside(let_go):
        report = run_day(ours, tables, settings=PATIENT)
    assert report.counts == {"success": 60}
    assert [link["count"] for link in standin.links()] == [1] * 60


class Taker:
    """Server with a side effect: at a request, another transaction locks the row."""

    def __init__(self, somebody, tables, *responses):
        self.posts = Counter()
        self._somebody = somebody
        self._tables = tables
        self._responses = responses or (CREATED,)

    def __call__(self, _number, path):
        result_id = re.search(r"candidate-(r\d+)", path)[1]
        self.posts[result_id] += 1
        if result_id != "r007":
            return CREATED
        if self.posts[result_id] == 1:
            hold(self._somebody, self._tables, result_id)
        return self._responses[min(self.posts[result_id], len(self._responses)) - 1]


@pytest.mark.parametrize(
    ("responses", "attempts"),
    [((CREATED,), 1), ((kombo_error(503, "REMOTE.SERVICE_UNAVAILABLE"), CREATED), 2)],
)
def test_an_outcome_is_written_when_its_row_is_free_again(
    warehouse, ours, tables, source_table, somebody, monkeypatch, responses, attempts
):
    """A row held at its response delays no other row, and its outcome is written later."""
    fill(warehouse, source_table, rows_of(60))
    taker = Taker(somebody, tables, *responses)

    def let_go():
        until(lambda: statuses(warehouse, tables)["success"] == 59)
        somebody.rollback()

    with another_server(KNOWN, taker) as server, beside(let_go):
        connect(monkeypatch, server.url)
        report = run_day(ours, tables, settings=PATIENT)
    assert report.counts == {"success": 60}
    assert by_result(warehouse, tables)["r007"].attempts == attempts
    assert taker.posts["r007"] == attempts


def test_a_sent_row_that_stays_held_is_settled_by_its_attempt(
    warehouse, ours, tables, source_table, somebody, monkeypatch, caplog
):
    """The attempt has the outcome at once; the next run writes the status without a request."""
    fill(warehouse, source_table, rows_of(60))
    taker = Taker(somebody, tables)
    with another_server(KNOWN, taker) as server:
        connect(monkeypatch, server.url)
        report = run_day(ours, tables, settings=SOON)
        assert report.counts == {"success": 59, HELD: 1}
        assert ended(warehouse, tables) == (1, None)
        assert statuses(warehouse, tables) == {"success": 59, "sending": 1}
        attempts = {one.result_id: one.status for one in all_of(warehouse, tables.attempts)}
        assert attempts["r007"] == "success"
        assert "Their attempts have their outcome" in caplog.text
        somebody.rollback()
        later = run_day(ours, tables, settings=SOON)
    assert later.counts == {"success": 1}  # the run before has counted it as held
    assert statuses(warehouse, tables) == {"success": 60}
    assert set(taker.posts.values()) == {1}


def test_an_invalid_row_that_is_held_costs_that_row(
    warehouse, ours, tables, source_table, standin, somebody
):
    """Invalid rows get their reason; a held one keeps its status until the next run."""
    make_retryable(warehouse, tables, key_of("r001"))
    bad = {"result_url": "ftp://results.example"}
    fill(warehouse, source_table, [one | bad for one in rows_of(6)])
    hold(somebody, tables, "r001")
    assert run_day(ours, tables, settings=SOON).counts == {"invalid": 5, HELD: 1}
    somebody.rollback()
    assert run_day(ours, tables, settings=SOON).counts["invalid"] >= 1
    assert statuses(warehouse, tables) == {"invalid": 6}


def claimed(ledger, count=6):
    requests = [delivery(f"r{n}", target_id=f"c{n}") for n in range(count)]
    return ledger.claim("run", requests).won


def test_a_claim_that_is_given_back_while_its_row_is_held(
    warehouse, tables, source_table, somebody, ledger
):
    """Claims go back; a held one gets the outcome in the attempt, and is settled later."""
    claims = claimed(ledger)
    hold(somebody, tables, "r3")
    (held,) = ledger.release(claims, RETRYABLE)
    assert held.request.key.result_id == "r3"
    assert statuses(warehouse, tables) == {"retryable": 5, "sending": 1}
    somebody.rollback()
    runs = Runs(warehouse, tables)
    runs.finish("run", {"planned": 6})
    assert [row.status for row in runs.settle(["run"])] == ["retryable"]
    link = by_result(warehouse, tables)["r3"]
    assert (link.status, link.error_code) == ("retryable", "run_stopped")


@pytest.mark.parametrize("where", ["claimed", "recorded", "released"])
def test_a_run_that_is_stopped_waits_for_no_held_row(
    warehouse, ours, tables, source_table, somebody, monkeypatch, where
):
    """After a SIGTERM the run ends in spite of held rows, and the counts add up."""
    fill(warehouse, source_table, [row(f"r{n:03}") for n in range(12)])
    runs, taker = [], Taker(somebody, tables)
    if where == "claimed":
        make_retryable(warehouse, tables, delivery("r007", target_id="candidate-r007").key)
        hold(somebody, tables, "r007")

    def post(number, path):
        if where == "recorded":
            return taker(number, path)
        if where == "released":
            hold(somebody, tables, "r001")  # claimed ahead of the first one's end
            runs[0].stop("The task was stopped.")
        return CREATED

    async def deliver():
        settings = Settings(held_pause=300.0, held_patience=600.0, max_in_flight=1)
        runs.append(await make_run(ours, tables, settings=settings)())
        await runs[0].deliver()

    def stop():
        if where != "released":
            until(lambda: statuses(warehouse, tables)["success"] == 11)
            of_attempt = {"success"} if where == "recorded" else set()
            until(lambda: status_of_attempt(warehouse, tables, "r007") == of_attempt)
            runs[0].stop("The task was stopped.")

    began = time.monotonic()
    with another_server(KNOWN, post) as server:
        connect(monkeypatch, server.url)
        with beside(stop), pytest.raises(RunStoppedError):
            asyncio.run(deliver())
    assert time.monotonic() - began < 60
    counts = runs[0].report.counts
    assert (counts.total(), counts[HELD]) == (12, 1)


def status_of_attempt(engine, tables, result_id):
    return {one.status for one in all_of(engine, tables.attempts) if one.result_id == result_id}


def test_a_locked_table_is_no_held_row(warehouse, ours, tables, source_table, standin, somebody):
    """A lock on the whole status table ends the run with a ledger error."""
    fill(warehouse, source_table, rows_of(3))
    somebody.execute(text(f"LOCK TABLE {tables.links.name} IN SHARE MODE"))
    with pytest.raises(LedgerError, match="LockNotAvailable"):
        run_day(ours, tables, settings=SOON)
    assert standin.stats()["received"] == 0


def test_an_attempt_that_is_held_too_is_an_error(tables, somebody, ledger):
    """A held attempt makes the recording fail."""
    claims = claimed(ledger, 2)
    hold(somebody, tables, "r1")
    hold(somebody, tables, "r1", "attempts")
    with pytest.raises(LedgerError, match="could not record attempts"):
        ledger.record([AttemptOutcome(claim, RowOutcome(Status.SUCCESS)) for claim in claims])


def insert_the_link(somebody, tables, one):
    """Insert another result with the same link in an open transaction."""
    other = delivery("another", target_id=one.key.target_id).key
    insert_open(somebody, tables, other, one.url_hash)


def test_a_lock_that_cannot_be_seen_costs_that_row(warehouse, tables, somebody, ledger):
    """A row waiting for another result's open INSERT is found by bisection."""
    requests = [delivery(f"r{n}", target_id=f"c{n}") for n in range(10)]
    insert_the_link(somebody, tables, requests[5])
    assert ledger.claim("run", requests).held == (requests[5],)
    assert statuses(warehouse, tables) == {"sending": 9}
    somebody.commit()
    (duplicate,) = ledger.claim("run", [requests[5]], are_held=True).duplicates
    assert duplicate == (requests[5], "another")


def test_a_failure_after_a_part_was_claimed_names_all_claims(warehouse, tables, somebody, ledger):
    """A failure during the search for held rows names all claims made before."""
    with warehouse.begin() as owner:
        owner.execute(
            text(
                f"""
                CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'no'; END $$;
                CREATE TRIGGER refuse BEFORE INSERT ON {tables.links.name}
                FOR EACH ROW WHEN (NEW.result_id = 'r9') EXECUTE FUNCTION refuse()
                """
            )
        )
    requests = [delivery(f"r{n}", target_id=f"c{n}") for n in range(10)]
    insert_the_link(somebody, tables, requests[5])
    with pytest.raises(UnconfirmedClaimError, match="RaiseException") as failed:
        ledger.claim("run", requests)
    assert statuses(warehouse, tables)["sending"] >= 5
    claims = failed.value.claims
    assert {claim.request.key.result_id for claim in claims} >= {f"r{n}" for n in range(5)}
    assert ledger.release(claims, RETRYABLE) == []
    assert statuses(warehouse, tables)["sending"] == 0
    assert all_of(warehouse, tables.attempts) == []


def test_many_held_rows_are_left_at_once(tables):
    """At most 200 held rows wait; further ones are left to the next run."""
    rows = HeldRows("workday:one", pause=0.0, patience=60.0)
    batch = [delivery(f"r{n}") for n in range(MOST_WAITING + 40)]
    assert rows.update(batch, batch, now=0.0) == 40
    assert len(rows) == MOST_WAITING
    due = rows.take_due(now=1.0, most=16)
    assert rows.were_held(due)
    assert rows.update(due, due[:1], now=1.0) == 0
    assert not rows.were_held(due[1:])
    due = rows.take_due(now=61.0, most=MOST_WAITING)
    assert rows.update(due, due, now=61.0) == len(due)
    assert len(rows) == rows.give_up() == 0


def test_few_of_many_held_rows_are_named(tables, caplog):
    """The log names at most 30 held rows and the number of the others."""
    rows = HeldRows("workday:one", pause=0.0, patience=60.0)
    rows.leave(NOT_CLAIMED, [delivery(f"r{n}").key for n in range(1_000)])
    rows.log_left()
    (line,) = caplog.messages
    assert line.startswith("workday:one: 1000 rows are left")
    assert line.endswith("'r28', 'r29', and 970 more")


def test_many_held_outcomes_are_left_at_once(tables):
    """At most 1,000 outcomes wait for held rows; further ones are left to the next run."""

    async def record():
        async def write(held):
            raise AssertionError(held)

        outcomes = HeldOutcomes(write, pause=60.0, patience=60.0, hurried=asyncio.Event())
        one = AttemptOutcome(Claim(delivery(), "run", 1), RowOutcome(Status.SUCCESS))
        return await outcomes.record([one] * (MOST_OUTCOMES + 1))

    assert len(asyncio.run(record())) == MOST_OUTCOMES + 1


def test_held_rows_are_found_without_a_long_wait(ours, tables, somebody, ledger):
    """Locked rows and uncommitted inserts are found, and nothing stays written."""
    claims = claimed(ledger, 3)
    requests = [*(claim.request for claim in claims), *(delivery(f"n{n}") for n in range(3))]
    hold(somebody, tables, "r1")
    insert_open(somebody, tables, delivery("n0").key)
    insert_open(somebody, tables, delivery("n2").key)
    found = find_held(ours, tables, [one.key for one in requests], "run")
    assert found == {"r1", "n0", "n2"}
    assert statuses(ours, tables) == {"sending": 3}
