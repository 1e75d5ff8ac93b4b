"""A row becomes a request, by a mapping that the deployment declares."""

import json
import sqlite3
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.exceptions import MappingError, RowError
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.kombo_api.result_link import RESULT_LINKS
from airflow_kombo.rows.result_link_mapping import ResultLinkMapping
from airflow_kombo.rows.row_keys import key_of

KEY_COLUMNS = RESULT_LINKS.key_columns
INCLUDE = Path(__file__).resolve().parents[2] / "include"
COLUMNS = [
    "result_id", "assessment_date", "completed_at", "integration_id", "candidate_id",
    "application_id", "assessment_name", "result_url", "score", "max_score", "duration_seconds",
    "remote_fields",
]  # fmt: skip
ROW = {
    "result_id": "r1",
    "assessment_date": date(2026, 11, 3),
    "integration_id": "workday:1",
    "candidate_id": "c1",
    "application_id": None,
    "name": "Coding",
    "url": "https://example.com/r/1",
}
HALF = "\ud83d"  # half of an emoji: text in Python, no text in UTF-8
MISSING = [
    None, float("nan"), np.float32("nan"), Decimal("NaN"), pd.NaT, pd.NA, np.datetime64("NaT"),
    "", " \t\n",
]  # fmt: skip
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def mapped(attributes=None, **more):
    declared = {"label": "{{ name }}", "url": {"column": "url"}, "attributes": attributes or {}}
    return ResultLinkMapping.parse({**declared, **more})


def outcome(mapping, **columns):
    """Give what becomes of one row: a delivery, or the row that cannot be one."""
    deliveries, invalid = mapping.deliveries([{**ROW, **columns}], None)
    (one,) = [*deliveries, *invalid]
    return one


def body(mapping, **columns):
    made = outcome(mapping, **columns)
    assert isinstance(made, RowRequest), made
    return json.loads(made.body)


def shown(source, **columns):
    """Give the text of one attribute, or None where it was dropped."""
    details = body(mapped({"A": source}), **columns).get("details", {"attributes": []})
    return next((attribute["value"] for attribute in details["attributes"]), None)


def refused(source, **columns):
    error = outcome(mapped({"A": source}), **columns).error
    assert (error.code, error.field) == ("invalid_field", "attributes.A")
    return error.reason


# The file that the deployment owns --------------------------------------------------------------


def test_the_mapping_and_the_query_of_the_deployment_fit():
    """`include/` is whole: the query gives what the mapping reads, and no column in vain."""
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
    """The mapping under `include/` shows score, duration and day, and passes remote fields on."""
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
    (delivery,), invalid = mapping.deliveries([row], None)
    assert invalid == []
    assert delivery.key == LinkKey("workday:1", "application", "a1", "r1")
    assert delivery.assessment_date == date(2026, 11, 3)
    assert json.loads(delivery.body) == {
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


# Texts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is ", "as it is "),
        ("nan", "nan"),
        (95, "95"),
        (95.0, "95"),
        (95.50, "95.5"),
        (0.1, "0.1"),
        (-0.0, "0"),
        (1e22, "1" + "0" * 22),
        (1e-7, "0.0000001"),
        (10**30, "1" + "0" * 30),
        (Decimal("95.50"), "95.5"),
        (Decimal("1E+2"), "100"),
        (Decimal(100), "100"),
        (Decimal("0.00"), "0"),
        (Decimal("-0.0"), "0"),
        (Decimal("123456789012345678901234567890.5"), "123456789012345678901234567890.5"),
        (np.int64(95), "95"),
        (np.float64(95.0), "95"),
        (np.float32(95.5), "95.5"),
        (np.bool_(True), "true"),  # noqa: FBT003 - the value under test
        (False, "false"),
        (date(2026, 11, 3), "2026-11-03"),
        (datetime(2026, 11, 3, 17, 5, 9), "2026-11-03 17:05"),
        (datetime(2026, 11, 3, 17, 5, tzinfo=timezone.utc), "2026-11-03 17:05+00:00"),
        (pd.Timestamp("2026-11-03 17:05:09.123456789"), "2026-11-03 17:05"),
    ],
)
@pytest.mark.parametrize("source", [{"column": "x"}, "{{ x }}"], ids=["column", "template"])
def test_values_look_as_a_person_would_write_them(source, value, text):
    """A whole number has no `.0`, a decimal no trailing zeros, a time no microseconds."""
    assert shown(source, x=value) == text


