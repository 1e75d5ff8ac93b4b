"""Rows of a query and rows of an upstream task."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from support.harness import DAY, SQL, by_result, delivery, fill, mapped_rows, row, run_day

from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.outcomes import AttemptOutcome, RowOutcome
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.rows.query_source import QuerySource, parameters_of, rows_of_day
from airflow_kombo.rows.result_link_mapping import ResultLinkMapping
from airflow_kombo.rows.source import Selection
from airflow_kombo.rows.task_source import TaskSource
from airflow_kombo.statuses import Status


def source_of(engine, tables, sql=SQL, *, default=None, lookback_days=0, **selected):
    return QuerySource(
        engine,
        tables,
        sql,
        parameters_of(DAY, lookback_days),
        selection=Selection(**selected),
        default_integration=default,
    )


def rows_of(*arguments, page_rows=1000, default=None, mapping=None, **options):
    """Return a query's rows as requests."""
    source = source_of(*arguments, default=default, **options)
    selection = source.selection
    return mapped_rows(source, selection, default, mapping=mapping, page_rows=page_rows)


def read(rows):
    """Return the result ids of all pages by integration."""
    return {
        name: [one.key.result_id for page in rows.pages(name, number) for one in page]
        for name, number in rows.plan().items()
    }


@pytest.fixture
def day(warehouse, tables, source_table):
    """Insert a day's rows of two integrations, and one row of the day before."""
    rows = [row(f"r{n}", integration_id="workday:one" if n % 2 else "lever:two") for n in range(10)]
    fill(warehouse, source_table, [*rows, row("old", assessment_date=DAY.replace(day=2))])


def test_a_day_is_planned_by_integration(warehouse, tables, day):
    """A plan counts the day's rows by integration, without other days."""
    assert rows_of(warehouse, tables).plan() == {"workday:one": 5, "lever:two": 5}


def test_what_is_done_is_not_planned(warehouse, tables, day):
    """A plan excludes rows with the status success, unknown or sending."""
    Runs(warehouse, tables).start(Run("run"))
    ledger = Ledger(warehouse, tables)
    for result_id, status in [("r1", "success"), ("r3", "unknown"), ("r5", None), ("r7", "failed")]:
        (claim,) = ledger.claim(
            "run", [delivery(result_id, target_id=f"candidate-{result_id}")]
        ).won
        if status:
            ledger.record([AttemptOutcome(claim, RowOutcome(Status(status)))])
    assert read(rows_of(warehouse, tables))["workday:one"] == ["r7", "r9"]
    again = rows_of(warehouse, tables, redeliver=frozenset({"unknown"}))
    assert read(again)["workday:one"] == ["r3", "r7", "r9"]
    changed = rows_of(warehouse, tables, redeliver=frozenset({"changed"}))
    assert read(changed)["workday:one"] == ["r1", "r7", "r9"]
    everything = rows_of(warehouse, tables, also_done=True)
    assert read(everything)["workday:one"] == ["r1", "r3", "r5", "r7", "r9"]


def test_rows_without_an_integration_take_the_default(warehouse, tables, source_table):
    """Rows with NULL, a blank or the default's id belong to the default integration."""
    rows = [row("a", integration_id=None), row("b", integration_id=" "), row("c")]
    fill(warehouse, source_table, rows)
    with_default = read(rows_of(warehouse, tables, default="workday:one"))
    assert {name: sorted(ids) for name, ids in with_default.items()} == {
        "workday:one": ["a", "b", "c"]
    }
    without = read(rows_of(warehouse, tables))
    assert {name: sorted(ids) for name, ids in without.items()} == {
        "": ["a", "b"],
        "workday:one": ["c"],
    }


def test_only_what_was_asked_for(warehouse, tables, day):
    """Integrations and results can be selected; ids are bound, never part of the SQL."""
    chosen = rows_of(warehouse, tables, integration_ids=frozenset({"lever:two"}))
    assert list(chosen.plan()) == ["lever:two"]
    results = frozenset({"r1", "r4", "'; DROP TABLE assessment_results; --"})
    assert read(rows_of(warehouse, tables, result_ids=results)) == {
        "workday:one": ["r1"],
        "lever:two": ["r4"],
    }


def test_an_integration_gives_no_more_rows_than_asked_for(warehouse, tables, day):
    """A caller can limit the rows of an integration."""
    source = rows_of(warehouse, tables, page_rows=2)
    source.plan()
    assert sum(len(page) for page in source.pages("workday:one", 3)) == 3


def test_what_comes_after_the_plan_waits_for_the_next_run(warehouse, tables, source_table, day):
    """The query runs once: pages hold the counted rows, also after the table changed."""
    source = rows_of(warehouse, tables, page_rows=2)
    planned = source.plan()
    fill(warehouse, source_table, [row("r0-late"), row("r99-late")])
    ids = [one.key.result_id for page in source.pages("workday:one", 10) for one in page]
    assert ids == ["r1", "r3", "r5", "r7", "r9"]
    assert len(ids) == planned["workday:one"]
    assert source.plan()["workday:one"] == 7


