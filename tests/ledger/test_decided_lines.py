"""Unknown rows as an export, and decisions of a file about exactly those rows."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone

import pytest
from sqlalchemy import delete, update
from support.harness import DAY, all_of, by_result, delivery, statuses

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.ledger import decision_check, unknown_export, unknown_rows
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.decision_file import DecidedLine
from airflow_kombo.ledger.outcomes import AttemptOutcome, RowOutcome
from airflow_kombo.ledger.redaction import Redactor
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.ledger.unknown_rows import UnknownRows, UnknownRowsFilter
from airflow_kombo.statuses import Decision, Status

LOST = RowOutcome(Status.UNKNOWN, "answer_lost")
SENT_AT = datetime(2026, 11, 4, 2, 0, 1, 123000, tzinfo=timezone.utc)
EVERYTHING = UnknownRowsFilter()


@pytest.fixture
def ledger(warehouse, tables):
    for run_id in ("run", "other"):
        Runs(warehouse, tables).start(Run(run_id))
    return Ledger(warehouse, tables)


@pytest.fixture
def unknown(ledger):
    return UnknownRows(ledger.engine, ledger.tables)


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(unknown_export, "BATCH_ROWS", 2)
    monkeypatch.setattr(unknown_rows, "BATCH_ROWS", 2)
    monkeypatch.setattr(decision_check, "CHECKED_ROWS", 2)


def send(ledger, *result_ids, outcome=LOST, again=False, **changes):
    rows = [delivery(result_id, **changes) for result_id in result_ids]
    claims = ledger.claim("other" if again else "run", rows, ["unknown"] if again else []).won
    ledger.record([AttemptOutcome(claim, outcome) for claim in claims])


def line(result_id, decision=Decision.CREATED, attempt=1, reason="seen", **changes):
    return DecidedLine(2, delivery(result_id, **changes).key, attempt, decision, reason)


def exported(unknown, choice=EVERYTHING):
    return [row for rows in unknown.export(choice) for row in rows]


def test_the_export_is_in_the_order_of_kombos_log_view(ledger, unknown, small_batches):
    """Rows come by integration, the newest call first, each once, in any number of batches."""
    for number in range(7):
        integration_id = ("b:1", "a:1")[number % 2]
        send(ledger, f"r{number}", integration_id=integration_id, target_id=f"c{number % 3}")
    send(ledger, "s0", "s1", "s2", integration_id="b:1")
    attempts = ledger.tables.attempts
    with ledger.engine.begin() as connection:
        one_moment = update(attempts).values(claimed_at=SENT_AT)
        connection.execute(one_moment.where(attempts.c.result_id.startswith("s")))
    send(ledger, "done", outcome=RowOutcome(Status.SUCCESS))
    assert [row.result_id for row in exported(unknown)] == [
        "r5", "r3", "r1", "r6", "r4", "r2", "r0", "s0", "s1", "s2",
    ]  # fmt: skip
    named = UnknownRowsFilter(result_ids=("r0", "r5", "r6", "gone"))  # more than one batch
    assert [row.result_id for row in exported(unknown, named)] == ["r5", "r6", "r0"]


def test_an_exported_row_has_the_newest_attempt_in_doubt(ledger, unknown):
    """Time and URL are those of the call to look for; `attempt` is the newest of the row."""
    body = json.dumps({"url": "https://results.example/1", "label": "x"}).encode()
    send(ledger, "r1", body=body)
    send(ledger, "r1", again=True, outcome=RowOutcome(Status.FAILED), body=b"{}")
    ((first, _), (row,)) = (all_of(ledger.engine, ledger.tables.attempts), exported(unknown))
    assert row.sent_at.replace(tzinfo=None) == first.claimed_at.replace(tzinfo=None)
    assert (row.url, row.attempt) == ("https://results.example/1", 2)
    assert (row.result_id, row.error_code) == ("r1", "answer_lost")


@pytest.mark.parametrize("stored", ["masked", "nothing", "no member", "no JSON", "no attempt"])
def test_a_row_without_a_stored_url_is_exported(ledger, unknown, stored):
    """The cell of the URL is empty where the history does not have the URL."""
    if stored == "masked":
        ledger = Ledger(ledger.engine, ledger.tables, Redactor(["url"]))
    if stored == "nothing":
        ledger = Ledger(ledger.engine, ledger.tables, Redactor(store=False))
    has_url = stored in {"masked", "nothing"}
    send(ledger, "r1", body=b'{"url": "https://a.example"}' if has_url else b'{"name": "x"}')
    with ledger.engine.begin() as connection:
        if stored == "no JSON":
            connection.execute(update(ledger.tables.attempts).values(request="{"))
        if stored == "no attempt":
            connection.execute(delete(ledger.tables.attempts))
    (row,) = exported(unknown)
    assert row.url is None
    assert (row.sent_at is None) == (stored == "no attempt")


def test_each_line_decides_its_row(ledger, unknown, small_batches):
    """Each row gets the decision and the reason of one line, with the person's name."""
    send(ledger, *(f"r{number}" for number in range(7)))
    lines = [line(f"r{number}") for number in range(5)]
    lines.append(line("r5", Decision.NOT_CREATED, reason="not in the logs"))
    assert sorted(unknown.decide_lines(lines, "ada")) == [1, 1, 2, 2]
    assert statuses(ledger.engine, ledger.tables) == {"success": 5, "retryable": 1, "unknown": 1}
    history = {row.result_id: row for row in all_of(ledger.engine, ledger.tables.attempts)}
    assert (history["r0"].resolved_by, history["r0"].resolution_reason) == ("ada", "seen")
    assert (history["r5"].resolution, history["r5"].resolution_reason) == (
        "not created", "not in the logs",
    )  # fmt: skip