@pytest.mark.parametrize(
    "value",
    [
        float("inf"), float("-inf"), Decimal("Infinity"), Decimal("sNaN"), 1e300, 1e-300, 10**5000,
        b"bytes", [1], {"a": 1}, {1}, (), 1j, object(), timedelta(1), np.array([1, 2]),
        np.array([]), pd.Series([1, 2]), HALF, np.datetime64("2026-11-03T17:05", "ns"),
        np.timedelta64(1, "ns"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
@pytest.mark.parametrize("source", [{"column": "x"}, "{{ x }}"], ids=["column", "template"])
def test_what_a_person_cannot_read_is_refused(source, value):
    """Infinities, endless numbers, bytes, containers and raw nanoseconds make the row `invalid`."""
    assert refused(source, x=value)


@pytest.mark.parametrize(
    ("template", "columns", "text"),
    [
        ("{{ a }} of {{ b }}", {"a": 19.0, "b": 20}, "19 of 20"),
        ("{{ a ~ '/' ~ b }}", {"a": 19.0, "b": Decimal("20.50")}, "19/20.5"),
        ("{{ a|round(1) }}", {"a": 2.0}, "2"),
        ("{{ a / 2 }}", {"a": 4}, "2"),
        ("{{ a|default('none yet') }}", {"a": float("nan")}, "none yet"),
        ("{{ 'yes' if a is defined else 'no' }}", {"a": pd.NaT}, "no"),
        ("{{ day.strftime('%d.%m.') }}", {"day": date(2026, 11, 3)}, "03.11."),
        ("<{{ a }}> & {{ b }}", {"a": "<b>", "b": '"'}, '<<b>> & "'),
        ("constant", {}, "constant"),
    ],
)
def test_templates(template, columns, text):
    """A template joins, computes and defaults; its parts are written as a column would be."""
    assert shown(template, **columns) == text


@pytest.mark.parametrize(
    ("template", "columns"),
    [
        ("{{ a / 0 }}", {"a": 1}),
        ("{{ a + 1 }}", {"a": "text"}),
        ("{{ a ~ '%' }}", {"a": float("inf")}),
        ("{{ a|dictsort }}", {"a": "text"}),
        ("{{ a.format() }}", {"a": "{}"}),
        ("{{ a.format() }}", {"a": "{name}"}),
        ("{{ a|format(b=1) }}", {"a": "%(a)s"}),
        ("{{ a[0] }}", {"a": {"b": HALF}, "x": 1}),
    ],
)
def test_a_template_that_fails_on_a_row_fails_that_row_only(template, columns):
    """Whatever a template raises for a row's values makes the row `invalid` or drops the text."""
    made = outcome(mapped({"A": template}), **columns)
    assert isinstance(made, RowRequest) or made.error.field == "attributes.A"
    assert b'"A"' not in getattr(made, "body", b"")


@pytest.mark.parametrize("missing", MISSING, ids=repr)
@pytest.mark.parametrize(
    "source",
    [
        {"column": "x"},
        {"column": "x", "format": "percent"},
        {"column": "x", "format": "percent", "of": "y"},
        {"column": "y", "format": "percent", "of": "x"},
        {"column": "x", "format": "duration"},
        {"column": "x", "format": "date"},
        "{{ x }}",
        "{{ x }} of {{ y }}",
        "{{ x ~ '%' }}",
    ],
    ids=str,
)
def test_a_missing_value_drops_its_attribute(source, missing):
    """NULL, NaN, NaT, NA and blank text show nothing, and cost the link nothing else."""
    sent = body(mapped({"A": source, "B": "kept"}), x=missing, y=7)
    assert sent["details"]["attributes"] == [{"key": "B", "value": "kept"}]
    assert "details" not in body(mapped({"A": source}), x=missing, y=7)


@pytest.mark.parametrize("missing", MISSING, ids=repr)
@pytest.mark.parametrize("field", ["label", "url"])
def test_a_missing_label_or_url_makes_the_row_invalid(field, missing):
    """A link without a name or an address is none; the message names the field and the fix."""
    error = outcome(mapped(**{field: {"column": "x"}}), x=missing).error
    assert (error.code, error.field) == ("missing_field", field)
    assert str(error) == f"{field}: is empty: fill the column or change the mapping"


@pytest.mark.parametrize(
    ("value", "of", "text"),
    [
        (95, None, "95%"),
        (95.0, None, "95%"),
        ("95.50", None, "95.5%"),
        (Decimal("66.6666"), None, "66.7%"),
        (19, 20, "95%"),
        (19.0, "20.0", "95%"),
        (Decimal(1), Decimal(3), "33.3%"),
        (np.int64(1), np.float32(8), "12.5%"),
        (0, 50, "0%"),
        (-0.01, None, "0%"),
        (-5, 50, "-10%"),
        (60, 50, "120%"),
    ],
)
def test_percent(value, of, text):
    """A percentage has one decimal place at most, of a hundred or of its whole."""
    source = {"column": "x", "format": "percent", **({"of": "y"} if of is not None else {})}
    assert shown(source, x=value, y=of) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (9000, "2:30h"),
        (9000.0, "2:30h"),
        ("9000", "2:30h"),
        (Decimal("9000.0"), "2:30h"),
        (np.int64(59), "0:01h"),
        (0, "0:00h"),
        (360_000, "100:00h"),
        (3_599.9, "1:00h"),
        (timedelta(hours=2, minutes=30), "2:30h"),
        (pd.Timedelta(minutes=5), "0:05h"),
    ],
)
def test_duration(value, text):
    """Seconds, or an interval, are shown as hours and minutes."""
    assert shown({"column": "x", "format": "duration"}, x=value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (date(2026, 11, 3), "2026-11-03"),
        (datetime(2026, 11, 3, 23, 59, tzinfo=timezone.utc), "2026-11-03"),
        (pd.Timestamp("2026-11-03 17:05"), "2026-11-03"),
        ("2026-11-03", "2026-11-03"),
        (" 2026-11-03 17:05:09 ", "2026-11-03"),
        ("2026-11-03T17:05:09.123456Z", "2026-11-03"),
        (np.datetime64("2026-11-03T17:05"), "2026-11-03"),
        (date(987, 1, 2), "0987-01-02"),
    ],
)
def test_date(value, text):
    """A date, a time and their texts are shown as the day."""
    assert shown({"column": "x", "format": "date"}, x=value) == text


