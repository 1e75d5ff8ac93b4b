"""Results with a changed target: sent again only if nothing was created on the old target."""

from __future__ import annotations

import pytest
from sqlalchemy import update
from support.harness import (
    DAY,
    MAPPING,
    SQL,
    all_of,
    but_for_its_time,
    by_result,
    fill,
    mapped_rows,
    requests_of,
    row,
    run_day,
)

from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.outcomes import RowOutcome
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.planning.planner import Planner
from airflow_kombo.rows.query_source import QuerySource, parameters_of
from airflow_kombo.rows.result_link_mapping import ResultLinkMapping
from airflow_kombo.rows.source import Selection
from airflow_kombo.rows.task_source import TaskSource
from airflow_kombo.statuses import Status

REFUSED = {"kind": "answer", "status": 400, "code": "ATS.JOB_CLOSED"}
MOVES = [
    {"application_id": "application-1"},  # comes a day late
    {"candidate_id": "candidate-merged"},
    {"integration_id": "workday:reconnected"},
]


def move(warehouse, source_table, **values):
    with warehouse.begin() as connection:
        connection.execute(update(source_table).values(**values))


@pytest.mark.parametrize("values", MOVES)
def test_a_delivered_result_is_not_sent_to_a_new_target_unasked(
    warehouse, tables, source_table, standin, values
):
    """A delivered result with a new target gets a warning, and is sent by `redeliver`."""
    fill(warehouse, source_table, [row("r1"), row("r2")])
    run_day(warehouse, tables)
    move(warehouse, source_table, **values, assessment_name="Coding")
    for _ in range(2):
        assert run_day(warehouse, tables).counts == {"skipped": 2}
    links = by_result(warehouse, tables)
    assert {one.status for one in links.values()} == {"success"}
    assert links["r1"].target_id == "candidate-r1"
    (warning,) = links["r1"].warnings
    assert "names another target now" in warning
    assert next(iter(values.values())) in warning
    assert standin.stats()["received"] == 2
    changed = {"redeliver": frozenset({"changed"})}
    if values.get("candidate_id"):  # both rows have it now, with links of their own
        assert {link["target_id"] for link in standin.links()} == {"candidate-r1", "candidate-r2"}
    assert run_day(warehouse, tables, **changed).counts == {"success": 2}
    assert standin.stats()["received"] == 4
    assert len(all_of(warehouse, tables.links)) == 2
    assert by_result(warehouse, tables)["r1"].warnings is None
    assert run_day(warehouse, tables).planned == 0


@pytest.mark.parametrize("values", MOVES)
def test_an_unknown_result_is_not_sent_to_a_new_target(
    warehouse, tables, source_table, standin, values
):
    """An `unknown` result is not sent to a new target by itself."""
    standin.add_rule({"kind": "close"}, effect="created", times=1)
    fill(warehouse, source_table, [row("r1")])
    assert run_day(warehouse, tables).counts == {"unknown": 1}
    move(warehouse, source_table, **values)
    changed = {"redeliver": frozenset({"changed"})}
    for redeliver in ({}, changed):  # it was not delivered, as far as anybody knows
        assert run_day(warehouse, tables, **redeliver).counts == {"skipped": 1}
    assert by_result(warehouse, tables)["r1"].status == "unknown"
    assert standin.stats()["received"] == 1


@pytest.mark.parametrize("values", MOVES)
@pytest.mark.parametrize(
    ("response", "changes"),
    [
        (REFUSED, {}),
        ({"kind": "answer", "status": 403, "code": "INTEGRATION.INACTIVE"}, {}),
        ({"kind": "answer", "status": 503, "code": "REMOTE.SERVICE_UNAVAILABLE"}, {}),
        ({"kind": "success"}, {"result_url": "ftp://wrong"}),
    ],
    ids=["failed", "blocked", "retryable", "invalid"],
)
def test_a_result_that_made_nothing_goes_to_its_new_target(
    warehouse, tables, source_table, standin, values, response, changes
):
    """A result without a link is sent to the new target, and has one status row."""
    standin.add_rule(response)
    fill(warehouse, source_table, [row("r1", **changes)])
    run_day(warehouse, tables)
    standin.clear_rules()
    move(warehouse, source_table, **values, result_url="https://results.example/r1")
    assert run_day(warehouse, tables).counts == {"success": 1}
    (link,) = all_of(warehouse, tables.links)
    assert link.status == "success"
    assert next(iter(values.values())) in link[:3]
    assert len(standin.links()) == 1


def test_a_redelivery_to_a_new_target_that_is_refused(warehouse, tables, source_table, standin):
    """After a refused redelivery the row stays `success` and is not sent by itself."""
    fill(warehouse, source_table, [row("r1")])
    run_day(warehouse, tables)
    move(warehouse, source_table, application_id="application-1")
    standin.add_rule(REFUSED)
    changed = {"redeliver": frozenset({"changed"})}
    assert run_day(warehouse, tables, **changed).counts == {"failed": 1}
    assert by_result(warehouse, tables)["r1"].status == "success"
    standin.clear_rules()
    assert run_day(warehouse, tables).planned == 0
    assert standin.stats()["received"] == 2


