"""Attempts on the page: sent, answered and the link, in sentences without contradictions."""

from __future__ import annotations

import json
from itertools import product
from types import SimpleNamespace
from urllib.parse import urlencode

import pytest
from sqlalchemy import text, update
from support.harness import delivery
from support.page_client import Browser, Document
from support.report_rows import RUN, SCRIPT

from airflow_kombo.kombo_api.response import KomboResponse
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.history import may_have_been_created
from airflow_kombo.ledger.outcomes import AttemptOutcome, RowOutcome, outcome_of
from airflow_kombo.ledger.redaction import Redactor
from airflow_kombo.ledger.runs import Runs
from airflow_kombo.statuses import ErrorCode, Link, Status
from airflow_kombo.web.attempts import Exchange, ShownAttempt, shown_attempts


def attempt(status="unknown", error_code=None, http_status=None, **values):
    """Return an attempt's row."""
    defaults = {"resolution": None, "warnings": None, "response": None, "attempt": 1}
    outcome = {"status": status, "error_code": error_code, "http_status": http_status}
    return SimpleNamespace(**{**defaults, **outcome, **values})


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (attempt("success", http_status=200), Exchange.ANSWERED),
        (attempt("failed", "ATS.JOB_CLOSED", 400), Exchange.ANSWERED),
        (attempt("unknown", None, 504), Exchange.ANSWERED),
        (attempt("unknown", "answer_lost"), Exchange.ANSWER_LOST),
        (attempt("unknown", "run_died"), Exchange.UNRECORDED),
        (attempt("sending"), Exchange.UNRECORDED),
        (attempt("retryable", "not_sent"), Exchange.NOT_SENT),
        (attempt("retryable", "run_stopped"), Exchange.NOT_SENT),
    ],
)
def test_an_attempt_has_one_exchange(row, expected):
    """Each kind of outcome is sent and answered, or one of the kinds of neither."""
    assert ShownAttempt(row).exchange is expected


def test_only_the_newest_attempt_of_a_sending_row_is_under_way():
    """An attempt without an outcome is in doubt, unless a run has the row now."""
    attempts = [attempt("sending", attempt=2), attempt("sending", attempt=1)]
    shown = shown_attempts(SimpleNamespace(status="sending", attempts=2), attempts)
    assert [one.is_under_way for one in shown] == [True, False]
    assert [one.is_in_doubt for one in shown] == [False, True]
    shown = shown_attempts(SimpleNamespace(status="unknown", attempts=2), attempts)
    assert [one.status for one in shown] == ["unknown", "unknown"]


def test_sent_answered_and_doubt_agree():
    """Nothing unsent is in doubt, and the page's doubt is the ledger's, for every outcome."""
    statuses = [one for one in Status if one is not Status.INVALID]
    codes = [None, "ATS.JOB_CLOSED", *ErrorCode]
    for status, code, http_status, decision, is_under_way in product(
        statuses, codes, (None, 200, 504), (None, "created"), (False, True)
    ):
        row = attempt(status.value, code, http_status, resolution=decision)
        one = ShownAttempt(row, is_under_way and status is Status.SENDING and not decision)
        if one.exchange is Exchange.NOT_SENT:
            assert (one.is_in_doubt, one.link) == (False, Link.NOT_MADE)
        is_open = status is Status.SENDING
        stored = SimpleNamespace(status=None if is_open else status.value, resolution=decision)
        assert (one.is_in_doubt or one.is_under_way) == may_have_been_created(stored)


@pytest.fixture
def ledger(warehouse, tables):
    """Return the ledger, with a living run."""
    Runs(warehouse, tables).start(RUN)
    return Ledger(warehouse, tables)


def page_of(ledger, name):
    key = delivery(name, target_id=f"c-{name}").key
    response = Browser.of(lambda: ledger.engine, ledger.tables).get(
        f"/row?{urlencode(key.columns)}"
    )
    assert response.status_code == 200
    return Document(response.text).text, response.text


def claim(ledger, name):
    (won,) = ledger.claim(RUN.run_id, [delivery(name, target_id=f"c-{name}")]).won
    return won


def answer(ledger, name, http_status, body, **headers):
    response = KomboResponse.of(http_status, headers, body.encode())
    outcome = outcome_of(response.verdict, response)
    ledger.record([AttemptOutcome(claim(ledger, name), outcome, 12, response)])


