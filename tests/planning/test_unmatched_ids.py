"""Ids that a run was asked for by name, and that none of its rows has."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy import event
from support.harness import DAY, all_of, by_result, fill, row, run_day, statuses

from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.rows.source import Selection
from airflow_kombo.rows.task_source import TaskSource


@pytest.fixture(autouse=True)
def log(caplog):
    caplog.set_level(logging.INFO, logger="airflow_kombo")
    return caplog


@pytest.fixture
def day(warehouse, tables, source_table, standin):
    """Fill a day of two integrations."""
    fill(warehouse, source_table, [row("r1"), row("r2", integration_id="lever:two")])


def run(warehouse, tables, *, day=DAY, by_hand=True, **asked):
    ids = {name: frozenset(value) for name, value in asked.items()}
    return run_day(warehouse, tables, day=day, by_hand=by_hand, **ids)


def test_ids_that_match_nothing_are_named(warehouse, tables, day, caplog):
    """The others are delivered, and the log names those that neither source nor ledger knows."""
    report = run(
        warehouse,
        tables,
        result_ids=["r1", "no such", "R2"],
        integration_ids=["workday:one", "wokrday:one"],
    )
    assert report.counts == {"success": 1}
    assert "2 of 3 result_ids match no row that this run reads" in caplog.text
    assert "status table: R2, no such. Check them" in caplog.text
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
def test_a_run_of_which_nothing_matches_is_red(warehouse, tables, day, standin, asked):
    """Who mistypes every id does not get a green run; its row in the runs says why."""
    with pytest.raises(ConfigurationError, match="match no row that this run reads, and none of"):
        run(warehouse, tables, **asked)
    assert standin.stats()["received"] == 0
    (account,) = all_of(warehouse, tables.runs)
    assert "match no row" in account.error


def test_what_is_delivered_already_is_not_what_nobody_knows(
    warehouse, tables, day, standin, caplog
):
    """A second run for the same ids is green, sends nothing, and says what they are."""
    asked = {"result_ids": ["r1"], "integration_ids": ["workday:one"]}
    assert run(warehouse, tables, **asked).counts == {"success": 1}
    assert "match no row" not in caplog.text
    assert run(warehouse, tables, **asked).planned == 0
    told = "1 of the results asked for are not among the rows to send, they are success: r1"
    assert told in caplog.text
    assert "match no row" not in caplog.text
    assert standin.stats()["received"] == 1


def test_an_integration_without_rows_today_is_no_mistake(
    warehouse, tables, source_table, standin, caplog
):
    """Only a run by hand is red for an integration that nobody knows: it may be new."""
    asked = {"integration_ids": ["workday:new"]}
    assert run(warehouse, tables, by_hand=False, **asked).planned == 0
    assert "1 of 1 integration_ids match no row" in caplog.text
    with pytest.raises(ConfigurationError, match="1 of 1 integration_ids"):
        run(warehouse, tables, **asked)
    fill(warehouse, source_table, [row("r1", integration_id="workday:new")])
    assert run(warehouse, tables, **asked).counts == {"success": 1}
    assert run(warehouse, tables, day=DAY.replace(day=9), **asked).planned == 0


def test_the_log_names_some_of_many(warehouse, tables, day, caplog):
    """Twenty are named and the rest is a number; the ledger is asked once for a thousand ids."""
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


def test_more_ids_than_a_statement_takes_select_their_rows(warehouse, tables, day, source_table):
    """Of 70,000 ids each that has a row is delivered, and no other row is."""
    fill(warehouse, source_table, [row("other")])
    run(warehouse, tables, result_ids=["r1", "r2", *map(str, range(70_000))])
    assert set(by_result(warehouse, tables)) == {"r1", "r2"}


def test_rows_of_a_task_are_asked_for_in_the_same_way(warehouse, tables, standin, caplog):
    """An upstream task's rows are told alike."""

    def deliver(*result_ids):
        selection = Selection(result_ids=frozenset(result_ids))
        source = TaskSource([row("r1"), row("r2")], selection)
        return run_day(warehouse, tables, source=source, result_ids=frozenset(result_ids))

    deliver("r1", "no such")
    assert "1 of 2 result_ids match no row" in caplog.text
    with pytest.raises(ConfigurationError, match="1 of 1 result_ids match no row"):
        deliver("no such")
    assert statuses(warehouse, tables) == {"success": 1}