@pytest.mark.parametrize(
    ("source", "columns", "reason"),
    [
        ({"format": "percent"}, {"x": "95%"}, "must be a number"),
        ({"format": "percent"}, {"x": True}, "must be a number"),
        ({"format": "percent"}, {"x": float("inf")}, "must be a finite number"),
        ({"format": "percent"}, {"x": "NaN"}, "must be a finite number"),
        ({"format": "percent", "of": "y"}, {"x": 1, "y": 0}, "cannot be a share of"),
        ({"format": "percent", "of": "y"}, {"x": 1, "y": -1}, "cannot be a share of"),
        ({"format": "percent", "of": "y"}, {"x": 1, "y": "all"}, "must be a number"),
        ({"format": "duration"}, {"x": -1}, "must not be a negative number"),
        ({"format": "duration"}, {"x": timedelta(-1)}, "must not be a negative number"),
        ({"format": "duration"}, {"x": "2:30h"}, "must be a number"),
        ({"format": "date"}, {"x": "yesterday"}, "must be a date such as 2026-11-03"),
        ({"format": "date"}, {"x": 3}, "must be a date such as 2026-11-03"),
    ],
)
def test_what_a_format_cannot_show_says_why(source, columns, reason):
    """A value that does not fit its format makes the row `invalid`, with a reason to act on."""
    assert reason in refused({"column": "x", **source}, **columns)


# Remote fields ----------------------------------------------------------------------------------


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
    """An object, or its JSON text, arrives as it is."""
    mapping = mapped(remote_fields={"column": "x"})
    assert body(mapping, x=json.dumps(fields) if as_text else fields)["remote_fields"] == fields


def test_remote_fields_may_be_a_template():
    """A template can build the JSON text from columns."""
    mapping = mapped(remote_fields='{"icims": {"assessment_package_id": "{{ x }}"}}')
    assert body(mapping, x=7.0)["remote_fields"] == {"icims": {"assessment_package_id": "7"}}


@pytest.mark.parametrize("missing", [*MISSING, "null"], ids=repr)
def test_missing_remote_fields_are_left_out(missing):
    """Nothing stands for what is not there."""
    assert "remote_fields" not in body(mapped(remote_fields={"column": "x"}), x=missing)


