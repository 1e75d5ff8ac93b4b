"""Rows as frames: cells stay unchanged, and no row changes another."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.mappings import HOSTILE, MISSING, ROW, mapped, unhurried

from airflow_kombo.rows.frames import cells, frame_of, frame_of_records, row_at
from airflow_kombo.rows.query_source import QuerySource
from airflow_kombo.rows.row_keys import key_of, keys_of
from airflow_kombo.rows.source import Selection

BERLIN = timezone(timedelta(hours=1))
NOON = datetime(2026, 11, 3, 12, tzinfo=timezone.utc)
VALUES = [
    9007199254740993, 2**63, 1, True, 1.0, "1", Decimal("1.50"), Decimal("1E+40"), NOON,
    NOON.astimezone(BERLIN), date(2026, 11, 3), timedelta(1), UUID(int=1), b"\x00", [1], {"a": 1},
    *MISSING,
]  # fmt: skip
MAPPING = mapped(
    {
        "text": {"column": "x"},
        "share": {"column": "x", "format": "percent", "of": "y"},
        "duration": {"column": "y", "format": "duration"},
        "date": {"column": "x", "format": "date"},
        "template": "{{ x }} of {{ y }}",
        "jinja": "{{ x ~ y }}",
    },
    remote_fields={"column": "y"},
    tools={"lever": {"label": "{{ x }}"}},
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            **{name: st.just(ROW[name]) | HOSTILE for name in ROW},
            "integration_id": st.sampled_from(["workday:1", "lever:2", "", None, "ü:3"]),
            "x": HOSTILE | st.sampled_from(VALUES),
            "y": HOSTILE | st.sampled_from(VALUES),
        }
    ),
    min_size=1,
    max_size=6,
)
EQUAL = [1, True, 1.0, "1", Decimal(1), NOON, NOON.astimezone(BERLIN)]


def outcomes(made):
    """Return what is compared of requests and invalid rows."""
    return [(one.key, str(getattr(one, "error", "")), getattr(one, "body", None)) for one in made]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_cell_stays_the_same_object(value):
    """A cell is neither copied nor converted, beside other types, NULL and NaN."""
    column = [value, None, 1, "a", float("nan"), value]
    frame = frame_of([(one, 1) for one in column], ["x", "y"])
    assert all(one is other for one, other in zip(cells(frame, "x"), column, strict=True))
    assert row_at(frame, 0)["x"] is value


def test_a_column_that_is_not_there_has_no_values():
    """A missing column is None in each row; a value that a dictionary lacks is missing."""
    frame = frame_of_records([{"x": 1}, {"y": 2}])
    assert cells(frame, "z") == [None, None]
    assert cells(frame, "y")[1] == 2
    assert frame.isna()["y"][0]


@pytest.mark.parametrize("warehouse", ["postgresql"], indirect=True)
def test_types_of_postgresql_arrive_to_the_letter(warehouse, tables):
    """Large integers beside NULL, exact numbers, times with a zone and JSON keep their values."""
    sql = """
        SELECT 9007199254740993::bigint AS result_id, 'workday:1' AS integration_id,
            1.10::numeric(9, 2) AS candidate_id, NULL AS application_id,
            '2026-11-03 10:00+01'::timestamptz AS at, '{"a": [1, 1.10]}'::jsonb AS remote
        UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL
    """
    chunks = [*QuerySource(warehouse, tables, sql, {}, selection=Selection()).chunks()]
    rows = [row_at(chunk, place) for chunk in chunks for place in range(len(chunk))]
    (full,) = [one for one in rows if one["result_id"] is not None]
    (empty,) = [one for one in rows if one["result_id"] is None]
    assert (full["result_id"], type(full["result_id"])) == (9007199254740993, int)
    assert str(full["candidate_id"]) == "1.10"
    assert full["at"] == datetime(2026, 11, 3, 9, tzinfo=timezone.utc)
    assert full["remote"] == {"a": [1, 1.1]}
    assert {*empty.values()} == {None}


@unhurried
@given(ROWS)
def test_keys_by_column_are_the_keys_of_the_rows(rows):
    """The keys of a frame are those of each row alone, whatever the cells hold."""
    frame = frame_of_records(rows)
    alone = [key_of(row_at(frame, place), "workday:0") for place in range(len(frame))]
    together = keys_of(frame, "workday:0")
    assert [key for key, _ in together] == [key for key, _ in alone]
    assert [str(wrong) for _, wrong in together] == [str(wrong) for _, wrong in alone]


@unhurried
@given(ROWS)
@example([{**ROW, "x": value, "y": 7} for value in EQUAL])
@example([{**ROW, "x": 1, "y": value} for value in EQUAL])
@example([{**ROW, "x": value, "y": value} for value in [0.0, -0.0, 0, False, Decimal("-0")]])
def test_a_row_among_others_becomes_what_it_becomes_alone(rows):
    """Rows mapped together have the same bytes and errors as each row alone."""
    frame = frame_of_records(rows)
    keys = keys_of(frame, "workday:0")
    alone = [MAPPING.requests(frame.iloc[[place]], [key]) for place, key in enumerate(keys)]
    together = MAPPING.requests(frame, keys)
    assert outcomes(together) == outcomes(one for made in alone for one in made)
