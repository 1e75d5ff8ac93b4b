"""Texts of a row's values: columns, formats and templates."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from support.mappings import HALF, MISSING, body, mapped, outcome, refused, shown

from airflow_kombo.kombo_api.request import RowRequest


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
    """Infinities, endless numbers, bytes, containers and nanoseconds make the row `invalid`."""
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
    """A template joins, computes and has defaults; values look like those of a column."""
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
    """Any error of a template makes the row `invalid` or drops the text."""
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
    """NULL, NaN, NaT, NA and blank text drop one attribute and nothing else."""
    sent = body(mapped({"A": source, "B": "kept"}), x=missing, y=7)
    assert sent["details"]["attributes"] == [{"key": "B", "value": "kept"}]
    assert "details" not in body(mapped({"A": source}), x=missing, y=7)


@pytest.mark.parametrize("missing", MISSING, ids=repr)
@pytest.mark.parametrize("field", ["label", "url"])
def test_a_missing_label_or_url_makes_the_row_invalid(field, missing):
    """A link needs a label and a URL; the message names the field and the fix."""
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
    """A percentage of a hundred, or of a whole, has at most one decimal place."""
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
    """Seconds and intervals are written as hours and minutes."""
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
    """A date, a time and a text of either are written as the day."""
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
    """A value in a wrong format makes the row `invalid`, with a useful reason."""
    assert reason in refused({"column": "x", **source}, **columns)
