"""Rows of a warehouse through its Airflow hook alone."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import date, datetime, timezone
from decimal import Decimal
from threading import Thread

import duckdb
import pytest
from support.harness import DAY, mapped_rows
from support.mappings import mapped as parsed

from airflow_kombo.database.connections import warehouse_of
from airflow_kombo.database.hook_database import HookDatabase
from airflow_kombo.exceptions import ConfigurationError, MappingError, RunStoppedError
from airflow_kombo.rows.frames import CHUNK_ROWS, row_at
from airflow_kombo.rows.hook_source import HookSource
from airflow_kombo.rows.query_source import parameters_of

MAPPING = parsed(label="x", url={"column": "result_url"})


@pytest.fixture
def duck(tmp_path, monkeypatch):
    """Return the path of a DuckDB that the connection `duck` names."""
    path = str(tmp_path / "warehouse.duckdb")
    connection = {"conn_type": "duckdb", "host": path}
    monkeypatch.setenv("AIRFLOW_CONN_DUCK", json.dumps(connection))
    return path


def execute(path, *statements):
    with duckdb.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)


def source(sql, **parameters):
    return HookSource(warehouse_of("duck"), sql, {**parameters_of(DAY), **parameters})


def rows_of(sql):
    return [row_at(chunk, place) for chunk in source(sql).chunks() for place in range(len(chunk))]


def test_cells_are_as_the_driver_gave_them(duck):
    """Large integers beside NULL, exact numbers, times with a zone and nested values stay."""
    sql = """
        SELECT 9007199254740993::BIGINT AS result_id, 1.10::DECIMAL(9, 2) AS score,
            TIMESTAMPTZ '2026-11-03 10:00+01' AS at, {'a': [1, 2]} AS nested,
            :assessment_date AS day
        UNION ALL SELECT NULL, NULL, NULL, NULL, NULL
    """
    full, empty = sorted(rows_of(sql), key=lambda one: one["result_id"] is None)
    assert (full["result_id"], type(full["result_id"])) == (9007199254740993, int)
    assert (full["score"], str(full["score"])) == (Decimal("1.10"), "1.10")
    assert full["at"] == datetime(2026, 11, 3, 9, tzinfo=timezone.utc)
    assert (full["nested"], full["day"]) == ({"a": [1, 2]}, date(2026, 11, 3))
    assert {*empty.values()} == {None}


def test_a_day_is_read_in_chunks(duck):
    """A day of any size comes in frames of a few thousand rows, each row once."""
    assert CHUNK_ROWS == 2_000
    sizes = [len(chunk) for chunk in source("SELECT * FROM range(4001)").chunks()]
    assert sizes == [0, CHUNK_ROWS, CHUNK_ROWS, 1]


def test_a_query_keeps_its_comments_percent_signs_and_colons(duck):
    """A colon in a cast or a comment is no parameter, and a percent sign stays single."""
    sql = "SELECT 'a%b' AS x, 1::INTEGER AS y -- :no parameter, 100 %\n WHERE 'x%' LIKE '%'"
    assert rows_of(sql) == [{"x": "a%b", "y": 1}]
    assert rows_of(f"{sql} AND DATE '2026-11-03' = :assessment_date") == [{"x": "a%b", "y": 1}]


def test_columns_are_checked_on_a_day_without_rows(duck):
    """A column that the query lacks is named before a row is mapped, also without rows."""
    execute(duck, "CREATE TABLE day (result_id INTEGER, integration_id TEXT, candidate_id TEXT)")
    rows = mapped_rows(source("SELECT * FROM day"), mapping=MAPPING)
    with pytest.raises(MappingError, match="no column 'application_id'"):
        rows.plan()
    with pytest.raises(ConfigurationError, match="gives 'result_id' twice"):
        mapped_rows(source("SELECT 1 AS result_id, 2 AS result_id"), mapping=MAPPING).plan()


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        (
            "SELECT * FROM nowhere",
            "could not read the rows: .*nowhere does not exist",
        ),
        ("SELEC 1", "The warehouse could not read the rows: ParserException"),
        ("SELECT :assesment_date", r"unknown parameter :assesment_date \(did you mean"),
    ],
)
def test_a_query_that_cannot_run_is_refused(duck, sql, why):
    """A broken query is an error that a person has to correct, with the database's word."""
    with pytest.raises(ConfigurationError, match=why):
        mapped_rows(source(sql)).plan()


def test_a_stop_ends_a_long_query(duck):
    """A query that would take hours ends when the run is stopped."""
    endless = "SELECT count(*) AS result_id FROM range(1000000000000) a, range(1000000) b"
    rows, raised = mapped_rows(source(endless), mapping=MAPPING), []

    def plan():
        try:
            rows.plan()
        except BaseException as error:  # noqa: BLE001 - handed to the test
            raised.append(error)

    reading = Thread(target=plan)
    reading.start()
    while reading.is_alive():
        rows.cancel()
        reading.join(0.05)
    assert [type(error) for error in raised] == [RunStoppedError]


def test_a_stop_before_the_connection_is_open_runs_no_query(duck, monkeypatch):
    """To connect may take seconds: a stop in between is not forgotten."""
    rows, connect = mapped_rows(source("SELECT 1 AS result_id")), HookDatabase.connected
    executed = []

    @contextmanager
    def connected(database, doing):
        with connect(database, doing) as connection:
            rows.cancel()
            connection.execute = executed.append
            yield connection

    monkeypatch.setattr(HookDatabase, "connected", connected)
    with pytest.raises(RunStoppedError):
        rows.plan()
    assert not executed


def test_rows_are_delivered_from_any_order(duck):
    """Rows without an order keep one request each, and a result named twice is found."""
    execute(
        duck,
        "CREATE TABLE day (result_id TEXT, integration_id TEXT, candidate_id TEXT,"
        " application_id TEXT, assessment_date DATE, result_url TEXT)",
        "INSERT INTO day SELECT 'r' || i % 3, 'workday:one', 'c' || i % 4, NULL, DATE '2026-11-03',"
        " 'https://a.example' FROM range(6) numbers(i)",
    )
    planned = mapped_rows(source("SELECT * FROM day"), mapping=MAPPING)
    assert planned.plan() == {"workday:one": 6}
    made = [one for page in planned.pages("workday:one", 6) for one in page]
    assert [one.error.code for one in made] == ["duplicate_result_id"] * 6


def test_a_connection_without_a_provider_is_told(monkeypatch):
    """A type of connection that Airflow has no hook for names what to install."""
    monkeypatch.setenv("AIRFLOW_CONN_DUCK", '{"conn_type": "nowhere"}')
    with pytest.raises(
        ConfigurationError, match=r"Unknown hook type.*Install the Airflow provider"
    ):
        warehouse_of("duck")
