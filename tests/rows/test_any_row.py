"""Any row becomes a request or an invalid row, without a quote of personal data."""

from __future__ import annotations

import json
from datetime import date, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.harness import requests_of
from support.mappings import HALF, HOSTILE, ROW, mapped, nested, refused, unhurried
from support.quick import examples

from airflow_kombo.exceptions import RowError
from airflow_kombo.kombo_api.request import RowRequest

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
    """Return the texts in a row's value: they are sent unchanged."""
    if isinstance(value, str):
        return [value.lower()]
    if isinstance(value, dict) and depth < 3:
        parts = [part for pair in value.items() for part in pair]
        return [text for part in parts for text in strings_in(part, depth + 1)]
    return []


@settings(unhurried, max_examples=examples(300))
@given(
    HOSTILE_ROW, st.sampled_from([EVERYTHING, *PARTS, mapped(remote_fields={"column": "remote"})])
)
@example({**ROW, "assessment_date": pd.NaT}, mapped())
@example({**ROW, "candidate_id": float("inf")}, mapped())
@example({**ROW, "candidate_id": 10**5_000, "result_id": None}, mapped())
@example({**ROW, "x": float("inf"), "y": 1}, mapped({"joined": "{{ x ~ y }}"}))
@example({**ROW, "remote": nested(300)}, mapped(remote_fields={"column": "remote"}))
def test_any_row_is_a_clean_request_or_an_invalid_row(row, mapping):
    """Any row is `invalid`, or a request without our `nan`, `None`, `NaT`, `<NA>` or `inf`."""
    (one,) = [made for part in requests_of(mapping, [row], "workday:0") for made in part]
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


@settings(unhurried, max_examples=examples(300))
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
    """No error's message, field or reason has any personal data of a row."""
    _, invalid = requests_of(mapping, [row])
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
    """A message does not pass on the values in Python's own errors."""
    assert CANARY not in refused(template, x=CANARY, **columns)


def test_one_bad_row_costs_no_other():
    """Good rows keep their order, each bad row has an error, and no row is lost."""
    rows = [{**ROW, "result_id": f"r{number}"} for number in range(9)]
    for row in rows[::3]:
        row["url"] = "no address"
    requests, invalid = requests_of(mapped(), rows)
    assert [one.key.result_id for one in requests] == ["r1", "r2", "r4", "r5", "r7", "r8"]
    assert [one.key.result_id for one in invalid] == ["r0", "r3", "r6"]
    assert {str(one.error) for one in invalid} == {
        "url: must be a whole http:// or https:// address without blanks"
    }