def nested(depth):
    fields = leaf = {}
    for _ in range(depth):
        leaf["a"] = leaf = {}
    return {"x-ats": fields}


ITSELF = {}
ITSELF["x-ats"] = ITSELF


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
    """What is no JSON, or no object, is never sent in part."""
    error = outcome(mapped(remote_fields={"column": "x"}), x=value).error
    assert (error.code, error.field, error.reason) == ("invalid_field", "remote_fields", reason)


@pytest.mark.parametrize("as_text", [False, True], ids=["object", "text"])
@pytest.mark.parametrize("depth", [100, 250, 300, 900])
def test_deep_remote_fields_cost_one_row_at_most(depth, as_text):
    """However deep the JSON is, it arrives whole or its row is `invalid`; no other row suffers."""
    fields = nested(depth)
    value = json.dumps(fields) if as_text else fields
    made = outcome(mapped(remote_fields={"column": "x"}), x=value)
    if isinstance(made, RowRequest):
        assert json.loads(made.body)["remote_fields"] == fields
    else:
        assert (made.error.code, made.error.field) == ("invalid_field", "remote_fields")
        assert depth > 200


def test_a_wrong_remote_field_is_named_by_its_path():
    """A documented member of a wrong type is told by its path, not by its value."""
    fields = '{"oracle": {"override_document_category": "CV"}}'
    error = outcome(mapped(remote_fields={"column": "x"}), x=fields).error
    assert error.field == "remote_fields.oracle.override_document_category"
    assert "IRC_CANDIDATE_RESUME" in error.reason
    assert "CV" not in error.reason


# Any row ----------------------------------------------------------------------------------------

HOSTILE_TEXT = st.text(st.characters(), max_size=12) | st.sampled_from(
    [
        "nan", "None", " NaT ", "<NA>", "inf", "1e400", "Infinity", "sNaN", "..", ".", "\x00", HALF,
        "x" * 300, "ü" * 200, "javascript:alert(1)", "https://example.com/r", "2026-11-03",
        "{}", "[NaN]", '{"icims": {"assessment_package_id": 1}}', '{"x-ats": null}',
    ]
)  # fmt: skip
HOSTILE = st.one_of(
    HOSTILE_TEXT,
    st.sampled_from(
        [
            *MISSING, float("inf"), float("-inf"), Decimal("Infinity"), Decimal("sNaN"),
            np.float32("inf"), np.float64("-inf"), np.array([1.0, np.nan]), np.array([]),
            np.datetime64("2026-11-03", "ns"), np.timedelta64(1, "ns"), np.timedelta64("NaT"),
            pd.Series([np.nan, 1]), pd.Series([np.nan]), pd.Timestamp("2026-11-03"),
            pd.Timedelta(1), np.bool_(0), b"\x00\xff", (), set(), 1j, object(), 10**5_000, ITSELF,
            nested(300),
        ]
    ),
    st.integers(),
    st.floats(),
    st.decimals(),
    st.booleans(),
    st.dates(),
    st.datetimes(),
    st.timedeltas(),
    st.lists(st.floats() | st.none(), max_size=2),
    st.dictionaries(HOSTILE_TEXT, st.floats() | st.none() | HOSTILE_TEXT, max_size=2),
)  # fmt: skip
EVERYTHING = mapped(
    {
        "text": {"column": "x"},
        "percent": {"column": "x", "format": "percent"},
        "share": {"column": "x", "format": "percent", "of": "y"},
        "duration": {"column": "x", "format": "duration"},
        "date": {"column": "y", "format": "date"},
        "template": "{{ x }} of {{ y }}",
        "joined": "{{ x ~ y }}",
    },
    custom_field_name_prefix={"column": "prefix"},
    remote_fields={"column": "remote"},
)
PARTS = [
    mapped({key: EVERYTHING.attributes[key]}, custom_field_name_prefix="{{ prefix }}")
    for key in EVERYTHING.attributes
]
HOSTILE_ROW = st.fixed_dictionaries(
    {
        **{name: st.just(ROW[name]) | HOSTILE for name in ROW},
        **dict.fromkeys(["x", "y"], HOSTILE),
        "prefix": st.just("P") | HOSTILE,
        "remote": st.none() | HOSTILE,
    }
)
NEVER_SENT = ("nan", "none", "nat", "<na>", "inf", "object at 0x")


