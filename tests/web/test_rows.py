from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import MetaData, Table, func, insert, inspect, select, text
from support.harness import DAY, delivery
from support.quick import examples
from support.report_rows import FAILED, RUN, add_rows, fill_ledger, record

from airflow_kombo.exceptions import LedgerError
from airflow_kombo.ledger.runs import Runs
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.web import database as reading
from airflow_kombo.web.csv_export import as_csv
from airflow_kombo.web.database import NoTablesError, Warehouse, read_only
from airflow_kombo.web.next_try import UnknownSchedule
from airflow_kombo.web.overview import overview
from airflow_kombo.web.pagination import InvalidPositionError
from airflow_kombo.web.row_filter import RowFilter
from airflow_kombo.web.rows import Rows

UNKNOWN = UnknownSchedule("there is no Airflow")
STATUSES = ["success", "failed", "success", "retryable", "unknown", "success", "success"]
ROWS = [(f"r{n}", (None, 0, 1, 1, 2)[n % 5], STATUSES[n % 7]) for n in range(23)]


@pytest.fixture
def rows(warehouse, tables):
    """Read rows over a connection, with 23 rows in the table."""
    add_rows(warehouse, tables, *ROWS)
    with warehouse.connect() as connection:
        yield Rows(connection, tables)


def ids(page):
    return [row.result_id for row in page.rows]


def walk(rows, size, **conditions):
    """Read the pages from the first to the last."""
    page = rows.page(RowFilter(**conditions), size)
    yield page
    while page.after:
        page = rows.page(RowFilter(**conditions, after=page.after), size)
        yield page


def test_pages_show_every_row_once_in_order_and_back_again(rows):
    """In every order and page size, each row is shown once, forwards and backwards."""
    for sort, size in product(["newest", "oldest", "integration"], [1, 4, 23, 50]):
        pages_show_every_row_once(rows, sort, size)


def pages_show_every_row_once(rows, sort, size):
    forwards = list(walk(rows, size, sort=sort))
    every = [one for page in forwards for one in ids(page)]
    assert sorted(every) == sorted(name for name, _, _ in ROWS)
    assert every == ids(rows.page(RowFilter(sort=sort), 50))
    page, back = forwards[-1], [ids(forwards[-1])]
    while page.before:
        page = rows.page(RowFilter(sort=sort, before=page.before), size)
        back.insert(0, ids(page))
    assert back == [ids(page) for page in forwards]


def test_rows_without_a_day_come_last(rows):
    """Rows without a day are the last ones, with the newest first and with the oldest first."""
    for sort, first in (("newest", DAY), ("oldest", DAY.replace(day=1))):
        days = [row.assessment_date for row in rows.page(RowFilter(sort=sort)).rows]
        assert days[0] == first
        assert days[-5:] == [None] * 5
        assert None not in days[:-5]


EVERY = {name for name, _, _ in ROWS}
FOUND = [
    ({"q": "r7"}, {"r7"}),
    ({"q": "r5"}, {"r5"}),  # it has no day
    ({"q": "c-1"}, {name for n, (name, _, _) in enumerate(ROWS) if n % 3 == 1}),
    ({"q": "workday:one"}, EVERY),
    ({"q": "r"}, set()),
    ({"q": "' OR 1=1 --"}, set()),
    ({"status": "unknown"}, {"r4", "r11", "r18"}),
    ({"day": str(DAY)}, {"r1", "r6", "r11", "r16", "r21"}),
    ({"day": str(DAY), "status": "unknown"}, {"r11"}),
    ({"since": str(DAY)}, {"r1", "r6", "r11", "r16", "r21"}),
    (
        {"since": str(DAY - timedelta(2)), "until": str(DAY - timedelta(1))},
        {name for n, (name, _, _) in enumerate(ROWS) if n % 5 in {2, 3, 4}},
    ),
    ({"integration": "workday:other"}, set()),
    ({"error_code": "no_such"}, set()),
    ({"q": "", "status": "", "day": "", "map_index": ""}, EVERY),
]


def test_searching_and_filtering(rows):
    """A row is found by each of its ids, and each condition narrows the list."""
    for conditions, expected in FOUND:
        assert set(ids(rows.page(RowFilter(**conditions)))) == expected, conditions


def test_an_invalid_position_is_refused(rows):
    """An address with a cut or invented position is an error with advice, not a crash."""
    for token in ("x", "W10", "WzFd", "bnVsbA", "é"):
        with pytest.raises(InvalidPositionError, match="Begin at the start"):
            rows.page(RowFilter(after=token))


