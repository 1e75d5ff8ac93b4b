"""Rows of a run as requests, over fetches and pages."""

from __future__ import annotations

import pytest
from support.harness import DAY, SQL, fill, mapped_rows, row

from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.kombo_api.request import InvalidRow, RowRequest
from airflow_kombo.rows.frames import frame_of_records
from airflow_kombo.rows.query_source import QuerySource, parameters_of
from airflow_kombo.rows.source import Selection
from airflow_kombo.rows.task_source import TaskSource


def day_of(engine, tables):
    return QuerySource(engine, tables, SQL, parameters_of(DAY), selection=Selection())


@pytest.mark.parametrize("fetched", [1, 2, 3, 2_000])
def test_two_targets_are_found_over_any_number_of_fetches(
    warehouse, tables, source_table, monkeypatch, fetched
):
    """Rows that name one result twice are invalid, however the driver fetches them."""
    monkeypatch.setattr("airflow_kombo.rows.query_reader.CHUNK_ROWS", fetched)
    twice = [row("r2", candidate_id=f"candidate-{number}") for number in range(3)]
    fill(warehouse, source_table, [row("r1"), *twice, row("r3"), row("r4")])
    rows = mapped_rows(day_of(warehouse, tables))
    assert rows.plan() == {"workday:one": 6}
    made = [one for page in rows.pages("workday:one", 6) for one in page]
    valid = [one.key.result_id for one in made if isinstance(one, RowRequest)]
    wrong = [one.error.code for one in made if isinstance(one, InvalidRow)]
    assert valid == ["r1", "r3", "r4"]
    assert wrong == ["duplicate_result_id"] * 3


def test_pages_hold_at_most_what_was_asked_for():
    """A page has `page_rows` rows, and an integration as many rows as the caller takes."""
    records = [row(f"r{number}", integration_id=f"ats:{number % 2}") for number in range(20)]
    rows = mapped_rows(TaskSource(records), page_rows=3)
    assert rows.plan() == {"ats:0": 10, "ats:1": 10}
    assert [len(page) for page in rows.pages("ats:0", 10)] == [3, 3, 3, 1]
    assert [len(page) for page in rows.pages("ats:1", 5)] == [3, 2]
    assert list(rows.pages("ats:2", 5)) == []


def test_a_task_may_return_a_frame_with_any_index():
    """Rows are found by their place, also in a frame that was sorted and cut."""
    frame = frame_of_records([row("a"), row("b"), row("b", candidate_id="other"), row("c")])
    frame = frame.sort_index(ascending=False).iloc[:3]
    rows = mapped_rows(TaskSource(frame))
    assert rows.plan() == {"workday:one": 3}
    ((one, *both),) = rows.pages("workday:one", 3)
    assert (one.key.result_id, type(one)) == ("c", RowRequest)
    assert [type(other) for other in both] == [InvalidRow, InvalidRow]


def test_a_column_that_a_frame_has_twice_is_named():
    """A frame with two columns of one name is refused before a row is read."""
    frame = frame_of_records([row("a")])
    with pytest.raises(ConfigurationError, match="the column 'result_id' twice"):
        TaskSource(frame[["result_id", "result_id", "candidate_id"]])