def strings_in(value, depth=0):
    """Give the texts of a row's value: they are sent as they are, whatever they say."""
    if isinstance(value, str):
        return [value.lower()]
    if isinstance(value, dict) and depth < 3:
        parts = [part for pair in value.items() for part in pair]
        return [text for part in parts for text in strings_in(part, depth + 1)]
    return []


@settings(unhurried, max_examples=300)
@given(
    HOSTILE_ROW, st.sampled_from([EVERYTHING, *PARTS, mapped(remote_fields={"column": "remote"})])
)
@example({**ROW, "assessment_date": pd.NaT}, mapped())
@example({**ROW, "candidate_id": float("inf")}, mapped())
@example({**ROW, "candidate_id": 10**5_000, "result_id": None}, mapped())
@example({**ROW, "x": float("inf"), "y": 1}, mapped({"joined": "{{ x ~ y }}"}))
@example({**ROW, "remote": nested(300)}, mapped(remote_fields={"column": "remote"}))
def test_any_row_is_a_clean_request_or_an_invalid_row(row, mapping):
    """Nothing else is raised, and no `nan`, `None`, `NaT`, `<NA>` or `inf` of our making leaves."""
    (one,) = [made for part in mapping.deliveries([row], "workday:0") for made in part]
    assert one.assessment_date is None or isinstance(one.assessment_date.toordinal(), int)
    if not isinstance(one, RowRequest):
        assert isinstance(one.error, RowError)
        return
    sent = json.loads(one.body)
    details = sent.get("details", {"custom_field_name_prefix": "", "attributes": []})
    texts = [sent["label"], sent["url"], details["custom_field_name_prefix"], one.path]
    texts += [attribute["value"] for attribute in details["attributes"]]
    own = [text for value in row.values() for text in strings_in(value)]
    for word in NEVER_SENT:
        if not any(word in text for text in own):
            assert not [text for text in texts if word in text.lower()]


CANARY = "Zq7canary"
CANARIES = st.sampled_from(
    [
        CANARY, f"{CANARY}\x00", f"{CANARY}{HALF}", f"https://{CANARY} x", f"https://[{CANARY}",
        f"javascript:{CANARY}", f"{CANARY}/.." * 99, CANARY.encode(), [CANARY], {CANARY: 1},
        (CANARY,), {1: {CANARY: float("nan")}}, {"oracle": CANARY}, {"talent360": {CANARY: 1}},
        {"icims": {"assessment_package_id": [CANARY]}}, f'{{"oracle": {{"{CANARY}": NaN}}}}',
        f'{{"greenhouse": {{"post_headers": "{CANARY}"}}}}', f'["{CANARY}"]', f'{{"{CANARY}',
        np.array([CANARY, CANARY]), pd.Series([CANARY, CANARY]),
    ]
)  # fmt: skip


@settings(unhurried, max_examples=300)
@given(
    st.fixed_dictionaries(
        {
            **{name: st.just(ROW[name]) | CANARIES for name in ROW},
            **dict.fromkeys(["x", "y", "prefix", "remote"], st.just(7) | CANARIES),
        }
    ),
    st.sampled_from([EVERYTHING, *PARTS, mapped(remote_fields={"column": "remote"})]),
)
def test_messages_never_quote_a_row(row, mapping):
    """What a row holds may be a person's: no error's message, field or reason has any of it."""
    _, invalid = mapping.deliveries([row], None)
    for one in invalid:
        assert CANARY not in repr((str(one.error), one.error.args, one.error.__dict__))


@pytest.mark.parametrize(
    ("template", "columns"),
    [
        ("{{ day.fromisoformat(x) }}", {"day": date(2026, 11, 3)}),
        ("{{ x.encode('ascii').decode('utf-16') }}", {}),
        ("{{ lookup[x] / 0 }}", {"lookup": {CANARY: 1}}),
        ("{{ day.strptime(x, '%Y') }}", {"day": datetime(2026, 11, 3)}),
    ],
)
def test_messages_of_a_templates_failure_do_not_quote_a_row_either(template, columns):
    """Python's own errors quote what they could not read; ours do not pass that on."""
    assert CANARY not in refused(template, x=CANARY, **columns)