def test_a_tasks_rows(warehouse, tables):
    """The rows of a task are found by dag, run and task."""
    fill_ledger(warehouse, tables)
    add_rows(warehouse, tables, ("other", 0, "success"))
    task = {"dag_id": RUN.dag_id, "dag_run_id": RUN.dag_run_id, "task_id": "deliver"}
    with warehouse.connect() as connection:
        rows = Rows(connection, tables)
        assert len(rows.page(RowFilter(**task, map_index=-1)).rows) == 6
        assert ids(rows.page(RowFilter(**task, map_index=3))) == []
        assert ids(rows.page(RowFilter(**task, error_code="ATS.JOB_CLOSED"))) == ["failed"]


def test_a_rows_history(warehouse, tables):
    """A row's history has every attempt with its task, newest first."""
    ledger = fill_ledger(warehouse, tables)
    row = delivery("failed", target_id="c-failed", body=b"{}")
    Runs(warehouse, tables).start(replace(RUN, run_id="run-2", dag_run_id="manual__2"))
    record(ledger, row, FAILED, "run-2")
    with warehouse.connect() as connection:
        attempts = Rows(connection, tables).history(row.key)
    assert [one.attempt for one in attempts] == [2, 1]
    assert [one.dag_run_id for one in attempts] == ["manual__2", "manual__1"]
    assert {(one.task_id, one.status) for one in attempts} == {("deliver", "failed")}
    assert [one.milliseconds for one in attempts] == [12, 12]


def test_an_older_versions_history_is_shown(warehouse):
    """Columns of a later version are empty in the history of an older version's table."""
    tables, later = Tables.named(), {"resolution", "resolved_by"}
    key = delivery().key
    for table in (tables.links, tables.attempts, tables.runs):
        kept = [one._copy() for one in table.columns if one.name not in later]
        Table(table.name, MetaData(), *kept).create(warehouse)
    with warehouse.begin() as connection:
        moment = select(func.current_timestamp()).scalar_subquery()
        values = {**key.columns, "attempt": 1, "run_id": "x", "claimed_at": moment}
        old = Table(tables.attempts.name, MetaData(), autoload_with=connection)
        connection.execute(insert(old).values(values))
        (attempt,) = Rows(connection, tables).history(key)
    assert (attempt.attempt, attempt.resolution, attempt.resolved_at) == (1, None, None)


def test_a_run_of_an_older_version_is_shown(warehouse, tables):
    """Counts of a later version are 0 for a run in an older version's table."""
    Runs(warehouse, tables).start(RUN)
    Runs(warehouse, tables).finish(RUN.run_id, {"planned": 6, "success": 6})
    with warehouse.begin() as connection:
        connection.execute(text(f"ALTER TABLE {tables.runs.name} DROP COLUMN held"))
        progress = overview(connection, tables, UNKNOWN).progress
    assert (progress.counts["success"], progress.counts["held"]) == (6, 0)


def test_an_export_has_every_row_and_no_formula(warehouse, tables):
    """A CSV export has all rows and columns, in batches, and no cell with a formula."""
    add_rows(
        warehouse, tables, *ROWS, ("=cmd()", 0, "success"), ("@x", 0, "failed"), ("+1", 0, "failed")
    )
    with warehouse.connect() as connection:
        pages = walk(Rows(connection, tables), 4)
        lines = "".join(as_csv(page.rows for page in pages))
    cells = list(csv.DictReader(io.StringIO(lines)))
    assert len(cells) == len(ROWS) + 3
    assert {"'=cmd()", "'@x", "'+1", "r1"} <= {row["result_id"] for row in cells}
    assert not [cell for row in cells for cell in row.values() if cell[:1] in tuple("=+-@")]
    assert {row["updated_at"] for row in cells} == {"2026-11-03T12:00:00+00:00"}


SKIPPED = " \t\r\n\x01\x0b\x1f\xa0\u200b\u3000\ufeff"
FORMULA = tuple("=+-@\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}")
HOSTILE_TEXT = st.text(st.sampled_from([*SKIPPED, *FORMULA, *"\"';,|a1"]), max_size=12) | st.text(
    st.characters(exclude_characters="\x00")  # the csv module of Python 3.10 reads none
)


def lines_of(*cells):
    return "".join(as_csv([[cells]])).split("\r\n", 1)[1]


