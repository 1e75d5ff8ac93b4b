"""Other writes of Kombo: declared in a few lines, delivered like result links."""

from __future__ import annotations

import json
from datetime import date
from typing import Any, Literal

import pytest
from pydantic import Field, Json
from support.harness import requests_of

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.exceptions import ConfigurationError, MappingError
from airflow_kombo.kombo_api.request import InvalidRow, RowRequest
from airflow_kombo.kombo_api.result_link import RESULT_LINKS, ResultLink
from airflow_kombo.kombo_api.writes import Request, Text, Write
from airflow_kombo.rows.result_link_mapping import ResultLinkMapping, mapping_of


class Note(Request):
    content: Text
    content_type: Literal["PLAIN_TEXT"] = "PLAIN_TEXT"
    weight: float | None = None
    day: date | None = None
    remote_fields: Json[dict[str, Any]] | None = Field(default=None, alias="remoteFields")


NOTES = Write(
    "note", "/ats/applications/{target_id}/notes", Note, {"application": "application_id"}
)
ROW = {"result_id": "r1", "integration_id": "lever:1", "application_id": "a/1", "text": "Well done"}


def outcome(declared, **columns):
    requests, invalid = requests_of(mapping_of(NOTES).parse(declared), [{**ROW, **columns}])
    (one,) = [*requests, *invalid]
    return one


def test_a_row_becomes_another_request():
    """Each member's type reads the mapped text, and missing members are left out."""
    declared = {
        "content": "{{ text }}",
        "weight": {"column": "weight"},
        "day": {"column": "day", "format": "date"},
        "remoteFields": {"column": "remote"},
    }
    made = outcome(declared, weight=0.5, day="2026-11-03 10:00", remote='{"lever": {}}')
    assert made.key == LinkKey("lever:1", "application", "a/1", "r1")
    assert (made.write.method, made.path) == ("POST", "/ats/applications/a%2F1/notes")
    assert made.url_hash is None
    assert json.loads(made.body) == {
        "content": "Well done",
        "content_type": "PLAIN_TEXT",
        "weight": 0.5,
        "day": "2026-11-03",
        "remoteFields": {"lever": {}},
    }
    nothing = outcome(declared, weight=float("nan"), day=None, remote=" ")
    assert json.loads(nothing.body) == {"content": "Well done", "content_type": "PLAIN_TEXT"}


@pytest.mark.parametrize(
    ("columns", "code", "field"),
    [
        ({"text": None}, "missing_field", "content"),
        ({"weight": "Zq7canary"}, "invalid_field", "weight"),
        ({"weight": float("inf")}, "invalid_field", "weight"),
        ({"weight": "inf"}, "invalid_field", "weight"),
        ({"weight": " nan "}, "invalid_field", "weight"),
        ({"remote": "[Zq7canary"}, "invalid_field", "remoteFields"),
        ({"remote": '"Zq7canary"'}, "invalid_field", "remoteFields"),
        ({"application_id": None, "candidate_id": "c1"}, "missing_field", "application_id"),
    ],
)
def test_a_row_that_cannot_become_it_is_invalid(columns, code, field):
    """An invalid row has the field and the reason, without the value."""
    more = {"weight": {"column": "weight"}, "remoteFields": {"column": "remote"}}
    made = outcome({"content": "{{ text }}"} | more, **columns)
    assert isinstance(made, InvalidRow)
    assert (made.error.code, made.error.field) == (code, field)
    assert "Zq7canary" not in str(made.error)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({}, "content: Field required"),
        ({"contend": "x", "content": "y"}, "contend is not known (did you mean 'content'?)"),
        ({"content": "{{ text"}, "broken template: content"),
        ({"content": "x", "tools": {"lever": {"weight": 7}}}, "tools.lever.weight"),
    ],
)
def test_its_mapping_is_checked_as_ours(declared, message):
    """A mapping has the members of the request, and may have sections for tools."""
    with pytest.raises(MappingError) as raised:
        mapping_of(NOTES).parse(declared)
    assert message in str(raised.value)


def test_its_rows_need_only_its_own_key():
    """The rows of a write need the columns of its own targets only."""
    mapping = mapping_of(NOTES).parse({"content": "{{ text }}"})
    mapping.check(ROW)
    with pytest.raises(MappingError, match="'application_id'"):
        mapping.check(["result_id", "integration_id", "candidate_id", "text"])


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"path": "/ats/notes"}, "{target_id}"),
        ({"path": "ats/{target_id}"}, "begin with /"),
        ({"targets": {}}, "needs targets"),
        ({"targets": {"a" * 17: "application_id"}}, "16"),
        ({"once": "url"}, "once names 'url'; its request has content"),
    ],
)
def test_a_write_that_makes_no_endpoint_is_refused(changes, why):
    """A wrong declaration of a write is refused when the dag is parsed."""
    declared = {
        "name": "note",
        "path": NOTES.path,
        "request": Note,
        "targets": NOTES.targets,
    }
    with pytest.raises(ConfigurationError, match="The write note cannot be used") as raised:
        Write(**declared | changes)
    assert why in str(raised.value)


def test_a_result_link_is_such_a_write():
    """A result link is a write like any other."""
    assert mapping_of(RESULT_LINKS) is ResultLinkMapping
    assert (RESULT_LINKS.request, RESULT_LINKS.once) == (ResultLink, "url")
    assert (RESULT_LINKS.status_table, NOTES.status_table) == ("kombo_result_links", "kombo_notes")
    link = RowRequest(LinkKey("i", "candidate", "1", "r"), None, "https://a", b"{}")
    assert (link.write.method, link.path) == ("POST", "/ats/candidates/1/result-links")