@pytest.fixture
def left(ledger):
    """Return lines without effect, with the reasons, beside rows of similar keys."""
    send(ledger, "r1", "twice")
    send(ledger, "done", outcome=RowOutcome(Status.SUCCESS))
    send(ledger, "twice", again=True, body=b"{}")
    return [
        (line("gone"), "not found"),
        (line("R1"), "not found"),
        (line("r1", target_id="c2"), "not found"),
        (line("r1", integration_id="workday:two"), "not found"),
        (line("r1", target_type="application"), "not found"),
        (line("r1", attempt=2), "attempt 2 is not the newest one: attempt 1 is"),
        (line("twice"), "attempt 1 is not the newest one: attempt 2 is"),
        (line("done"), "success"),
    ]


def test_a_line_decides_no_other_row_and_no_newer_attempt(ledger, unknown, left, small_batches):
    """All parts of the key and the attempt have to match, and the row has to be `unknown`."""
    lines = [one for one, _ in left]
    assert [(one.line, one.why) for one in unknown.check(EVERYTHING, lines)] == left
    assert sum(unknown.decide_lines(lines, "ada")) == 0
    assert {row.resolution for row in all_of(ledger.engine, ledger.tables.attempts)} == {None}
    lines = [line("r1"), line("twice", attempt=2)]
    assert unknown.check(EVERYTHING, lines) == []
    assert sum(unknown.decide_lines(lines, "ada")) == 2


@pytest.mark.parametrize(
    ("choice", "left"),
    [
        ({"result_ids": ("r1",)}, "r2"),
        ({"integration_ids": ("b:1",)}, "r1"),
        ({"error_code": "run_died"}, "r1"),
        ({"assessment_date": DAY, "run_id": "run"}, ""),
        ({"assessment_date": DAY.replace(day=9)}, "r1r2"),
        ({"run_id": "other"}, "r1r2"),
    ],
)
def test_conditions_narrow_a_file(ledger, unknown, choice, left):
    """A line for a row beyond the conditions is left."""
    send(ledger, "r1")
    send(ledger, "r2", integration_id="b:1", outcome=replace(LOST, error_code="run_died"))
    lines = [line("r1"), line("r2", integration_id="b:1")]
    found = unknown.check(UnknownRowsFilter(**choice), lines)
    assert "".join(one.line.key.result_id for one in found) == left
    assert {one.why for one in found} <= {"the other conditions do not hold"}


def test_what_was_decided_stays_when_the_task_dies(ledger, unknown, small_batches):
    """A batch is durable, and the same file again decides the rest."""
    send(ledger, *(f"r{number}" for number in range(5)))
    lines = [line(f"r{number}") for number in range(5)]
    batches = unknown.decide_lines(lines, "ada")
    assert next(batches) == 2
    batches.close()  # as a process that is killed
    assert statuses(ledger.engine, ledger.tables) == {"success": 2, "unknown": 3}
    assert len(unknown.check(EVERYTHING, lines)) == 2
    assert sum(unknown.decide_lines(lines, "ada")) == 3
    assert {link.status for link in by_result(ledger.engine, ledger.tables).values()} == {"success"}


def test_many_reasons_are_kept(ledger, unknown):
    """Each of many rows keeps the reason of one line."""
    keys = [LinkKey("workday:one", "candidate", f"c{number}", f"r{number}") for number in range(20)]
    for key in keys:
        send(ledger, key.result_id, target_id=key.target_id)
    lines = [DecidedLine(2, key, 1, Decision.CREATED, f"log {key.target_id}") for key in keys]
    assert sum(unknown.decide_lines(lines, "ada")) == 20
    history = all_of(ledger.engine, ledger.tables.attempts)
    assert {(row.target_id, row.resolution_reason) for row in history} == {
        (key.target_id, f"log {key.target_id}") for key in keys
    }
