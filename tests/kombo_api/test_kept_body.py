"""Bodies of responses as far as they are kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_kombo.kombo_api.response import KomboResponse

LIMIT = 8 * 1024
WARNED = b'{"status": "success", "data": {}, "warnings": [{"message": "cut"}]}'


@pytest.mark.parametrize("letter", ["a", "ü", "€", "\N{PILE OF POO}"])
@pytest.mark.parametrize("more", [-1, 0, 1, 4_000])
def test_a_long_body_is_cut_between_two_characters(letter, more):
    """Of a body, at most 8 KB are kept, in whole characters."""
    body = ("x" + letter * (LIMIT // len(letter.encode()) + more)).encode()
    kept = KomboResponse.of(502, {}, body).kept_body
    assert kept.is_cut == (len(body) > LIMIT)
    assert body.decode().startswith(kept.text)
    assert LIMIT - 4 < len(kept.text.encode()) <= LIMIT or not kept.is_cut
    assert kept.is_cut or kept.text == body.decode()


@given(body=st.binary(max_size=60) | st.none())
def test_any_body_can_be_stored(body):
    """A kept body has no NUL and is valid text, whatever the bytes are."""
    kept = KomboResponse.of(500, {}, body).kept_body
    assert "\x00" not in kept.text
    assert kept.text.encode().decode() == kept.text


def test_a_body_is_in_no_text_about_its_response():
    """The representation of a response, as in a traceback, has no body."""
    response = KomboResponse.of(502, {}, b"canary5e1f")
    assert response.kept_body.text == "canary5e1f"
    assert "canary5e1f" not in f"{response!r} {response}"


@pytest.mark.parametrize(
    ("http_status", "body", "is_plain"),
    [
        (200, b'{"status": "success", "data": {}, "warnings": []}', True),
        (200, b'{"status": "success", "data": {}}', True),
        (200, WARNED, False),
        (500, b'{"status": "success", "data": {}}', False),
        (200, b"<html>", False),
        (400, b'{"status": "error", "error": {"code": "ATS.JOB_CLOSED"}}', False),
    ],
)
def test_a_plain_success_is_confirmed_and_says_nothing_else(http_status, body, is_plain):
    """A success with a warning, or with another status, is no plain success."""
    assert KomboResponse.of(http_status, {}, body).is_plain_success is is_plain


def test_a_success_without_its_body_is_plain():
    """A 2xx with Kombo's headers and a lost body is a plain success."""
    assert KomboResponse.of(200, {"Concurrency-Limit": "30"}, None).is_plain_success
