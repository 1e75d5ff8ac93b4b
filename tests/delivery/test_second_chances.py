"""Rows with an earlier try, sent again automatically or by `redeliver`."""

from __future__ import annotations

import pytest
from sqlalchemy import update
from support.harness import all_of, by_result, fill, row, run_day, statuses

REFUSED = {"kind": "answer", "status": 400, "code": "ATS.JOB_CLOSED"}


def change(engine, table, result_id, **values):
    with engine.begin() as connection:
        connection.execute(update(table).where(table.c.result_id == result_id).values(**values))


@pytest.fixture
def refused(warehouse, tables, source_table, standin):
    """Fill a day of nine rows of three integrations, and refuse six of them."""
    rows = [row(f"r{n}", integration_id=f"ats:{n % 3}") for n in range(9)]
    fill(warehouse, source_table, rows)
    for number in range(6):
        standin.add_rule(REFUSED, url=f"https://results.example/r{number}")
    run_day(warehouse, tables)
    standin.clear_rules()
    assert statuses(warehouse, tables) == {"failed": 6, "success": 3}


def successes(warehouse, tables):
    return {name for name, one in by_result(warehouse, tables).items() if one.status == "success"}


DELIVERED = {"r6", "r7", "r8"}


def test_refused_rows_are_sent_again_when_somebody_asks(warehouse, tables, refused, standin):
    """`redeliver` of failed rows sends all of them once more."""
    assert run_day(warehouse, tables).counts == {"skipped": 6}
    counts = run_day(warehouse, tables, redeliver=frozenset({"failed"})).counts
    assert counts == {"success": 6}
    assert standin.stats()["received"] == 9 + 6


def test_only_some_refused_rows_may_be_asked_for(warehouse, tables, refused, standin):
    """`redeliver` together with integrations, results or a limit sends only those."""
    again = {"redeliver": frozenset({"failed"})}
    run_day(warehouse, tables, integration_ids=frozenset({"ats:1"}), **again)
    assert successes(warehouse, tables) == DELIVERED | {"r1", "r4"}
    run_day(warehouse, tables, result_ids=frozenset({"r2", "r8"}), **again)
    assert successes(warehouse, tables) == DELIVERED | {"r1", "r4", "r2"}
    run_day(warehouse, tables, limit=2, **again)
    assert successes(warehouse, tables) == DELIVERED | {"r1", "r4", "r2", "r0", "r3"}
    run_day(warehouse, tables, limit=2, **again)
    assert standin.stats()["received"] == 9 + 6


def test_a_limit_is_not_used_up_by_rows_that_are_not_sent(
    warehouse, tables, source_table, refused, standin
):
    """Refused and invalid rows do not use up a limit."""
    fill(warehouse, source_table, [row(f"x{n}", integration_id="ats:2") for n in range(3)])
    fill(warehouse, source_table, [row("bad", integration_id="ats:2", result_url="ftp://x")])
    report = run_day(warehouse, tables, limit=2)
    assert report.counts == {"success": 2, "skipped": 6, "invalid": 1}
    assert report.planned == 9
    assert successes(warehouse, tables) == DELIVERED | {"x0", "x1"}
    assert run_day(warehouse, tables, limit=2).counts["success"] == 1
    assert run_day(warehouse, tables, limit=2).counts["success"] == 0


def test_a_mended_row_goes_by_itself(warehouse, tables, source_table, refused, standin):
    """A corrected row is sent by the next run."""
    fill(warehouse, source_table, [row("bad", result_url="ftp://results.example")])
    assert run_day(warehouse, tables).counts == {"skipped": 6, "invalid": 1}
    change(warehouse, source_table, "r1", assessment_name="Coding, mended")
    change(warehouse, source_table, "bad", result_url="https://results.example/good")
    assert run_day(warehouse, tables).counts == {"skipped": 5, "success": 2}
    assert successes(warehouse, tables) == DELIVERED | {"r1", "bad"}


@pytest.fixture
def delivered(warehouse, tables, source_table, standin):
    """Deliver a day of ten rows, then change two of them."""
    fill(warehouse, source_table, [row(f"r{number}") for number in range(10)])
    run_day(warehouse, tables)
    change(warehouse, source_table, "r8", assessment_name="Coding, again")
    change(warehouse, source_table, "r9", score=1.0)


def test_a_changed_row_is_sent_only_on_purpose(warehouse, tables, delivered, standin):
    """A changed row is sent only by `redeliver` of `changed`, and once."""
    assert run_day(warehouse, tables).planned == 0
    assert run_day(warehouse, tables, redeliver=frozenset({"failed"})).planned == 0
    changed = {"redeliver": frozenset({"changed"})}
    assert run_day(warehouse, tables, **changed).counts == {"success": 2, "skipped": 8}
    assert standin.stats()["received"] == 12
    attempts = [one.result_id for one in all_of(warehouse, tables.attempts) if one.attempt == 2]
    assert sorted(attempts) == ["r8", "r9"]
    assert run_day(warehouse, tables, **changed).counts == {"skipped": 10}


def test_changed_rows_are_found_within_a_limit(warehouse, tables, delivered, standin):
    """Changed rows behind many unchanged ones are found within a limit."""
    changed = {"redeliver": frozenset({"changed"}), "limit": 1}
    for sent in (1, 1, 0):
        assert run_day(warehouse, tables, **changed).counts["success"] == sent
    only = {**changed, "result_ids": frozenset({"r1", "r2"})}
    assert run_day(warehouse, tables, **only).counts == {"skipped": 2}


def test_a_changed_row_that_is_refused_says_so(warehouse, tables, delivered, standin):
    """A refused redelivery keeps the status `success`, with a warning."""
    standin.add_rule(REFUSED)
    report = run_day(warehouse, tables, redeliver=frozenset({"changed"}))
    assert report.counts == {"failed": 2, "skipped": 8}
    assert statuses(warehouse, tables) == {"success": 10}
    (warning,) = by_result(warehouse, tables)["r9"].warnings
    assert warning == "Attempt 2 made no link (ATS.JOB_CLOSED). The link of attempt 1 exists."
    history = [one.status for one in all_of(warehouse, tables.attempts) if one.result_id == "r9"]
    assert history == ["success", "failed"]


def test_a_day_that_is_done_is_not_rendered_again(warehouse, tables, delivered, standin):
    """A run reads no delivered row."""
    report = run_day(warehouse, tables)
    assert (report.planned, report.counts) == (0, {})
