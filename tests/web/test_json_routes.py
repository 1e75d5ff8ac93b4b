"""JSON views: each one has what the view of the page has for the same filter."""

from __future__ import annotations

import csv
import io
import json
import re
from contextlib import contextmanager
from datetime import datetime
from itertools import product
from urllib.parse import urlencode

import pytest
from sqlalchemy import event
from support.harness import DAY
from support.json_site import DAG_RUN, VIEWS, json_site, key_of
from support.page_client import Document

from airflow_kombo.ledger.csv_cells import unprotected
from airflow_kombo.ledger.tables import KEY
from airflow_kombo.web.rows import COLUMNS


@pytest.fixture
def site(warehouse, tables):
    return json_site(warehouse, tables)


def read(site, path):
    response = site.get(path)
    assert response.status_code == 200, response.text
    return response.json()


def pages(site, path, **conditions):
    """Read the answers from the first to the last page."""
    while True:
        answer = read(site, f"{path}?{urlencode(conditions)}")
        yield answer
        if answer["next"] is None:
            return
        conditions["after"] = answer["next"]


def cell(value):
    """Return a value of JSON as a cell of the CSV has it."""
    if isinstance(value, list):
        return "; ".join(value)
    return "" if value is None else re.sub(r"(T.*)Z$", r"\1+00:00", str(value))


def exported(site, conditions):
    """Read the rows of the CSV, without apostrophes before formulas."""
    lines = csv.DictReader(io.StringIO(site.get(f"/rows.csv?{urlencode(conditions)}").text))
    return [{name: unprotected(text) for name, text in line.items()} for line in lines]


CONDITIONS = [
    {},
    {"status": "success", "sort": "oldest"},
    {"day": str(DAY), "sort": "integration"},
    {"left_out": "yes"},
    {"q": "c-unknown"},
    {"integration": "workday:one", "error_code": "ATS.JOB_CLOSED"},
    {**DAG_RUN, "map_index": -1},
    {"status": "sending"},
]


def test_rows_are_those_of_the_page_and_of_the_csv(site):
    """In each page size, the rows are those of the CSV, with the explanations of the page."""
    for conditions, limit in product(CONDITIONS, [1, 3, 50]):
        answers = pages(site, "/rows.json", **conditions, limit=limit)
        rows = [row for answer in answers for row in answer["rows"]]
        cells = [{name: cell(row[name]) for name in COLUMNS} for row in rows]
        assert cells == exported(site, conditions), conditions
        page = Document(site.get(f"/rows?{urlencode(conditions)}").text)
        shown = [link for link in page.all("href") if link.startswith("row?")]
        keys = [urlencode({name: row[name] for name in KEY}) for row in rows]
        assert shown == [f"row?{key}" for key in keys], conditions
        assert all(row["explanation"]["turn"] in page.text for row in rows)


def test_a_list_is_read_backwards(site):
    """The position before a page leads to the page before."""
    first, second = list(pages(site, "/rows.json", limit=5))[:2]
    back = read(site, f"/rows.json?limit=5&before={second['previous']}")
    assert back["rows"] == first["rows"]
    assert first["previous"] is None


def sentences(value):
    """Yield the texts of an answer for a person."""
    if isinstance(value, dict):
        for name, member in value.items():
            is_said = name in {"meaning", "to_do", "text", "error_title", "error_message",
                               "evidence", "resolution_reason", "left_out_reason", "request",
                               "dag_run_id", "task_id", "error_code", "started_by",
                               "waiting_until", "integration_id", "title"}  # fmt: skip
            yield from [member] if is_said and member else sentences(member)
    elif isinstance(value, list):
        for member in value:
            yield from sentences(member)


def test_a_row_has_what_its_page_has(site):
    """Each sentence, attempt and request of the answer is on the row's page."""
    for result_id in ("failed", "unknown", "done", "warned"):
        a_row_has_what_its_page_has(site, key_of(result_id))
    a_row_has_what_its_page_has(site, key_of("blocked", "personio:two"))


def a_row_has_what_its_page_has(site, key):
    answer = read(site, f"/row.json?{key}")
    page = Document(site.get(f"/row?{key}").text)
    expected = list(sentences(answer))
    assert len(expected) >= 3
    assert [text for text in expected if " ".join(text.split()) not in page.text] == []
    attempts = [one["attempt"] for one in answer["history"]]
    assert [f"attempt-{number}" for number in attempts] == [
        name for name in page.all("id") if name.startswith("attempt-")
    ]
    assert (answer["delivery"] is not None) == ("Delivered" in page.text)
    assert answer["row"]["attempts"] == len(attempts)


