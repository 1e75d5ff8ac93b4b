"""Responses: the usual ones are read without the model, and mean the same."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_kombo.kombo_api import response as responses
from airflow_kombo.kombo_api.response import KomboResponse

SOME = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=4,
)
STATUS = st.sampled_from(["success", "error", "Success", "", True, 1, None]) | SOME
WARNINGS = st.lists(SOME | st.fixed_dictionaries({"message": SOME}), max_size=2) | SOME
BODIES = SOME | st.fixed_dictionaries(
    {}, optional={"status": STATUS, "warnings": WARNINGS, "error": SOME, "data": SOME}
)


@given(content=BODIES, http_status=st.sampled_from([200, 201, 204, 302, 400, 429, 500]))
@example(content={"status": "success", "data": {}, "warnings": []}, http_status=201)
@example(content={"status": "success", "warnings": {"message": "no list"}}, http_status=200)
@example(content={"status": "success", "error": {"code": "X"}}, http_status=500)
def test_a_usual_response_means_what_the_model_reads(content, http_status):
    """Whatever the body holds, the short way and the model agree about all of it."""
    body = json.dumps(content).encode()
    short = KomboResponse.of(http_status, {}, body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(responses, "_is_plain_success", lambda _: False)
        by_model = KomboResponse.of(http_status, {}, body)
    assert short == by_model
    assert short.verdict == by_model.verdict
    assert short.beginning == by_model.beginning


def test_a_plain_success_needs_no_model(monkeypatch):
    """The model is slow, and almost every response is a plain success."""
    monkeypatch.setattr(responses, "_Body", None)
    response = KomboResponse.of(201, {}, b'{"status":"success","data":{"id":"1"},"warnings":[]}')
    assert response.is_plain_success
