"""Keys and days of rows."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.mappings import HALF, HOSTILE, HOSTILE_TEXT, MISSING, ROW, mapped, outcome, unhurried

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.kombo_api.result_link import RESULT_LINKS
from airflow_kombo.rows.row_keys import key_of

KEY_COLUMNS = RESULT_LINKS.key_columns


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
    """A row without a readable day is delivered, and the status row has no day."""
    got = outcome(mapped(), assessment_date=value).assessment_date
    assert (type(got), got) == (type(day), day)


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
        ({"candidate_id": "x" * 250}, ("workday:1", "candidate", "x" * 250, "r1")),
    ],
)
def test_a_rows_key(columns, key):
    """An application is preferred to a candidate, blanks are no ids, and 95.0 is the id 95."""
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
            for value in ("..", "a\x00b", "a\nb", "a\x7f", HALF, "a\u2028b", "x" * 251, "ü" * 128)
        ),
        *(
            ({"candidate_id": value}, "invalid_field", "candidate_id")
            for value in (float("inf"), float("-inf"), b"abc", ["a"], {"a": 1}, object())
        ),
    ],
    ids=lambda value: repr(value).partition(" at 0x")[0][:40],
)
def test_an_id_that_cannot_travel_makes_the_row_invalid(columns, code, field):
    """A blank, long, unprintable or dotted id, or a value of another type, is named."""
    error = outcome(mapped(), **columns).error
    assert (error.code, error.field) == (code, field)


@unhurried
@given(st.fixed_dictionaries(dict.fromkeys(KEY_COLUMNS, HOSTILE)), HOSTILE_TEXT | st.none())
def test_every_row_has_a_key_that_a_database_can_hold(ids, default):
    """A key is printable, at most 250 bytes a part, and always the same, for any ids."""
    key, _ = key_of(ids, default)
    for part in (key.integration_id, key.target_type, key.target_id, key.result_id):
        assert len(part.encode()) <= 250
        assert part.isprintable()
        assert part == part.strip(" ")  # MySQL's comparison takes no notice of blanks at the end
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
    """Two different rows never share a key, even without usable ids."""
    assert key_of({**ROW, **one}, None)[0] != key_of({**ROW, **other}, None)[0]


def test_a_row_without_a_result_id_keeps_its_key():
    """A row without a result id has the same key again, in any order of the columns."""
    row = {**ROW, "result_id": None, "score": 95.0}
    key, error = key_of(row, None)
    assert key.result_id.startswith("missing:")
    assert error.code == "missing_field"
    assert key_of(dict(reversed(row.items())), None)[0] == key