def test_one_bad_row_costs_no_other():
    """Good rows go on in their order, each bad one is told, and none is lost."""
    rows = [{**ROW, "result_id": f"r{number}"} for number in range(9)]
    for row in rows[::3]:
        row["url"] = "no address"
    deliveries, invalid = mapped().deliveries(rows, None)
    assert [one.key.result_id for one in deliveries] == ["r1", "r2", "r4", "r5", "r7", "r8"]
    assert [one.key.result_id for one in invalid] == ["r0", "r3", "r6"]
    assert {str(one.error) for one in invalid} == {
        "url: must be a whole http:// or https:// address without blanks"
    }


@pytest.mark.parametrize(
    ("value", "day"),
    [
        (date(2026, 11, 3), date(2026, 11, 3)),
        (datetime(2026, 11, 3, 23, 59), date(2026, 11, 3)),
        (pd.Timestamp("2026-11-03 05:00"), date(2026, 11, 3)),
        ("2026-11-03", date(2026, 11, 3)),
        ("2026-11-03 17:05:09", date(2026, 11, 3)),
        ("soon", None),
        (7, None),
        *((missing, None) for missing in MISSING),
    ],
    ids=repr,
)
def test_the_day_of_a_row_is_a_day_or_nothing(value, day):
    """A row without a readable day is delivered all the same, and its status has no day."""
    got = outcome(mapped(), assessment_date=value).assessment_date
    assert (type(got), got) == (type(day), day)


# Keys -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "key"),
    [
        ({}, ("workday:1", "candidate", "c1", "r1")),
        ({"application_id": "a1"}, ("workday:1", "application", "a1", "r1")),
        ({"application_id": "a1", "candidate_id": None}, ("workday:1", "application", "a1", "r1")),
        ({"application_id": " "}, ("workday:1", "candidate", "c1", "r1")),
        ({"application_id": float("nan")}, ("workday:1", "candidate", "c1", "r1")),
        ({"candidate_id": " c1\n", "result_id": " r1 "}, ("workday:1", "candidate", "c1", "r1")),
        ({"integration_id": None}, ("default:1", "candidate", "c1", "r1")),
        ({"integration_id": " "}, ("default:1", "candidate", "c1", "r1")),
        ({"candidate_id": 95.0, "result_id": 7}, ("workday:1", "candidate", "95", "7")),
        ({"result_id": UUID(int=1)}, ("workday:1", "candidate", "c1", str(UUID(int=1)))),
        ({"candidate_id": "größe/試"}, ("workday:1", "candidate", "größe/試", "r1")),
        ({"candidate_id": "x" * 255}, ("workday:1", "candidate", "x" * 255, "r1")),
    ],
)
def test_a_rows_key(columns, key):
    """The application wins over the candidate, blanks are no ids, and 95.0 is the id 95."""
    assert key_of({**ROW, **columns}, "default:1") == (LinkKey(*key), None)


@pytest.mark.parametrize(
    ("columns", "code", "field"),
    [
        ({"integration_id": None}, "missing_field", "integration_id"),
        ({"result_id": " "}, "missing_field", "result_id"),
        ({"candidate_id": pd.NA}, "missing_field", "candidate_id"),
        ({"integration_id": "größe:1"}, "invalid_field", "integration_id"),
        ({"application_id": "."}, "invalid_field", "application_id"),
        *(
            ({name: value}, "invalid_field", name)
            for name in KEY_COLUMNS
            for value in ("..", "a\x00b", "a\nb", "a\x7f", HALF, "a\u2028b", "x" * 256, "ü" * 128)
        ),
        *(
            ({"candidate_id": value}, "invalid_field", "candidate_id")
            for value in (float("inf"), float("-inf"), b"abc", ["a"], {"a": 1}, object())
        ),
    ],
    ids=lambda value: repr(value).partition(" at 0x")[0][:40],
)
def test_an_id_that_cannot_travel_makes_the_row_invalid(columns, code, field):
    """Blank, oversized, unprintable and dotted ids, and what is no id at all, are named."""
    error = outcome(mapped(), **columns).error
    assert (error.code, error.field) == (code, field)


