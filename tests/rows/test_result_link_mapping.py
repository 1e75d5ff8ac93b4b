"""The deployment's mapping, and remote fields of result links."""

from __future__ import annotations

import json
import sqlite3
from datetime import date
from pathlib import Path

import pytest
from support.harness import requests_of
from support.mappings import HALF, ITSELF, MISSING, body, mapped, nested, outcome

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.exceptions import MappingError
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.rows.result_link_mapping import ResultLinkMapping

INCLUDE = Path(__file__).resolve().parents[2] / "include"
COLUMNS = [
    "result_id", "assessment_date", "completed_at", "integration_id", "candidate_id",
    "application_id", "assessment_name", "result_url", "score", "max_score", "duration_seconds",
    "remote_fields",
]  # fmt: skip


def test_the_mapping_and_the_query_of_the_deployment_fit():
    """The query in `include/` returns all columns of the mapping and no other column."""
    mapping = ResultLinkMapping.load(INCLUDE / "result_link_mapping.yaml")
    database = sqlite3.connect(":memory:")
    database.execute(f"CREATE TABLE assessment_results ({', '.join(COLUMNS)})")
    query = (INCLUDE / "sql/assessment_results.sql").read_text()
    days = dict.fromkeys(("first_assessment_date", "assessment_date"), "2026-11-03")
    cursor = database.execute(query, days)
    assert [name for name, *_ in cursor.description] == COLUMNS
    mapping.check(COLUMNS)
    for unread in ("assessment_name", "result_url", "score", "max_score", "duration_seconds"):
        with pytest.raises(MappingError, match=unread):
            mapping.check([name for name in COLUMNS if name != unread])


def test_a_row_of_the_query_becomes_what_a_recruiter_sees():
    """The mapping in `include/` shows score, duration and day, and passes remote fields on."""
    mapping = ResultLinkMapping.load(INCLUDE / "result_link_mapping.yaml")
    row = dict(
        zip(
            COLUMNS,
            ["r1", date(2026, 11, 3), "2026-11-03 17:05:00", "workday:1", "c1", "a1", "Coding",
             "https://example.com/r/1", 47.5, 50.0, 9000.0,
             '{"icims":{"assessment_package_id":"p"}}'],
            strict=True,
        )
    )  # fmt: skip
    (request,), invalid = requests_of(mapping, [row])
    assert invalid == []
    assert request.key == LinkKey("workday:1", "application", "a1", "r1")
    assert request.assessment_date == date(2026, 11, 3)
    assert json.loads(request.body) == {
        "label": "Coding",
        "url": "https://example.com/r/1",
        "details": {
            "custom_field_name_prefix": "Assessment",
            "attributes": [
                {"key": "Score", "value": "95%"},
                {"key": "Duration", "value": "2:30h"},
                {"key": "Completed", "value": "2026-11-03"},
            ],
        },
        "remote_fields": {"icims": {"assessment_package_id": "p"}},
    }


@pytest.mark.parametrize("as_text", [False, True], ids=["object", "text"])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"x-ats": {"a": [1, 2.5, "ü", None, True]}},
        {"x-ats": None},
        {"greenhouse": {"post_headers": {"On-Behalf-Of": None}}},
        {"x-ats": 10**40},
        {"icims": {"assessment_package_id": "p", "more": {"b": None}}},
    ],
    ids=str,
)
def test_remote_fields_pass_through(fields, as_text):
    """An object, or a JSON text of one, arrives unchanged."""
    mapping = mapped(remote_fields={"column": "x"})
    assert body(mapping, x=json.dumps(fields) if as_text else fields)["remote_fields"] == fields


def test_remote_fields_may_be_a_template():
    """A template can build the JSON text from columns."""
    mapping = mapped(remote_fields='{"icims": {"assessment_package_id": "{{ x }}"}}')
    assert body(mapping, x=7.0)["remote_fields"] == {"icims": {"assessment_package_id": "7"}}


@pytest.mark.parametrize("missing", [*MISSING, "null"], ids=repr)
def test_missing_remote_fields_are_left_out(missing):
    """Missing remote fields are not sent as null or as an empty object."""
    assert "remote_fields" not in body(mapped(remote_fields={"column": "x"}), x=missing)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("{", "must be valid JSON"),
        ("{'icims': {}}", "must be valid JSON"),
        ('{"x-ats": NaN}', "must be valid JSON"),
        ('{"x-ats": 1e999}', "must be valid JSON"),
        ({"x-ats": float("nan")}, "must be valid JSON"),
        ({"x-ats": b"bytes"}, "must be valid JSON"),
        ({"x-ats": date(2026, 11, 3)}, "must be valid JSON"),
        ({"x-ats": HALF}, "must be valid JSON"),
        ('{"x-ats": "\\ud83d"}', "must be valid JSON"),
        ('{"x-ats": ' + "9" * 5_000 + "}", "must be valid JSON"),
        ('{"x-ats": ' * 100_000, "must be valid JSON"),
        (ITSELF, "must be valid JSON"),
        ("[]", "must be a JSON object"),
        ([], "must be a JSON object"),
        ([{"icims": {}}], "must be a JSON object"),
        ('"text"', "must be a JSON object"),
        ("7", "must be a JSON object"),
        (7, "must be a JSON object"),
        (True, "must be a JSON object"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_remote_fields_that_are_no_json_object_make_the_row_invalid(value, reason):
    """Anything but a JSON object makes the row `invalid` and is never sent in part."""
    error = outcome(mapped(remote_fields={"column": "x"}), x=value).error
    assert (error.code, error.field, error.reason) == ("invalid_field", "remote_fields", reason)


@pytest.mark.parametrize("as_text", [False, True], ids=["object", "text"])
@pytest.mark.parametrize("depth", [100, 250, 300, 900])
def test_deep_remote_fields_cost_one_row_at_most(depth, as_text):
    """Deep JSON arrives whole, or makes only the row `invalid`."""
    fields = nested(depth)
    value = json.dumps(fields) if as_text else fields
    made = outcome(mapped(remote_fields={"column": "x"}), x=value)
    if isinstance(made, RowRequest):
        assert json.loads(made.body)["remote_fields"] == fields
    else:
        assert (made.error.code, made.error.field) == ("invalid_field", "remote_fields")
        assert depth > 200


def test_a_wrong_remote_field_is_named_by_its_path():
    """A documented member of a wrong type is named by the path, not by the value."""
    fields = '{"oracle": {"override_document_category": "CV"}}'
    error = outcome(mapped(remote_fields={"column": "x"}), x=fields).error
    assert error.field == "remote_fields.oracle.override_document_category"
    assert "IRC_CANDIDATE_RESUME" in error.reason
    assert "CV" not in error.reason