def test_a_disk_without_room_is_named(warehouse, tables, day, monkeypatch, tmp_path):
    """A temporary folder without room ends the plan before a row is sent."""
    monkeypatch.setattr("airflow_kombo.rows.row_buffer._IN_MEMORY_BYTES", 1)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(ConfigurationError, match=r"No such file or directory.*TMPDIR"):
        rows_of(warehouse, tables).plan()


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    ids=st.lists(st.sampled_from(["", "a", "A", "ä", "b c", "1", None]), max_size=25),
    page_rows=st.integers(1, 5),
)
def test_pages_hold_every_row_once(warehouse, tables, source_table, ids, page_rows):
    """Each row is on one page, also copies, blanks and NULLs of one key."""
    with warehouse.begin() as connection:
        connection.execute(text("DELETE FROM assessment_results"))
    targets = ["x", None, "y"]
    rows = [
        row(result_id, candidate_id=targets[number % 3], assessment_name=f"Test {number}")
        for number, result_id in enumerate(ids)
    ]
    if rows:
        fill(warehouse, source_table, rows)
    source = rows_of(warehouse, tables, page_rows=page_rows)
    made = [
        one
        for name, planned in source.plan().items()
        for page in source.pages(name, planned)
        for one in page
    ]
    assert len(made) == len(ids)
    labels = [json.loads(one.body)["label"] for one in made if isinstance(one, RowRequest)]
    assert len({*labels}) == len(labels)


def test_large_ids_keep_every_digit(warehouse, tables):
    """A number beyond a float's precision stays exact, also beside a NULL."""
    sql = (
        "SELECT 9007199254740993 AS result_id, NULL AS integration_id, 1 AS candidate_id,"
        " NULL AS application_id UNION ALL SELECT NULL, NULL, NULL, NULL"
    )
    (chunk,) = source_of(warehouse, tables, sql, default="workday:one").chunks()
    assert sorted(one or 0 for one in chunk["result_id"]) == [0, 9007199254740993]


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT 1 AS result_idd", "'result_id' \\(did you mean 'result_idd'"),
        ("SELECT * FROM assessment_result", "cannot run: .*assessment_result"),
        ("SELECT 1 WHERE 1 = :assesment_date", "did you mean ':?assessment_date'"),
        ("SELECT 1 AS a, 2 AS a", "'a' twice|no column|Duplicate column"),
        ("SELECT (", "cannot run"),
    ],
)
def test_a_query_that_cannot_serve_is_refused(warehouse, tables, sql, why):
    """A broken query, or one without a needed column or parameter, is refused."""
    with pytest.raises(ConfigurationError, match=why):
        source_of(warehouse, tables, sql)


def test_comments_and_semicolons_do_no_harm(warehouse, tables, day):
    """A query may end in a semicolon, and comments may have colons and brackets."""
    sql = f"-- at 10:30 :nobody (\n{SQL} -- the end)\n;"
    assert sum(rows_of(warehouse, tables, sql).plan().values()) == 10
    sql = f"/* :nobody ( */ {SQL}\n; -- the end\n /* :x */ ;\n"
    assert sum(rows_of(warehouse, tables, sql).plan().values()) == 10


def test_a_query_may_name_thousands_of_ids(warehouse, tables, day):
    """A long list of ids in the text is read as any other query."""
    ids = ", ".join(f"'other-{number}'" for number in range(6_000))
    sql = f"SELECT * FROM ({SQL}) AS them WHERE result_id NOT IN ({ids})"  # noqa: S608 - a test's
    assert sum(rows_of(warehouse, tables, sql).plan().values()) == 10


def test_a_table_takes_the_place_of_a_query(warehouse, tables, day):
    """A table's rows of the day are read, also if the table's name must be quoted."""
    quote = warehouse.dialect.identifier_preparer.quote
    rows = rows_of(warehouse, tables, rows_of_day("assessment_results", quote))
    assert sum(rows.plan().values()) == 10
    assert f"main.{quote('odd name')} " in rows_of_day("main.odd name", quote)


@pytest.mark.parametrize("kind", [list, pd.DataFrame])
def test_rows_of_an_upstream_task(kind):
    """An upstream task may return dictionaries or a DataFrame."""
    rows = kind([row("a"), row("b", integration_id=None), row("c", integration_id="lever:two")])
    selection = Selection(result_ids=frozenset("ab"))
    source = TaskSource(rows)
    assert read(mapped_rows(source, selection, "lever:two")) == {
        "workday:one": ["a"],
        "lever:two": ["b"],
    }
    assert "result_url" in source.columns()