@unhurried
@given(st.fixed_dictionaries(dict.fromkeys(KEY_COLUMNS, HOSTILE)), HOSTILE_TEXT | st.none())
def test_every_row_has_a_key_that_a_database_can_hold(ids, default):
    """Whatever the ids are, the key is printable, at most 255 bytes a part, and always the same."""
    key, _ = key_of(ids, default)
    for part in (key.integration_id, key.target_type, key.target_id, key.result_id):
        assert len(part.encode()) <= 255
        assert part.isprintable()
    assert key.result_id
    assert key_of(ids, default)[0] == key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"result_id": None, "x": 1}, {"result_id": None, "x": 2}),
        ({"result_id": "", "candidate_id": "c1"}, {"result_id": "", "candidate_id": None}),
        ({"result_id": "x" * 300}, {"result_id": "x" * 301}),
        ({"result_id": "a\x00"}, {"result_id": "a\x01"}),
        ({"result_id": b"a"}, {"result_id": b"b"}),
        ({"candidate_id": b"a"}, {"candidate_id": b"b"}),
        ({"result_id": f"a{HALF}"}, {"result_id": "a\N{REPLACEMENT CHARACTER}"}),
        ({"result_id": "1", "application_id": "7"}, {"result_id": "1", "candidate_id": "7"}),
    ],
)
def test_rows_that_differ_have_keys_that_differ(one, other):
    """No row's status stands in for another's, even where neither has an id that can be kept."""
    assert key_of({**ROW, **one}, None)[0] != key_of({**ROW, **other}, None)[0]


def test_a_row_without_a_result_id_keeps_its_key():
    """The same row has the same stand-in tomorrow, in whatever order its columns come."""
    row = {**ROW, "result_id": None, "score": 95.0}
    key, error = key_of(row, None)
    assert key.result_id.startswith("missing:")
    assert error.code == "missing_field"
    assert key_of(dict(reversed(row.items())), None)[0] == key


# A mapping that cannot be used ------------------------------------------------------------------

GOOD = {"label": "{{ name }}", "url": {"column": "url"}}


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({**GOOD, "atributes": {}}, "atributes is not known (did you mean 'attributes'?)"),
        ({**GOOD, "attributes": {"A": {"column": "x", "fromat": "date"}}}, "'format'"),
        ({**GOOD, "url": {"colum": "url"}}, "did you mean 'column'?"),
        ({**GOOD, "attributes": {"A": {"column": "x", "format": "money"}}}, "attributes.A"),
        ({**GOOD, "attributes": {2: "x"}}, "attributes.2"),
        ({**GOOD, "attributes": {" ": "x"}}, "attributes"),
        ({**GOOD, "attributes": ["Score"]}, "attributes"),
        ({"label": "x"}, "url: Field required"),
        ({**GOOD, "label": 7}, "label"),
        ({**GOOD, "label": "{{ name"}, "broken template"),
        ({**GOOD, "label": "{% if name %}"}, "broken template"),
        ({**GOOD, "attributes": {"A": "{{ x|nosuchfilter }}"}}, "nosuchfilter"),
        (None, "the whole"),
        ([], "the whole"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_a_mapping_that_cannot_be_used_says_where(declared, message):
    """A typo is found before any row is read, named by its place, with what was probably meant."""
    with pytest.raises(MappingError) as raised:
        ResultLinkMapping.parse(declared)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    "content", [b"label: [", b"\xff", b"label: 2026-02-30", b"label: !!python/object:x.y {}", b""]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, content):
    """Broken YAML, wrong bytes, impossible dates and no content name the file, as does no file."""
    path = tmp_path / "mapping.yaml"
    with pytest.raises(MappingError, match=r"mapping\.yaml"):
        ResultLinkMapping.load(path)
    path.write_bytes(content)
    with pytest.raises(MappingError, match=r"mapping\.yaml"):
        ResultLinkMapping.load(path)


def test_a_column_that_is_not_there_is_named_with_its_neighbour():
    """A misspelt column is told with the field that reads it and the name probably meant."""
    mapping = mapped({"Score": {"column": "scor", "format": "percent", "of": "max_scor"}})
    with pytest.raises(MappingError) as raised:
        mapping.check([*ROW, "score", "max_score"])
    message = str(raised.value)
    assert "'scor' (for attributes.Score) (did you mean 'score'?)" in message
    assert "'max_scor' (for attributes.Score) (did you mean 'max_score'?)" in message


@pytest.mark.parametrize("name", KEY_COLUMNS)
def test_key_columns_are_needed_whatever_the_mapping_reads(name):
    """Rows without a key's column cannot be delivered, however good the mapping is."""
    with pytest.raises(MappingError, match=name):
        mapped().check([column for column in ROW if column != name])