def test_a_response_is_shown_with_its_headers_and_body(ledger):
    """The page shows HTTP status, headers and body of a response as text."""
    answer(ledger, "r1", 502, f"<b>{SCRIPT}</b>", **{"Retry-After": "7"})
    shown, html = page_of(ledger, "r1")
    for expected in (
        "after 12 ms: HTTP 502",
        "Result link In doubt: nobody knows whether it was made",
        "HTTP 502 Retry-After 7",
        f"<b>{SCRIPT}</b>",
        "The source row is not stored here: it is in the warehouse under its result id.",
    ):
        assert expected in shown
    assert SCRIPT not in html


def test_a_long_and_a_left_out_body_are_named(ledger):
    """The page names a body cut, left out, or not there."""
    answer(ledger, "r1", 502, "x" * 9_000)
    answer(ledger, "r2", 502, "")
    masking = Ledger(ledger.engine, ledger.tables, Redactor(["label"]))
    answer(masking, "r3", 502, "no JSON")
    assert "The body was longer: this is its beginning." in page_of(ledger, "r1")[0]
    assert "There was no body." in page_of(ledger, "r2")[0]
    assert "not kept: only a whole JSON body can be masked." in page_of(ledger, "r3")[0]


def test_a_plain_success_is_its_status_alone(ledger):
    """The page names why a plain success has no response."""
    answer(ledger, "r1", 200, '{"status": "success", "data": {}}')
    shown, _ = page_of(ledger, "r1")
    assert "Result link Made" in shown
    assert "A plain success is kept as its status alone." in shown


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (
            RowOutcome(Status.UNKNOWN, "answer_lost"),
            ["or it was about to leave", "No answer came, after 12 ms", "In doubt"],
        ),
        (
            RowOutcome(Status.RETRYABLE, "not_sent"),
            ["Sent No: the request did not leave", "Answered No: nothing was sent", "Not made"],
        ),
    ],
)
def test_an_attempt_without_a_response_is_in_words(ledger, outcome, expected):
    """Without a response, the page names the state of the request."""
    ledger.record([AttemptOutcome(claim(ledger, "r1"), outcome, 12)])
    shown, _ = page_of(ledger, "r1")
    assert [one for one in expected if one not in shown] == []
    assert "No response was recorded." in shown


def test_an_attempt_under_way_is_no_doubt(ledger):
    """While a run has the row, the page awaits the answer; after a death the link is in doubt."""
    claim(ledger, "r1")
    shown, _ = page_of(ledger, "r1")
    for expected in ("Sent A run has it since", "Answered Not yet", "Result link Not known yet"):
        assert expected in shown
    assert "In doubt" not in shown
    Runs(ledger.engine, ledger.tables, dead_after=0.0).settle([RUN.run_id])
    shown, _ = page_of(ledger, "r1")
    assert "No answer was recorded: the run died before" in shown
    assert "In doubt" in shown


def test_a_response_after_a_decision_counts(ledger):
    """A late response overrules a decision, and the page says so; else the decision is shown."""
    won = claim(ledger, "r1")
    Runs(ledger.engine, ledger.tables, dead_after=0.0).settle([RUN.run_id])
    attempts = ledger.tables.attempts
    decided = {"resolution": "not created", "resolved_by": "ada"}
    with ledger.engine.begin() as connection:
        connection.execute(update(attempts).values(decided))
    shown, _ = page_of(ledger, "r1")
    assert "Result link It was in doubt, and is decided: not created" in shown
    assert "it counts" not in shown
    response = KomboResponse.of(200, {}, b'{"status": "success", "data": {}}')
    ledger.record([AttemptOutcome(won, RowOutcome(Status.SUCCESS, http_status=200), 12, response)])
    shown, _ = page_of(ledger, "r1")
    assert "Result link Made" in shown
    assert "The response came later, and it counts." in shown


def test_a_response_of_another_program_is_left_out(ledger):
    """A foreign text in the column of responses is no error of the page."""
    answer(ledger, "r1", 502, "x")
    for value in ("no JSON", "[]", json.dumps({"status": "x"}), ""):
        with ledger.engine.begin() as connection:
            connection.execute(update(ledger.tables.attempts).values(response=value))
        assert "The response is not kept, or not any more" in page_of(ledger, "r1")[0]


def test_the_page_shows_attempts_of_an_older_version(ledger):
    """Before the first run of this version, the column of responses is missing."""
    answer(ledger, "r1", 502, "x")
    attempts = ledger.tables.attempts
    with ledger.engine.begin() as connection:
        for index in attempts.indexes:
            if "response" in str(index.name):
                index.drop(connection, checkfirst=True)
        connection.execute(text(f"ALTER TABLE {attempts.name} DROP COLUMN response"))
    assert "The response is not kept" in page_of(ledger, "r1")[0]
