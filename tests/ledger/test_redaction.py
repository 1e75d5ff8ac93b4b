"""Redaction of the requests and responses in the history."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.harness import all_of, delivery

from airflow_kombo.kombo_api.response import KomboResponse
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.redaction import KEPT_HEADERS, Redactor
from airflow_kombo.ledger.runs import Run, Runs

REQUEST = delivery(
    body=b'{"label": "Ada", "url": "https://a.example/1", "details": {"attributes": [{"key":'
    b' "Score", "value": "97.5"}]}}'
)


def kept(body, redact=None, http_status=400, **headers):
    """Return a response as kept in the history."""
    response = KomboResponse.of(http_status, headers, body.encode())
    text = (redact or Redactor()).response(response, REQUEST)
    return None if text is None else json.loads(text)


@pytest.mark.parametrize(
    ("options", "stored"),
    [
        ({"masked": ["label"]}, '{"label": "***"}'),
        ({"masked": ["url"]}, '{"label": "Coding"}'),
        ({"store": False}, None),
    ],
)
def test_what_the_history_keeps_is_a_setting(warehouse, tables, options, stored):
    """A deployment may mask members of the stored request, or store none."""
    Runs(warehouse, tables).start(Run("run"))
    Ledger(warehouse, tables, Redactor(**options)).claim("run", [delivery()])
    (attempt,) = all_of(warehouse, tables.attempts)
    assert attempt.request == stored


def test_a_response_is_kept_with_its_headers_and_body():
    """The history keeps status, known headers and the body, and no cookie or address."""
    headers = {
        "Retry-After": "2", "Set-Cookie": "secret", "Location": "https://a.example/?q=ada",
        "X-Request-Id": "i" * 300,
    }  # fmt: skip
    assert kept("no JSON", **headers) == {
        "status": 400,
        "headers": {"Retry-After": "2", "X-Request-Id": "i" * 200},
        "body": "no JSON",
        "is_cut": False,
    }
    assert not {"Set-Cookie", "Location", "Authorization"} & set(KEPT_HEADERS)
    assert kept("") == {"status": 400, "headers": {}}


def test_a_plain_success_or_no_response_is_not_kept():
    """A plain success, no response, and any response with the setting 0, leave no text."""
    assert kept('{"status": "success", "data": {}}', http_status=200) is None
    assert Redactor().response(None, REQUEST) is None
    assert kept("no JSON", Redactor(keep_responses=False)) is None


def test_masked_members_are_masked_in_a_response():
    """Masked members at any depth, and their values in any text, are not kept."""
    redact = Redactor(["label", "details"])
    body = {
        "error": {"message": "ADA is no label, at 97.5", "fields": [{"label": "else"}]},
        "Ada": [97.5, "https://a.example/1", None, True],
    }
    assert json.loads(kept(json.dumps(body), redact)["body"]) == {
        "error": {"message": "*** is no label, at ***", "fields": [{"label": "***"}]},
        "***": ["***", "https://a.example/1", None, True],
    }


@pytest.mark.parametrize(
    "body", ["Ada was refused", "<html>Ada</html>", "[" * 5_000, '{"a": "' + "x" * 9_000 + '"}']
)
def test_a_body_that_cannot_be_masked_is_not_kept(body):
    """With masked fields, only a whole JSON body is kept; without any, each body is."""
    assert kept(body, Redactor(["label"])) == {
        "status": 400,
        "headers": {},
        "body_left_out": "only a whole JSON body can be masked",
    }
    assert kept(body)["body"]


def test_without_requests_no_body_is_kept():
    """A deployment without stored requests stores no body: a body may quote the request."""
    assert kept("Ada", Redactor(store=False)) == {
        "status": 400,
        "headers": {},
        "body_left_out": "store_request is false",
    }


@given(
    body=st.binary(max_size=80) | st.text(max_size=40).map(lambda text: json.dumps(text).encode())
)
@example(body=b'"\\ud800"')
@example(body=b"NaN")
@example(body=b"9" * 5_000)
def test_no_response_keeps_an_outcome_from_being_recorded(body):
    """Any body is kept or left out, and never an error."""
    for redact in (Redactor(), Redactor(["label"]), Redactor(["label"], store=False)):
        text = redact.response(KomboResponse.of(500, {"Server": "\ud800"}, body), REQUEST)
        assert text.encode()
        json.loads(text)
