"""Responses in the history: written with the outcome, and deleted after some days."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import inspect, select, text, update
from support.harness import all_of, delivery

from airflow_kombo.database.sql import in_utc, utc_now
from airflow_kombo.kombo_api.response import KomboResponse
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.held_rows import LockTolerantLedger
from airflow_kombo.ledger.outcomes import AttemptOutcome, outcome_of
from airflow_kombo.ledger.response_retention import ResponseRetention
from airflow_kombo.ledger.runs import Run, Runs

PLAIN = KomboResponse.of(200, {}, b'{"status": "success", "data": {}}')
REFUSED = KomboResponse.of(400, {}, b'{"status": "error", "error": {"code": "ATS.JOB_CLOSED"}}')


@pytest.fixture
def ledger(warehouse, tables):
    """Return the ledger, with a living run."""
    Runs(warehouse, tables).start(Run("run"))
    return Ledger(warehouse, tables)


def outcome(claim, response):
    return AttemptOutcome(claim, outcome_of(response.verdict, response), 7, response)


def record(ledger, **responses):
    """Record a response for each result id."""
    claims = ledger.claim("run", [delivery(name, target_id=name) for name in responses]).won
    LockTolerantLedger(ledger).record(
        [outcome(claim, responses[claim.key.result_id]) for claim in claims]
    )


def stored(ledger):
    return {one.result_id: one.response for one in all_of(ledger.engine, ledger.tables.attempts)}


def age(ledger, days, *result_ids):
    """Move the claims of results into the past, by the database's clock."""
    attempts = ledger.tables.attempts
    with ledger.engine.begin() as connection:
        now = in_utc(connection.execute(select(utc_now())).scalar_one())
        mine = update(attempts).where(attempts.c.result_id.in_(result_ids))
        connection.execute(mine.values(claimed_at=now - timedelta(days=days)))


def test_a_response_is_recorded_with_its_outcome(ledger):
    """Each response but a plain success is in the attempt, also in one group, or a late one."""
    record(ledger, plain=PLAIN, refused=REFUSED)
    (late,) = ledger.claim("run", [delivery("late", target_id="late")]).won
    Runs(ledger.engine, ledger.tables, dead_after=0.0).settle(["run"])
    assert LockTolerantLedger(ledger).record([outcome(late, REFUSED)]) == []
    found = stored(ledger)
    assert found["plain"] is None
    for name in ("refused", "late"):
        assert json.loads(json.loads(found[name])["body"])["error"]["code"] == "ATS.JOB_CLOSED"


def test_old_responses_are_deleted_and_their_attempts_stay(ledger):
    """After the time, responses are deleted, and nothing else of their attempts changes."""
    record(ledger, old=REFUSED, young=REFUSED, plain=PLAIN)
    age(ledger, 31, "old", "plain")
    age(ledger, 29, "young")
    before = {one.result_id: one for one in all_of(ledger.engine, ledger.tables.attempts)}
    assert ResponseRetention(ledger.engine, ledger.tables, 30).apply() == 1
    after = {one.result_id: one for one in all_of(ledger.engine, ledger.tables.attempts)}
    assert after["old"]._mapping == {**before["old"]._mapping, "response": None}
    assert [after[name] for name in ("young", "plain")] == [before[n] for n in ("young", "plain")]
    assert ResponseRetention(ledger.engine, ledger.tables, 30).apply() == 0


def test_a_run_deletes_a_bounded_number(ledger):
    """The next run deletes the responses after the last batch."""
    names = [f"r{number}" for number in range(7)]
    record(ledger, **dict.fromkeys(names, REFUSED))
    age(ledger, 2, *names)
    retention = ResponseRetention(ledger.engine, ledger.tables, 1)
    left = []
    for _ in range(3):
        retention.apply(batch_rows=2, most_batches=2)
        left.append(sum(text is not None for text in stored(ledger).values()))
    assert left == [3, 0, 0]


def test_with_the_setting_0_the_next_run_deletes_every_response(ledger):
    """The responses of before a change to 0 are deleted at once."""
    record(ledger, r1=REFUSED)
    age(ledger, 0, "r1")
    assert ResponseRetention(ledger.engine, ledger.tables, 0).apply() == 1


@pytest.mark.parametrize("warehouse", ["postgresql", "mariadb"], indirect=True)
def test_a_held_attempt_is_left_to_the_next_run(ledger):
    """An attempt held by another transaction is not waited for."""
    record(ledger, held=REFUSED, free=REFUSED)
    age(ledger, 31, "held", "free")
    attempts = ledger.tables.attempts
    retention = ResponseRetention(ledger.engine, ledger.tables, 30)
    with ledger.engine.begin() as connection:
        mine = select(attempts.c.result_id).where(attempts.c.result_id == "held")
        connection.execute(mine.with_for_update())
        assert retention.apply() == 1
    assert retention.apply() == 1


def test_old_responses_are_found_by_their_index(ledger):
    """The search for old responses reads no attempt without one."""
    indexes = inspect(ledger.engine).get_indexes("kombo_result_link_attempts")
    names = {index["name"] for index in indexes}
    kind = "responses" if ledger.engine.dialect.name == "mysql" else "response"
    assert f"kombo_result_link_attempts_{kind}" in names
    if ledger.engine.dialect.name != "sqlite":
        return
    with ledger.engine.connect() as connection:
        query = (
            "EXPLAIN QUERY PLAN SELECT result_id FROM kombo_result_link_attempts"
            " WHERE response IS NOT NULL AND claimed_at < '2026-01-01' LIMIT 9"
        )
        assert "kombo_result_link_attempts_response" in str(connection.execute(text(query)).all())
