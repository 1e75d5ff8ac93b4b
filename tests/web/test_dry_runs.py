"""Dry runs on the page: the list, and the rows of one by action, integration and id."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import urlencode

import pytest
from sqlalchemy import event, text
from support.dry_runs import add_dry_run, real_dry_run
from support.harness import DAY, all_of, fill, row
from support.page_client import Browser, Document
from support.report_rows import SCRIPT, fill_ledger

from airflow_kombo.ledger.redaction import Redactor
from airflow_kombo.statuses import Action
from airflow_kombo.web.dry_run_rows import EFFECTS, DryRunFilter, DryRunRows
from airflow_kombo.web.dry_runs import DryRunList, DryRunListFilter, DryRunPosition
from airflow_kombo.web.pagination import InvalidPositionError

ACTIONS = ["send", "send", "changed", "refused", "moved", "duplicate", "send", "invalid"]


@pytest.fixture
def site(warehouse, tables):
    """Serve the page over three dry runs in each kind of database."""
    add_dry_run(warehouse, tables, "first", ACTIONS)
    add_dry_run(warehouse, tables, "second", ["send"] * 3, 1, "scheduled__2")
    add_dry_run(warehouse, tables, "third", ["delivered"], 1, "backfill__3")
    return Browser.of(lambda: warehouse, tables)


def shown(site, path, **parameters):
    response = site.get(f"/{path}?{urlencode(parameters)}")
    assert response.status_code == 200, response.text
    return Document(response.text)


def numbers(page):
    return [one.row.number for one in page.rows]


def test_every_action_has_its_effect():
    """The page has a sentence for each action."""
    assert set(EFFECTS) == set(Action)


def test_the_list_has_the_newest_dry_run_first(site):
    """Each dry run has time, day, starter, rows and counts by action."""
    page = shown(site, "dry-runs")
    links = [href for href in page.all("href") if re.fullmatch(r"dry-run\?run_id=\w+", href)]
    assert [link.partition("=")[2] for link in links] == ["third", "second", "first"]
    assert (
        f"2026-11-04 09:00:00 UTC {DAY} a person or a program 8"
        " send 3 changed 1 refused 1 invalid 1 duplicate 1 moved 1" in page.text
    )
    assert "the schedule 3 send 3" in page.text
    assert "a backfill 1 delivered 1" in page.text
    assert "dry-run?run_id=first&action=send" in page.all("href")


def test_the_list_shows_each_dry_run_once(warehouse, tables):
    """In every page size each dry run is shown once, also those of one moment."""
    for number in range(9):
        add_dry_run(warehouse, tables, f"r{number}", ["send"], number // 3)
    with warehouse.connect() as connection:
        dry_runs = DryRunList(connection, tables)
        for size in (1, 2, 4, 9, 20):
            wanted, found = DryRunListFilter(), []
            while True:
                page = dry_runs.page(wanted, size)
                found += [one.first.run_id for one in page.dry_runs]
                if page.after is None:
                    break
                wanted = DryRunListFilter(after=page.after)
            assert found == [f"r{number}" for number in reversed(range(9))], size


@pytest.mark.parametrize("token", ["x", "W10", "é", "WyIyMDI2LTAxLTAxIiwiYSJd"])
def test_an_invalid_position_of_a_dry_run_is_refused(token):
    """A cut or invented position, or one without a time zone, is refused with advice."""
    with pytest.raises(InvalidPositionError, match="Begin at the start"):
        DryRunPosition.read(token)


def test_the_rows_of_a_dry_run_by_their_filters(warehouse, site, tables):
    """Rows are chosen by action, integration, result and target, and by all of these."""
    with warehouse.connect() as connection:
        rows = DryRunRows(connection, tables)
        for conditions, expected in (
            ({}, list(range(8))),
            ({"action": "send"}, [0, 1, 6]),
            ({"action": "left out"}, []),
            ({"integration": "ats:1"}, [1, 3, 5, 7]),
            ({"action": "send", "integration": "ats:0"}, [0, 6]),
            ({"q": "first-4"}, [4]),
            ({"q": "c-2"}, [2, 5]),
            ({"q": "ats:0"}, [0, 2, 4, 6]),
            ({"q": "second-0"}, []),
            ({"q": "", "action": "", "integration": "", "after": ""}, list(range(8))),
        ):
            page = rows.page(DryRunFilter(run_id="first", **conditions))
            assert numbers(page) == expected, conditions
        assert rows.integrations("first") == ["ats:0", "ats:1"]


def test_the_pages_of_a_dry_run_show_every_row_once_and_back_again(warehouse, site, tables):
    """In every page size each row is shown once, forwards and backwards."""
    with warehouse.connect() as connection:
        rows = DryRunRows(connection, tables)
        for size in (1, 3, 8, 50):
            page = rows.page(DryRunFilter(run_id="first"), size)
            forwards = [numbers(page)]
            while page.after is not None:
                page = rows.page(DryRunFilter(run_id="first", after=page.after), size)
                forwards.append(numbers(page))
            assert [one for part in forwards for one in part] == list(range(8))
            back = [numbers(page)]
            while page.before is not None:
                page = rows.page(DryRunFilter(run_id="first", before=page.before), size)
                back.insert(0, numbers(page))
            assert back == forwards


def test_a_row_of_a_dry_run_has_request_and_reason(warehouse, tables, source_table):
    """A real dry run shows each row with action, reason and masked request."""
    rows = [row(name) for name in ("good", "bad", "other")]
    rows[0]["assessment_name"] = SCRIPT
    rows[1]["result_url"] = "ftp://results.example"
    fill(warehouse, source_table, rows)
    run_id = real_dry_run(warehouse, tables, redact=Redactor(["url"]))
    site = Browser.of(lambda: warehouse, tables)
    html = site.get(f"/dry-run?run_id={run_id}").text
    page = Document(html)
    requests = re.findall(r"<pre tabindex=\"0\">(.*?)</pre>", html)
    assert len(requests) == 2
    assert all('"url": "***"' in unescape(request) for request in requests)
    assert SCRIPT not in html
    assert SCRIPT in page.text
    assert "send 2 A run sends the row." in page.text
    assert "invalid 1 A run marks the row invalid: no request can be made of it." in page.text
    (reason,) = [one.error_message for one in all_of(warehouse, tables.preview) if one.error_code]
    assert reason in page.text
    assert "No request is stored." in page.text
    sent = shown(site, "dry-run", run_id=run_id, action="send")
    assert "No request is stored." not in sent.text


def test_a_row_leads_to_its_place_in_the_ledger(warehouse, tables, source_table):
    """A row of a known result leads to the result's page, also with another target."""
    fill_ledger(warehouse, tables)
    names = ("done", "failed", "new")
    fill(warehouse, source_table, [row(name, candidate_id=f"c-{name}") for name in names])
    with warehouse.begin() as connection:
        moved = "UPDATE assessment_results SET candidate_id = 'c-else' WHERE result_id = 'done'"
        connection.execute(text(moved))
    run_id = real_dry_run(warehouse, tables)
    site = Browser.of(lambda: warehouse, tables)
    page = shown(site, "dry-run", run_id=run_id)
    rows = [href for href in page.all("href") if href.startswith("row?")]
    assert ["c-done" in href for href in rows] == [True, False]
    assert "c-failed" in rows[1]
    assert [site.get(f"/{href}").status_code for href in rows] == [200, 200]
    assert "moved 1 Nothing: the row was sent, or may have been sent, to another" in page.text


