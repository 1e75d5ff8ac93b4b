"""Mappings and rows for tests of the mapping, and strategies for hostile values."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.rows.frames import frame_of_records
from airflow_kombo.rows.result_link_mapping import ResultLinkMapping
from airflow_kombo.rows.row_keys import keys_of

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
    """Return the request of one row, or the invalid row."""
    frame = frame_of_records([{**ROW, **columns}])
    (one,) = mapping.requests(frame, keys_of(frame, None))
    return one


def body(mapping, **columns):
    made = outcome(mapping, **columns)
    assert isinstance(made, RowRequest), made
    return json.loads(made.body)


def shown(source, **columns):
    """Return the text of one attribute, or None for a dropped one."""
    details = body(mapped({"A": source}), **columns).get("details", {"attributes": []})
    return next((attribute["value"] for attribute in details["attributes"]), None)


def refused(source, **columns):
    error = outcome(mapped({"A": source}), **columns).error
    assert (error.code, error.field) == ("invalid_field", "attributes.A")
    return error.reason


def nested(depth):
    fields = leaf = {}
    for _ in range(depth):
        leaf["a"] = leaf = {}
    return {"x-ats": fields}


ITSELF = {}
ITSELF["x-ats"] = ITSELF


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