def test_runs_are_those_of_the_page(site):
    """The list has each run of the page once, and each run its counts, tasks and calls."""
    found = [run for answer in pages(site, "/runs.json", limit=1) for run in answer["runs"]]
    links = [one for one in Document(site.get("/runs").text).all("href") if one.startswith("run?")]
    names = ("dag_id", "dag_run_id", "run_id")
    keys = [{name: run[name] for name in names if run[name]} for run in found]
    assert [f"run?{urlencode(key)}" for key in keys] == links
    assert len(found) == 2
    for key, run in zip(keys, found, strict=True):
        answer = read(site, f"/run.json?{urlencode(key)}")
        text = Document(site.get(f"/run?{urlencode(key)}").text).text
        assert answer["run"] == run
        assert run["done"] == sum(run["counts"].values())
        for name, rows in run["counts"].items():
            assert (f"{name} {rows}" in text) == bool(rows)
        for one in answer["calls"]:
            rate = f"{100 * one['success_rate']:.1f} %"
            times = f"{one['milliseconds_p50']} ms {one['milliseconds_p95']} ms"
            assert f"{one['integration_id']} {one['calls']} {rate} {times}" in text
        assert len(answer["tasks"]) == 1


def test_a_period_of_runs_is_that_of_the_page(site):
    """The filter of the list of runs holds for JSON, too."""
    assert read(site, "/runs.json?until=2020-01-01") == {"runs": [], "next": None}
    assert len(read(site, "/runs.json?since=2020-01-01")["runs"]) == 2


def test_counts_are_those_of_the_overview(site):
    """Days, undelivered and undecided rows, warnings and the run are those of the page."""
    for days in (7, 30):
        answer = read(site, f"/overview.json?days={days}")
        page = Document(site.get(f"/?days={days}").text)
        titles = {
            f"{one['day']}: {rows} {status}"
            for one in answer["days"]
            for status, rows in one["statuses"].items()
        }
        assert titles == set(re.findall(r"\d{4}-\d\d-\d\d: \d+ \w+", page.text))
        assert len(answer["days"]) == days
        assert [one["rows"] for one in answer["undelivered"]] == [3, 1]
        assert answer["run"]["run_id"] == "alone"
        assert answer["undecided"]["total"] == len(answer["undecided"]["rows"]) == 1
        assert [one["text"] for one in answer["warnings"] if one["text"] not in page.text] == []
        reasons = [one for rows in answer["undelivered"] for one in rows["reasons"]]
        shown = [one["explanation"]["to_do"] for one in reasons] + [answer["waiting_until"]]
        assert [text for text in shown if text not in page.text] == []


def test_an_older_day_has_no_rows(site):
    """The counts of a period without rows are zeros."""
    answer = read(site, "/overview.json?days=7&until=2020-01-07")
    assert [one["rows"] for one in answer["days"]] == [0] * 7
    assert (answer["days"][0]["day"], answer["days"][-1]["day"]) == ("2020-01-01", "2020-01-07")
    assert (answer["undelivered"], answer["warnings"]) == ([], [])


@contextmanager
def counted(engine):
    """Count the statements of a block."""
    found = []

    def note(connection, cursor, statement, *_):
        found.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_an_answer_needs_no_more_statements_than_the_page(site, warehouse):
    """The database has no more work with JSON than with the page."""
    for view, (page, answer) in VIEWS.items():
        site.get(page)
        with counted(warehouse) as of_page:
            site.get(page)
        with counted(warehouse) as of_answer:
            read(site, answer)
        assert 1 <= len(of_answer) <= len(of_page), view


def test_times_are_in_utc(site):
    """Each time of an answer is in UTC, in the form of ISO 8601."""
    without_times = {"calls"}
    for view, (_, path) in VIEWS.items():
        if view in without_times:
            continue
        times = re.findall(r'"(\d{4}-\d\d-\d\dT[^"]*)"', json.dumps(read(site, path)))
        assert times, view
        for time in times:
            assert time.endswith("Z")
            assert datetime.fromisoformat(time.removesuffix("Z")).year >= 2026


def test_an_answer_is_no_page(site):
    """An answer is JSON that no browser reads as markup, and no cache keeps."""
    headers = site.get("/rows.json").headers
    assert headers["content-type"] == "application/json"
    assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")