@pytest.mark.parametrize(
    ("rows", "what"),
    [(None, "NoneType"), ("r1", "str"), ({"result_id": "r1"}, "dict"), ([["r1"]], "list with a l")],
)
def test_an_upstream_task_without_rows_is_refused(rows, what):
    """Another return value than rows is refused with the name of the type."""
    with pytest.raises(ConfigurationError, match=f"of rows_task_id returned a {what}"):
        TaskSource(rows)


@pytest.mark.parametrize("kind", ["FLOAT", "NUMERIC(12, 2)", "INTEGER"])
def test_ids_in_a_column_of_numbers(warehouse, tables, standin, kind):
    """An id such as 95.0 is delivered as 95, and the next plan excludes the row."""
    numbers = ("result_id", "integration_id", "candidate_id")
    columns = ", ".join(f"{name} {kind}" for name in numbers)
    with warehouse.begin() as connection:
        connection.execute(
            text(f"CREATE TABLE numbered ({columns}, application_id {kind}, name TEXT, url TEXT)")
        )
        connection.execute(
            text(
                "INSERT INTO numbered VALUES (95, 7, 1000, NULL, 'Coding', 'https://a.example/1'),"
                " (100, 7, NULL, 20, 'Coding', 'https://a.example/2')"
            )
        )
    mapping = ResultLinkMapping.parse({"label": "{{ name }}", "url": {"column": "url"}})

    def plan():
        return source_of(warehouse, tables, "SELECT * FROM numbered")

    assert read(mapped_rows(plan(), mapping=mapping)) == {"7": ["100", "95"]}
    report = run_day(warehouse, tables, source=plan(), mapping=mapping)
    assert report.senders == {"7": {"success": 2}}
    assert {one["target_id"] for one in standin.links()} == {"1000", "20"}
    assert mapped_rows(plan(), mapping=mapping).plan() == {}
    again = rows_of(
        warehouse,
        tables,
        "SELECT * FROM numbered",
        mapping=mapping,
        result_ids=frozenset({"95"}),
        redeliver=frozenset({"success"}),
    )
    assert read(again) == {"7": ["95"]}


KEYED = [
    ("TEXT", "'95'", "95"),
    ("TEXT", "' \t95\n'", "95"),
    ("TEXT", "'95.0'", "95.0"),
    ("INTEGER", "95", "95"),
    ("BIGINT", "-9223372036854775808", "-9223372036854775808"),
    ("NUMERIC(20, 2)", "95", "95"),
    ("NUMERIC(20, 2)", "9007199254740993", "9007199254740993"),
    ("DOUBLE PRECISION", "95", "95"),
    ("DOUBLE PRECISION", "-2", "-2"),
    ("DOUBLE PRECISION", "1e15", "1000000000000000"),
    ("DOUBLE PRECISION", "1234567890123456", "1234567890123456"),
]


@pytest.mark.parametrize(("kind", "stored", "key"), KEYED)
def test_ids_select_by_the_ledgers_key(warehouse, tables, standin, kind, stored, key):
    """A query and a task select the same rows, for any type of the id column."""
    sql = "SELECT * FROM keyed"
    with warehouse.begin() as connection:
        connection.execute(
            text(
                f"CREATE TABLE keyed (result_id {kind}, integration_id TEXT, candidate_id TEXT,"
                " application_id TEXT)"
            )
        )
        for value in (stored, "'7'" if kind == "TEXT" else "7"):
            values = f"VALUES ({value}, 'workday:one', 'c1', NULL)"
            connection.execute(text(f"INSERT INTO keyed {values}"))
        rows = [dict(one._mapping) for one in connection.execute(text(sql))]
    asked = {"result_ids": frozenset({key})}
    selection, source = Selection(**asked), source_of(warehouse, tables, sql, **asked)
    mapping = ResultLinkMapping.parse({"label": "x", "url": "https://a.example"})
    for one in (TaskSource(rows), source):
        assert read(mapped_rows(one, selection, mapping=mapping)) == {"workday:one": [key]}
    run_day(warehouse, tables, source=source, mapping=mapping, **asked)
    assert list(by_result(warehouse, tables)) == [key]
    assert rows_of(warehouse, tables, sql, mapping=mapping, **asked).plan() == {}
    assert rows_of(warehouse, tables, sql, mapping=mapping).plan() == {"workday:one": 1}


def test_an_id_that_is_text_is_left_as_it_is(warehouse, tables):
    """`1.0` and `1` are two ids in a column of texts."""
    ids = " UNION ALL ".join(
        f"SELECT '{name}' AS result_id, 'i:1.0' AS integration_id, '1.50' AS candidate_id,"
        " NULL AS application_id"
        for name in ("1.0", "1", "10")
    )
    mapping = ResultLinkMapping.parse({"label": "x", "url": "https://a.example"})
    rows = rows_of(warehouse, tables, ids, mapping=mapping)
    assert read(rows) == {"i:1.0": ["1", "1.0", "10"]}
