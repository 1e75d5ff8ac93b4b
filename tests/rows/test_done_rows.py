"""Rows left out by a lookup in the ledger, as SQL leaves them out."""

from __future__ import annotations

import pytest
from sqlalchemy import func, insert
from support.harness import DAY, SQL, fill, mapped_rows, requests_of, row
from support.mappings import mapped as parsed

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.rows.done_rows import DoneRows
from airflow_kombo.rows.query_source import QuerySource, parameters_of
from airflow_kombo.rows.source import Selection
from airflow_kombo.statuses import CHANGED, REDELIVERABLE, Status


@pytest.fixture
def day(warehouse, tables, source_table):
    """Write a row for each status, one with another target, and 1,500 more."""
    names = [*Status, "moved", *(f"n{number}" for number in range(1_500))]
    rows = [row(name) for name in names]
    fill(warehouse, source_table, rows)
    mapping = parsed(label="x", url="https://a.example")
    requests, _ = requests_of(mapping, rows[: len(Status) + 1])
    with warehouse.begin() as connection:
        for one in requests:
            name = one.key.result_id
            values = {"status": "success" if name == "moved" else name, "request_hash": "x"}
            values |= {"attempts": 1, "run_id": "x", "updated_at": func.current_timestamp()}
            key = one.key._replace(target_id="elsewhere") if name == "moved" else one.key
            connection.execute(insert(tables.links).values(key.columns | values))


@pytest.mark.parametrize(
    "redeliver", [(), *((one,) for one in REDELIVERABLE), tuple(REDELIVERABLE)]
)
def test_a_lookup_leaves_out_what_sql_leaves_out(warehouse, tables, day, redeliver):
    """Two databases give the rows of one: for each status, and for what is sent again."""
    selection = Selection(redeliver=frozenset(redeliver))

    def planned(*, in_sql):
        source = QuerySource(
            warehouse, tables if in_sql else None, SQL, parameters_of(DAY), selection=selection
        )
        done = None if in_sql else DoneRows(warehouse, tables, selection)
        rows = mapped_rows(source, selection, done=done)
        counts = rows.plan()
        return {one.key for name in counts for page in rows.pages(name, 9_999) for one in page}

    by_lookup = planned(in_sql=False)
    assert by_lookup == planned(in_sql=True)
    left_out = {*Status} - {key.result_id for key in by_lookup}
    binding = {"sending", "unknown", "success"}
    assert left_out == binding - {"success" if one == CHANGED else one for one in redeliver}
    assert "moved" in {key.result_id for key in by_lookup}


def test_ids_are_found_by_every_character(warehouse, tables):
    """Two ids that differ in case, accent or blanks inside are two results."""
    ids = ["aB1", "Ab1", "é", "e", "a  b", "a b", "%", "_", "'; DROP TABLE x"]
    keys = [LinkKey("workday:one", "candidate", "c1", one) for one in ids]
    values = {"status": "success", "attempts": 1, "run_id": "x"}
    with warehouse.begin() as connection:
        for key in keys[::2]:
            given = key.columns | values | {"updated_at": func.current_timestamp()}
            connection.execute(insert(tables.links).values(given))
    done = DoneRows(warehouse, tables, Selection())
    assert done.among(keys) == set(keys[::2])
    assert done.among([]) == set()