def test_a_stop_before_a_moved_row_is_sent_leaves_it_on_its_old_target(
    warehouse, tables, source_table, standin
):
    """A released claim for a new target leaves the row unchanged."""
    fill(warehouse, source_table, [row("r1")])
    run_day(warehouse, tables)
    before = all_of(warehouse, tables.links)
    move(warehouse, source_table, application_id="application-1")
    standin.add_rule({"kind": "reset"})
    ledger = Ledger(warehouse, tables)
    moved = [row("r1", application_id="application-1")]
    good, _ = requests_of(ResultLinkMapping.load(MAPPING), moved)
    Runs(warehouse, tables).start(Run("stopped"))
    (claim,) = ledger.claim("stopped", good, ["changed"]).won
    ledger.release([claim], RowOutcome(Status.RETRYABLE, "run_stopped"))
    after = all_of(warehouse, tables.links)
    assert list(map(but_for_its_time, after)) == list(map(but_for_its_time, before))


def test_a_dry_run_shows_moved_rows(warehouse, tables, source_table, standin):
    """A dry run shows a delivered row with a new target as `moved`."""
    fill(warehouse, source_table, [row("r1"), row("r2")])
    run_day(warehouse, tables)
    with warehouse.begin() as connection:
        moved = update(source_table).where(source_table.c.result_id == "r1")
        connection.execute(moved.values(application_id="application-1"))
    assert planned_actions(warehouse, tables) == {"r1": "moved", "r2": "delivered"}
    assert planned_actions(warehouse, tables, "changed") == {"r1": "send", "r2": "delivered"}


def planned_actions(warehouse, tables, *redeliver):
    selection = Selection(redeliver=frozenset(redeliver), also_done=True)
    source = QuerySource(warehouse, tables, SQL, parameters_of(DAY), selection=selection)
    planner = Planner(mapped_rows(source), Ledger(warehouse, tables), selection)
    return {one.key.result_id: one.action for _, rows in planner.rows() for one in rows}


TWO_TARGETS = [
    [row("r1"), row("r1", candidate_id="candidate-other"), row("r2")],
    [row("r1"), row("r2"), row(" r1 ", application_id="application-1")],
    [row("r1", integration_id="lever:two"), row("r2"), row("r1")],
]


@pytest.mark.parametrize("rows", TWO_TARGETS)
@pytest.mark.parametrize("from_task", [False, True], ids=["query", "task"])
def test_two_targets_for_one_result_are_both_invalid(
    warehouse, tables, source_table, standin, rows, from_task
):
    """Two rows with one result and two targets are `invalid`, and each names the other target."""
    fill(warehouse, source_table, rows)
    source = {"source": TaskSource(rows)} if from_task else {}
    assert run_day(warehouse, tables, **source).counts == {"success": 1, "invalid": 2}
    both = [one for one in all_of(warehouse, tables.links) if one.result_id == "r1"]
    assert [(one.status, one.error_code) for one in both] == [
        ("invalid", "duplicate_result_id")
    ] * 2
    first, second = both
    assert f"{second.target_type} {second.target_id} of {second.integration_id}" in (
        first.error_message
    )
    assert f"{first.target_type} {first.target_id} of {first.integration_id}" in (
        second.error_message
    )
    again = {"source": TaskSource(rows)} if from_task else {}
    assert run_day(warehouse, tables, **again).counts["skipped"] >= 2
    assert standin.stats()["received"] == 1


def test_a_target_with_a_link_gets_no_invalid_row(warehouse, tables, source_table, standin):
    """A result that was sent to two targets in turn is `invalid` on neither of them."""
    first, second = TWO_TARGETS[0][:2]
    fill(warehouse, source_table, [first])
    run_day(warehouse, tables)
    with warehouse.begin() as connection:
        connection.execute(update(source_table).values(candidate_id=second["candidate_id"]))
    run_day(warehouse, tables, redeliver=frozenset({"changed"}))
    fill(warehouse, source_table, [first])
    run_day(warehouse, tables)
    assert [one.status for one in all_of(warehouse, tables.links)] == ["success"]
    assert len(standin.links()) == 2


def test_a_result_that_has_one_target_again_is_sent(warehouse, tables, source_table, standin):
    """Without the second row, the first is sent and is the result's only status row."""
    fill(warehouse, source_table, TWO_TARGETS[0])
    run_day(warehouse, tables)
    with warehouse.begin() as connection:
        connection.execute(
            source_table.delete().where(source_table.c.candidate_id == "candidate-other")
        )
    assert run_day(warehouse, tables).counts == {"success": 1}
    assert {one.result_id: one.status for one in all_of(warehouse, tables.links)} == {
        "r1": "success",
        "r2": "success",
    }
    assert len(all_of(warehouse, tables.links)) == 2


def test_rows_with_one_result_and_one_target_are_sent_once(
    warehouse, tables, source_table, standin
):
    """An upstream list with every row twice sends each row once, also with `redeliver`."""
    rows = [row(f"r{number}") for number in range(10)] * 2
    for redeliver in (frozenset(), frozenset({"success"})):
        source = TaskSource(rows)
        report = run_day(warehouse, tables, source=source, redeliver=redeliver)
        assert report.counts == {"success": 10, "skipped": 10}
    assert standin.stats()["received"] == 20