def test_a_column_that_a_template_reads_is_checked_too():
    """A template's columns are known before any row is read, and its own variables are none."""
    mapping = mapped({"A": "{% set y = x %}{{ y }}{% for i in range(2) %}{{ i }}{% endfor %}"})
    mapping.check([*ROW, "x"])
    with pytest.raises(MappingError, match=r"'x' \(for attributes\.A\)"):
        mapping.check(ROW)


# Another label per ATS --------------------------------------------------------------------------

BY_TOOL = """
label: "{{ name }}"
url: {column: url}
attributes: &all
  Score: {column: score}
  Duration: {column: duration}
remote_fields: {column: remote}
tools:
  workday: {label: "Assessment {{ name }}"}
  greenhouse:
    attributes: {<<: *all, Score: "{{ score }} points"}
    remote_fields: null
  lever: {attributes: {}}
"""
SHOWN = {"score": 95.0, "duration": 60, "remote": {"x": 1}}


@pytest.mark.parametrize(
    ("integration_id", "label", "attributes", "remote"),
    [
        ("other:1", "Coding", {"Score": "95", "Duration": "60"}, True),
        ("workday", "Assessment Coding", {"Score": "95", "Duration": "60"}, True),
        ("workday:a:b", "Assessment Coding", {"Score": "95", "Duration": "60"}, True),
        ("workdayx:1", "Coding", {"Score": "95", "Duration": "60"}, True),
        ("greenhouse:1", "Coding", {"Score": "95 points", "Duration": "60"}, False),
        ("lever:1", "Coding", {}, True),
    ],
)
def test_a_tools_section_takes_the_place_of_what_it_names(
    tmp_path, integration_id, label, attributes, remote
):
    """A section holds for its tool's integrations, each part whole; the rest is the general one."""
    (tmp_path / "mapping.yaml").write_text(BY_TOOL)
    mapping = ResultLinkMapping.load(tmp_path / "mapping.yaml")
    sent = body(mapping, integration_id=integration_id, **SHOWN)
    details = sent.get("details", {"attributes": []})
    assert sent["label"] == label
    assert {one["key"]: one["value"] for one in details["attributes"]} == attributes
    assert ("remote_fields" in sent) is remote


def test_the_defaults_tool_counts():
    """A row without an integration takes the default's, and so its tool's section."""
    mapping = mapped(tools={"workday": {"label": "For Workday"}})
    ((one,), _) = mapping.deliveries([{**ROW, "integration_id": None}], "workday:default")
    assert json.loads(one.body)["label"] == "For Workday"


@pytest.mark.parametrize(
    ("tools", "message"),
    [
        ({"workday": {"label": "{{ name"}}, "broken template: tools.workday.label: "),
        (
            {"lever": {"attributes": {"A": "{{ x|nofilter }}"}}},
            "broken template: tools.lever.attributes.A: ",
        ),
        ({"workday": {"lable": "x"}}, "tools.workday.lable is not known (did you mean 'label'?)"),
        ({"workday": {"url": None}}, "tools.workday.url"),
        ({"workday": {"tools": {}}}, "tools.workday.tools is not known"),
        ({"workday": {"attributes": ["A"]}}, "tools.workday.attributes"),
        ({"workday": "x"}, "tools.workday: must be"),
        ({"workday": None}, "tools.workday: must be"),
        ({"workday:abc": {}}, "tools.workday:abc: must be"),
        ({"Workday": {}}, "tools.Workday: must be"),
        ({7: {}}, "tools.7: must be"),
        (["workday"], "tools.: must be"),
    ],
    ids=repr,
)
def test_a_section_that_cannot_be_used_is_named(tools, message):
    """What is wrong in a section is found when the mapping is loaded, and told with its tool."""
    with pytest.raises(MappingError) as raised:
        mapped(tools=tools)
    assert message in str(raised.value)


def test_a_section_is_named_with_the_column_that_it_misses():
    """A column that only a section reads is checked, and is not asked of the other parts."""
    mapping = mapped(tools={"lever": {"label": "{{ nam }}"}, "workday": {"attributes": {}}})
    with pytest.raises(MappingError) as raised:
        mapping.check(ROW)
    message = str(raised.value)
    assert "'nam' (for tools.lever.label) (did you mean 'name'?)" in message
    assert message.count("(for ") == 1
