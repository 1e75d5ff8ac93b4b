"""Planner of a run: one action for each row."""

from __future__ import annotations

import pytest
from sqlalchemy import event, func, insert
from support.harness import MAPPING, mapped_rows, requests_of, row

from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.planning.planner import Planner
from airflow_kombo.rows.result_link_mapping import ResultLinkMapping
from airflow_kombo.rows.source import Selection
from airflow_kombo.rows.task_source import TaskSource
from airflow_kombo.statuses import BINDING, MEANINGS, SENT_AGAIN, SENT_WHEN_CHANGED, Action, Status


def planner_of(engine, tables, rows, **selected):
    selection = Selection(**selected)
    rows = mapped_rows(TaskSource(rows), selection)
    return Planner(rows, Ledger(engine, tables), selection)


def actions(engine, tables, **changes):
    """Plan rows that have a status each, named after it, and return their actions."""
    mapping = ResultLinkMapping.load(MAPPING)
    requests, _ = requests_of(mapping, [row(name) for name in Status])
    with engine.begin() as connection:
        connection.execute(tables.links.delete())
        for one in requests:
            values = {"status": one.key.result_id, "request_hash": one.request_hash}
            values |= {"attempts": 1, "run_id": "x", "updated_at": func.current_timestamp()}
            connection.execute(insert(tables.links).values(one.key.columns | values))
    rows = [row(name, **changes) for name in Status]
    planned = [one for _, page in planner_of(engine, tables, rows).rows() for one in page]
    return {Status(one.key.result_id): one.action for one in planned}


def test_the_actions_follow_from_the_table_of_statuses(warehouse, tables):
    """Any status has an action: of the same request, of another one, and of an invalid row."""
    same = {status: meaning.action for status, meaning in MEANINGS.items()}
    kept = {status: same[status] for status in BINDING} | {Status.SUCCESS: Action.CHANGED}
    sent = dict.fromkeys(SENT_AGAIN | SENT_WHEN_CHANGED, Action.SEND)
    assert actions(warehouse, tables) == same
    assert actions(warehouse, tables, assessment_name="Another") == kept | sent
    invalid = dict.fromkeys(sent, Action.INVALID)
    assert actions(warehouse, tables, result_url="nowhere") == kept | invalid


def test_a_limit_is_spread_over_the_integrations(warehouse, tables):
    """A run with a limit takes the integrations in order until the limit is used up."""
    rows = [row(f"{name}{n}", integration_id=name) for name in "bac" for n in range(3)]
    assert planner_of(warehouse, tables, rows).plan() == {"a": 3, "b": 3, "c": 3}
    assert planner_of(warehouse, tables, rows, limit=4).plan() == {"a": 3, "b": 1}
    assert sum(planner_of(warehouse, tables, rows, limit=4).sent().values()) == 4
    assert planner_of(warehouse, tables, rows, limit=99).plan() == {"a": 3, "b": 3, "c": 3}


def test_a_limit_counts_only_rows_to_send(warehouse, tables):
    """Invalid rows do not use up a limit; duplicates do, since one of the two may be sent."""
    rows = [row(f"r{number}") for number in range(9)]
    rows[0]["result_url"] = rows[2]["result_url"] = "ftp://results.example"
    rows[3] |= {name: rows[1][name] for name in ("candidate_id", "result_url")}
    assert planner_of(warehouse, tables, rows, limit=1).plan() == {"workday:one": 2}
    assert planner_of(warehouse, tables, rows, limit=2).plan() == {"workday:one": 4}
    assert sum(planner_of(warehouse, tables, rows, limit=2).sent().values()) == 1
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
