"""The table of explanations: complete, and the source of docs/errors.md."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_kombo.kombo_api.explained_codes import DECIDE, KOMBOS, OURS, STATUS_OF_CODE, Turn
from airflow_kombo.kombo_api.explanations import Cause, explain
from airflow_kombo.kombo_api.verdicts import STATUS_OF, VERDICTS, Verdict
from airflow_kombo.statuses import MEANINGS, SENT_WHEN_CHANGED, ErrorCode, Link, Status
from tools.error_docs import DOCUMENT, written

HTTP_STATUSES = [None, 200, 204, 301, 400, 401, 404, 408, 429, 499, 500, 502, 503, 504]


def test_every_code_has_an_explanation():
    """Each code that verdicts know, and each code of ours, is in the table."""
    assert set(KOMBOS) == set(VERDICTS)
    assert set(OURS) == set(ErrorCode)
    assert set(STATUS_OF_CODE) == {*VERDICTS, *ErrorCode}


def test_the_docs_have_the_table():
    """The tables in docs/errors.md are those of `make errors`."""
    document = DOCUMENT.read_text(encoding="utf-8")
    assert written(document) == document


def test_a_document_without_a_table_is_refused():
    """The command refuses a document without a heading, instead of leaving out a table."""
    with pytest.raises(ValueError, match="Our own codes"):
        written("## Kombo's codes\n\n| x |\n\nText\n")


@pytest.mark.parametrize("code", [*KOMBOS, *OURS])
def test_the_advice_fits_the_verdict(code):
    """Only a row in doubt is to be decided, and a refused row is somebody's turn."""
    status = STATUS_OF_CODE[code]
    turn, meaning, to_do = explain(status, code)
    in_doubt = MEANINGS[status].link is Link.MAY_EXIST
    assert ("may have" in meaning) is in_doubt
    assert (DECIDE in to_do) is in_doubt
    if status in SENT_WHEN_CHANGED:
        assert turn is not Turn.NOBODY
    assert all(text.endswith(".") for text in (meaning, to_do))


def test_a_code_that_stops_all_is_our_turn():
    """A key or an address that Kombo refuses is nobody else's to correct."""
    stopping = {code for code, verdict in VERDICTS.items() if verdict is Verdict.STOP}
    assert {KOMBOS[code].turn for code in stopping} == {Turn.US}


@given(
    status=st.sampled_from(Status),
    code=st.none() | st.text() | st.sampled_from([*VERDICTS, *ErrorCode]),
    http_status=st.sampled_from(HTTP_STATUSES),
)
def test_every_outcome_is_explained_as_its_status(status, code, http_status):
    """A row in doubt is never explained as refused, nor a row without a link as written."""
    turn, meaning, to_do = Cause(status, code, http_status).explanation
    link, needs_person = MEANINGS[status].link, MEANINGS[status].needs_person
    if link is Link.MAY_EXIST and needs_person:
        assert (turn, to_do) == (Turn.US, DECIDE)
    if link is Link.NOT_MADE:
        assert "may have" not in meaning
        assert to_do != DECIDE
    assert turn is not Turn.NOBODY or not needs_person or code == "INTEGRATION.SETUP_SYNC_PENDING"


def test_an_unknown_code_is_explained_as_unknown():
    """A code that this version lacks is named as such, and its row is in doubt."""
    explanation = explain(STATUS_OF[Verdict.UNKNOWN], "ATS.NEVER_HEARD_OF", 400)
    assert "does not know" in explanation.meaning


def test_the_code_of_a_refusal_does_not_explain_a_row_in_doubt():
    """A row in doubt with a code of a refusal is to be decided, not corrected."""
    assert "Correct" not in explain(Status.UNKNOWN, "REMOTE.INPUT_INVALID", 400).to_do
    assert "Correct" in explain(Status.FAILED, "REMOTE.INPUT_INVALID", 400).to_do


def test_a_page_of_another_server_is_our_turn():
    """A redirect or a 404 of another server points to the connection, a 429 and a 503 do not."""
    turns = {status: explain(Status.RETRYABLE, None, status).turn for status in HTTP_STATUSES}
    assert {turns[301], turns[401], turns[404]} == {Turn.US}
    assert {turns[None], turns[429], turns[503]} == {Turn.NOBODY}
