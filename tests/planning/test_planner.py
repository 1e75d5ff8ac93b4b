"""Planner of a run: one action for each row."""

from __future__ import annotations

import pytest
from sqlalchemy import event
from support.harness import MAPPING, row

from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.planning.planner import Planner
from airflow_kombo.rows.result_link_mapping import ResultLinkMapping
from airflow_kombo.rows.source import Selection
from airflow_kombo.rows.task_source import TaskSource


def planner_of(engine, tables, rows, **selected):
    selection = Selection(**selected)
    mapping, ledger = ResultLinkMapping.load(MAPPING), Ledger(engine, tables)
    return Planner(TaskSource(rows, selection), mapping, ledger, selection, None)


def test_a_limit_is_spread_over_the_integrations(warehouse, tables):
    """A run with a limit takes the integrations in order until the limit is used up."""
    rows = [row(f"{name}{n}", integration_id=name) for name in "bac" for n in range(3)]
    assert planner_of(warehouse, tables, rows).plan() == {"a": 3, "b": 3, "c": 3}
    assert planner_of(warehouse, tables, rows, limit=4).plan() == {"a": 3, "b": 1}
    assert planner_of(warehouse, tables, rows, limit=4).sent() == 4
    assert planner_of(warehouse, tables, rows, limit=99).plan() == {"a": 3, "b": 3, "c": 3}


def test_a_limit_counts_only_rows_to_send(warehouse, tables):
    """Invalid rows do not use up a limit; duplicates do, since one of the two may be sent."""
    rows = [row(f"r{number}") for number in range(9)]
    rows[0]["result_url"] = rows[2]["result_url"] = "ftp://results.example"
    rows[3] |= {name: rows[1][name] for name in ("candidate_id", "result_url")}
    assert planner_of(warehouse, tables, rows, limit=1).plan() == {"workday:one": 2}
    assert planner_of(warehouse, tables, rows, limit=2).plan() == {"workday:one": 4}
    assert planner_of(warehouse, tables, rows, limit=2).sent() == 1
    assert planner_of(warehouse, tables, rows, limit=3).plan() == {"workday:one": 5}


@pytest.mark.parametrize("warehouse", ["sqlite"], indirect=True)
def test_a_lookup_has_a_bounded_number_of_parameters(warehouse, tables):
    """A task with more rows than a statement may have parameters is looked up in parts."""
    lengths = []

    @event.listens_for(warehouse, "before_cursor_execute")
    def listen(_connection, _cursor, _statement, parameters, *_):
        lengths.append(len(parameters))

    rows = [row(f"r{number}") for number in range(12_000)]
    assert planner_of(warehouse, tables, rows, limit=11_999).plan() == {"workday:one": 11_999}
    assert 1_000 < max(lengths) <= 32_766