def test_without_a_dry_run_the_page_describes_how_to_make_one(warehouse, tables):
    """The list describes both ways to a dry run, also before the preview table exists."""
    site = Browser.of(lambda: warehouse, tables)
    for _ in range(2):
        page = shown(site, "dry-runs")
        assert "There is no dry run" in page.text
        assert "trigger kombo_result_links with assessment_date and dry_run" in page.text
        assert {"../dags/kombo_result_links", "rows"} <= set(page.all("href"))
        assert site.get("/dry-run?run_id=gone").status_code == 404
        tables.create_preview(warehouse)


def test_a_preview_of_an_older_version_is_none(warehouse, tables):
    """A preview table with the old name of the actions is not read."""
    tables.create_preview(warehouse)
    with warehouse.begin() as connection:
        old = f"ALTER TABLE {tables.preview.name} RENAME COLUMN action TO verdict"
        connection.execute(text(old))
    site = Browser.of(lambda: warehouse, tables)
    assert "There is no dry run" in shown(site, "dry-runs").text


@pytest.mark.parametrize("parameters", ["", "run_id=a&action=fly", "run_id=a&after=soon"])
def test_a_wrong_address_of_a_dry_run_gets_advice(site, parameters):
    """A missing dry run, an unknown action and an invalid number are named."""
    response = site.get(f"/dry-run?{parameters}")
    assert response.status_code == 422
    assert "Correct" in Document(response.text).text


def test_an_action_of_the_page_leads_to_its_dry_run(site):
    """The outcome of a dry run has counts, and the address of each row."""
    body = {"action": "dry-run", "dag_run_ids": ["manual__1", "gone"], "result_ids": []}
    (sentence,) = site.post("/outcome", json=body).json()
    assert sentence["text"].startswith(f"A run of {DAY} would do this: 3 send, ")
    assert sentence["address"] == "dry-run?run_id=first"
    assert site.get(f"/{sentence['address']}").status_code == 200


@pytest.mark.parametrize("warehouse", ["sqlite", "postgresql"], indirect=True)
def test_dry_runs_are_found_and_counted_by_indexes(warehouse, tables):
    """The list reads the first row of each dry run, and counts rows without their requests."""
    for number in range(40):
        add_dry_run(warehouse, tables, f"r{number}", ["send"] * 50, number)
    statements = []

    def keep(_, __, statement, parameters, *___):
        statements.append((statement, parameters))

    is_sqlite = warehouse.dialect.name == "sqlite"
    explain = "EXPLAIN QUERY PLAN " if is_sqlite else "EXPLAIN "
    with warehouse.connect() as connection:
        if not is_sqlite:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.execute(text("VACUUM ANALYZE kombo_result_link_preview"))
        dry_runs = DryRunList(connection, tables)
        event.listen(warehouse, "before_cursor_execute", keep)
        dry_runs.page(DryRunListFilter(), 3)
        event.remove(warehouse, "before_cursor_execute", keep)
        plans = [
            str(connection.exec_driver_sql(explain + statement, parameters).all())
            for statement, parameters in statements
        ]
    assert ["kombo_result_link_preview_first" in plan for plan in plans] == [True, False]
    assert "kombo_result_link_preview_action" in plans[1]