def toggling(text, delimiter):
    """Read a line like a program to which each quote begins or ends a quotation."""
    cells, is_quoted = [""], False
    for char in text:
        is_quoted ^= char == '"'
        if char in (delimiter, "\n", "\r") and not is_quoted:
            cells.append("")
        elif char != '"':
            cells[-1] += char
    return cells


@settings(deadline=None, max_examples=examples(500))
@given(st.lists(HOSTILE_TEXT, min_size=1, max_size=4))
@example(["a;=1+1"])
@example(['a;"=1+1&"'])
@example(['";=1+1'])
@example(["\t=1", "\r", "\n@x", ";\t-1"])
@example(["\xa0=1", "\ufeff+1", "\x01@a", '"=1'])
@example(["a\n=1", "a\r\n;  =1", "a\t'=1", 'x""\n""=1'])
def test_no_spreadsheet_finds_a_formula_in_an_export(cells):
    """No cell begins a formula, for programs that split at commas, semicolons or tabs."""
    written = lines_of("day", *cells, "end")
    for delimiter in ",;\t":
        read = [*csv.reader(io.StringIO(written, newline=""), delimiter=delimiter)]
        found = [cell for line in read for cell in line]
        for cell in found + toggling(written, delimiter):
            assert not cell.lstrip(SKIPPED).startswith(FORMULA), (delimiter, written)


@settings(deadline=None, max_examples=examples(500))
@given(st.lists(HOSTILE_TEXT, min_size=1, max_size=4))
def test_an_export_keeps_every_text(cells):
    """Read back with commas, a cell is unchanged, except for apostrophes before formulas."""
    (line,) = csv.reader(io.StringIO(lines_of(*cells), newline=""), strict=True)
    assert [cell.replace("'", "") for cell in line] == [cell.replace("'", "") for cell in cells]
    tame = [cell for cell in cells if not set(cell) & {*FORMULA, *"\t\r\n\uff0d\uff20"}]
    assert [cell for cell in line if cell in tame] == [cell for cell in cells if cell in tame]


def test_every_cell_is_in_quotes():
    """Numbers, empty cells and the columns' names are in quotes, like texts."""
    header, line, end = "".join(as_csv([[(None, 7, "a", ["b", "-c"], DAY)]])).split("\r\n")
    assert (line, end) == ('"","7","a","b;\' -c","2026-11-03"', "")
    assert header.startswith('"assessment_date","integration_id"')
    assert all(cell[0] == cell[-1] == '"' for cell in header.split(","))


def test_the_page_cannot_write(warehouse, tables):
    """The database refuses a write over the page's connection."""
    readable = Warehouse(lambda: warehouse, tables)
    read_only(warehouse).dispose()
    with pytest.raises(LedgerError, match=r"(?i)read.?only"), readable.reading() as connection:
        connection.execute(insert(tables.runs).values(run_id="x"))


def test_a_statement_ends_in_time(warehouse, tables, monkeypatch):
    """The database cancels a statement at the time limit, with an error that names the limit."""
    monkeypatch.setattr(reading, "STATEMENT_SECONDS", 0.05)
    endless = select(func.pg_sleep(600))
    if warehouse.dialect.name == "mysql":
        endless = text("SELECT SLEEP(600)")
    if warehouse.dialect.name == "sqlite":
        number = select(func.abs(1).label("n")).cte("number", recursive=True)
        number = number.union_all(select(number.c.n + 1))
        endless = select(func.count()).select_from(number)
    readable = Warehouse(lambda: warehouse, tables)
    with (
        pytest.raises(LedgerError, match=r"interrupted|timeout"),
        readable.reading() as connection,
    ):
        connection.execute(endless)
    with warehouse.connect() as connection:  # the limit is gone
        assert connection.execute(select(func.count()).select_from(tables.links)).scalar() == 0


def test_a_warehouse_without_our_tables(warehouse):
    """Reading a warehouse without our tables raises an error of its own."""
    readable = Warehouse(lambda: warehouse, Tables.named())
    with (
        pytest.raises(NoTablesError, match="no table kombo_result_links"),
        readable.reading() as one,
    ):
        Rows(one, readable.tables).page(RowFilter())


def test_a_table_that_lacks_an_index_gets_it(warehouse, tables):
    """Indexes for the page are added to tables of an older version."""
    name = "kombo_result_links_listed"
    (index,) = (one for one in tables.links.indexes if one.name == name)
    index.drop(warehouse)
    tables.create(warehouse)
    assert name in {one["name"] for one in inspect(warehouse).get_indexes(tables.links.name)}
