"""Unmatched ids: requested from a run, but without a row in the run."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy import event
from support.harness import DAY, all_of, by_result, fill, row, run_day, statuses

from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.rows.task_source import TaskSource


@pytest.fixture(autouse=True)
def log(caplog):
    caplog.set_level(logging.INFO, logger="airflow_kombo")
    return caplog


@pytest.fixture
def day(warehouse, tables, source_table, standin):
    """Write the rows of a day of two integrations."""
    fill(warehouse, source_table, [row("r1"), row("r2", integration_id="lever:two")])


def run(warehouse, tables, *, day=DAY, by_hand=True, **asked):
    ids = {name: frozenset(value) for name, value in asked.items()}
    return run_day(warehouse, tables, day=day, by_hand=by_hand, **ids)


def test_ids_that_match_nothing_are_named(warehouse, tables, day, caplog):
    """The log names ids without a row in source and ledger, and other rows are delivered."""
    report = run(
        warehouse,
        tables,
        result_ids=["r1", "no such", "R2"],
        integration_ids=["workday:one", "wokrday:one"],
    )
    assert report.counts == {"success": 1}
    assert "2 of 3 result_ids match no row that this run reads" in caplog.text
    assert "status table: R2, no such. Check the ids" in caplog.text
    assert "1 of 2 integration_ids match no row" in caplog.text
    assert "status table: wokrday:one. Check" in caplog.text


@pytest.mark.parametrize(
    "asked",
    [
        {"result_ids": ["R1", "r3"]},
        {"integration_ids": ["workday"]},
        {"result_ids": ["r1"], "integration_ids": ["lever:two"]},
    ],
)
def test_a_run_without_any_matching_id_fails(warehouse, tables, day, standin, asked):
    """A run whose requested ids are all unknown fails, and the runs table has the reason."""
    with pytest.raises(ConfigurationError, match="match no row that this run reads, and no row of"):
        run(warehouse, tables, **asked)
    assert standin.stats()["received"] == 0
    (account,) = all_of(warehouse, tables.runs)
    assert "match no row" in account.error


def test_delivered_results_are_known(warehouse, tables, day, standin, caplog):
    """A second run for the same ids succeeds, sends nothing and logs their status."""
    asked = {"result_ids": ["r1"], "integration_ids": ["workday:one"]}
    assert run(warehouse, tables, **asked).counts == {"success": 1}
    assert "match no row" not in caplog.text
    assert run(warehouse, tables, **asked).planned == 0
    message = (
        "1 of the requested results are not among the rows to send. Their status is success: r1"
    )
    assert message in caplog.text
    assert "match no row" not in caplog.text
    assert standin.stats()["received"] == 1


def test_an_integration_may_be_without_rows_today(warehouse, tables, source_table, standin, caplog):
    """An unknown integration fails only a run by hand, since a new one has no rows yet."""
    asked = {"integration_ids": ["workday:new"]}
    assert run(warehouse, tables, by_hand=False, **asked).planned == 0
    assert "1 of 1 integration_ids match no row" in caplog.text
    with pytest.raises(ConfigurationError, match="1 of 1 integration_ids"):
        run(warehouse, tables, **asked)
    fill(warehouse, source_table, [row("r1", integration_id="workday:new")])
    assert run(warehouse, tables, **asked).counts == {"success": 1}
    assert run(warehouse, tables, day=DAY.replace(day=9), **asked).planned == 0


def test_the_log_lists_some_of_many(warehouse, tables, day, caplog):
    """The log lists twenty ids and counts the rest, and one lookup has a thousand ids."""
    asked = []

    @event.listens_for(warehouse, "before_cursor_execute")
    def listen(_connection, _cursor, statement, *_):
        if "DISTINCT" in statement:
            asked.append(statement)

    ids = [f"x{number:05}" for number in range(2_500)]
    run(warehouse, tables, result_ids=["r1", *ids])
    event.remove(warehouse, "before_cursor_execute", listen)
    assert "2500 of 2501 result_ids" in caplog.text
    assert "x00019 and 2,480 more" in caplog.text
    assert "x00020" not in caplog.text
    assert len(asked) == 3


def test_more_ids_than_a_statement_allows_select_their_rows(warehouse, tables, day, source_table):
    """Of 70,000 requested ids, those with a row are delivered, and no other row is."""
    fill(warehouse, source_table, [row("other")])
    run(warehouse, tables, result_ids=["r1", "r2", *map(str, range(70_000))])
    assert set(by_result(warehouse, tables)) == {"r1", "r2"}


def test_ids_select_rows_of_a_task_in_the_same_way(warehouse, tables, standin, caplog):
    """Ids without a row among an upstream task's rows are reported in the same way."""

    def deliver(*result_ids):
        source = TaskSource([row("r1"), row("r2")])
        return run_day(warehouse, tables, source=source, result_ids=frozenset(result_ids))

    deliver("r1", "no such")
    assert "1 of 2 result_ids match no row" in caplog.text
    with pytest.raises(ConfigurationError, match="1 of 1 result_ids match no row"):
        deliver("no such")
    assert statuses(warehouse, tables) == {"success": 1}
