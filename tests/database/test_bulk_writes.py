"""Bulk writes: rows as one JSON text on PostgreSQL, row by row elsewhere."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import JSON, Column, Date, Integer, MetaData, Table, select, update

from airflow_kombo.database.bulk_writes import Bulk
from airflow_kombo.database.dialects.columns import ID, LONG_TEXT, TABLE_OPTIONS

THINGS = Table(
    "things",
    MetaData(),
    Column("name", ID, primary_key=True),
    Column("day", Date),
    Column("number", Integer),
    Column("notes", JSON(none_as_null=True)),
    Column("text", LONG_TEXT),
    **TABLE_OPTIONS,
)
TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"))
ROWS = st.lists(
    st.fixed_dictionaries(
        # MySQL pads texts with blanks to compare them; no id ends in one.
        {"name": TEXT.filter(lambda text: len(text.encode()) < 200 and not text.endswith(" "))},
        optional={
            "day": st.dates(),
            "number": st.integers(-(2**31), 2**31 - 1),
            "notes": st.none() | st.lists(TEXT, min_size=1),
            "text": st.none() | TEXT,
        },
    ),
    unique_by=lambda row: row["name"],
    max_size=8,
)


@pytest.fixture
def things(warehouse):
    THINGS.create(warehouse)
    return warehouse


@given(rows=ROWS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_rows_arrive_as_they_are(things, rows):
    """Text, dates, numbers and JSON are the same in the table; a missing value is NULL."""
    bulk = Bulk(things, THINGS.c)
    with things.begin() as connection:
        connection.execute(THINGS.delete())
        bulk.execute(connection, rows, bulk.insert(THINGS, bulk.c))
        found = {row.name: row._asdict() for row in connection.execute(select(THINGS))}
    nothing = dict.fromkeys(THINGS.c.keys())
    assert found == {row["name"]: nothing | row for row in rows}


def test_rows_that_changed_are_counted(things):
    """The number counts the rows changed by the statement, not the given ones."""
    bulk = Bulk(things, THINGS.c)
    mend = (
        update(THINGS)
        .where(THINGS.c.name == bulk.c["name"], THINGS.c.number == bulk.c["number"])
        .values(day=bulk.c["day"])
    )
    day = date(2026, 11, 3)
    with things.begin() as connection:
        rows = [{"name": name, "number": 1} for name in "abc"]
        bulk.execute(connection, rows, bulk.insert(THINGS, bulk.c))
        given = [
            {"name": "a", "number": 1, "day": day},
            {"name": "b", "number": 2, "day": day},
            {"name": "x", "number": 1, "day": day},
        ]
        assert bulk.execute(connection, given, mend) == [1]
        days = {one.name: one.day for one in connection.execute(select(THINGS))}
    assert days == {"a": day, "b": None, "c": None}


def test_no_rows_are_no_statement(things):
    """Without rows no statement is sent to the database."""
    bulk = Bulk(things, THINGS.c)
    assert bulk.execute(None, [], bulk.insert(THINGS, bulk.c)) == [0]
