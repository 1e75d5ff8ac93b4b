"""Unknown rows as CSV on the page, and the check of a filled-in file."""

from __future__ import annotations

import csv
import io
import json

import pytest
from sqlalchemy import select, update
from support.harness import DAY, all_of
from support.page_client import Browser, Document
from support.report_rows import add_rows, fill_ledger

from airflow_kombo.ledger.decision_file import read_decisions
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.statuses import Decision
from airflow_kombo.web.decisions import MOST_BYTES

NO_HEAD = "does not name the columns"


@pytest.fixture
def site(warehouse, tables):
    """Serve the page over unknown rows of three days; one row has its attempt."""
    fill_ledger(warehouse, tables)
    add_rows(warehouse, tables, ("=2", 1, "unknown"), ("r3", None, "unknown"))
    return Browser.of(lambda: warehouse, tables)


def lines_of(response):
    assert response.status_code == 200
    assert response.headers["content-disposition"].startswith("attachment")
    return list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"), newline="")))


def filled(lines, **decisions):
    """Return the file with a decision for some results, as Excel in Europe saves it."""
    text = io.StringIO()
    writer = csv.DictWriter(text, lines[0], delimiter=";", lineterminator="\r\n")
    writer.writeheader()
    for line in lines:
        writer.writerow(line | {"decision": decisions.get(line["result_id"].strip("'="), "")})
    return text.getvalue().encode("utf-8-sig")


def test_the_page_exports_the_unknown_rows(site):
    """The CSV has the unknown rows, narrowed by integration, day and error code."""
    lines = lines_of(site.get("/unknown.csv"))
    assert sorted(line["result_id"] for line in lines) == ["'=2", "r3", "unknown"]
    for narrowed in (f"day={DAY}", "error_code=answer_lost", f"integration=workday:one&day={DAY}"):
        (line,) = lines_of(site.get(f"/unknown.csv?{narrowed}&status=failed&q=x"))
        assert (line["result_id"], line["error_code"]) == ("unknown", "answer_lost")
    assert lines_of(site.get("/unknown.csv?integration=lever:one")) == []
    assert site.get("/unknown.csv?day=soon").status_code == 422


def test_the_links_keep_the_conditions(site):
    """The list of unknown rows links to the CSV of the same rows; the overview to all of them."""
    hrefs = Document(site.get(f"/rows?status=unknown&day={DAY}&error_code=answer_lost").text).all(
        "href"
    )
    assert f"unknown.csv?day={DAY}&error_code=answer_lost" in hrefs
    assert {"unknown.csv", "decisions"} <= set(Document(site.get("/").text).all("href"))
    for other in ("status=failed", "", "status=unknown&q=unknown"):
        hrefs = Document(site.get(f"/rows?{other}").text).all("href")
        assert not [href for href in hrefs if href.startswith("unknown.csv")]


@pytest.mark.parametrize("is_pasted", [False, True], ids=["file", "text"])
def test_a_checked_file_becomes_the_configuration_of_the_dag(site, is_pasted, warehouse, tables):
    """The page counts the decisions, names left lines, and writes nothing to the tables."""
    attempts = all_of(warehouse, tables.attempts)
    content = filled(
        lines_of(site.get("/unknown.csv")), **{"unknown": "Created", "2": "not created"}
    )
    content += b"x;workday:one;candidate;c9;;done;;1;created;\r\n".replace(
        b"x;", b"2026-11-04T02:00:00Z;", 1
    )
    fields = {"reason": "seen"}
    sent = {"data": fields, "files": {"file": ("unknown.csv", content)}}
    if is_pasted:
        sent = {"data": fields | {"text": content.decode()}, "files": {"file": ("", b"")}}
    response = site.post("/decisions", **sent)
    page = Document(response.text)
    assert response.status_code == 200
    assert "created 1 not created 1 left 2" in page.text
    assert "1 left: no decision." in page.text
    assert "1 left: not found. line 5 ( done )" in page.text
    assert "../dags/kombo_resolve_unknown" in page.all("href")
    conf = json.loads(page.text[page.text.index("{") : page.text.index("}") + 1])
    decided = {line.key.result_id: line for line in read_decisions(conf["decisions"]).decided}
    assert {name: line.decision for name, line in decided.items()} == {
        "unknown": Decision.CREATED, "=2": Decision.NOT_CREATED,
    }  # fmt: skip
    assert {line.reason for line in decided.values()} == {"seen"}
    assert all_of(warehouse, tables.attempts) == attempts


def test_a_file_without_a_row_to_decide_has_no_configuration(site, warehouse, tables):
    """A row that was decided since is left with its status, and there is nothing to paste."""
    content = filled(lines_of(site.get("/unknown.csv")), unknown="created")
    with warehouse.begin() as connection:
        connection.execute(update(tables.links).values(status="success"))
    text = Document(site.post("/decisions", files={"file": ("f", content)}).text).text
    assert "no reason for the decision in line" in text
    sent = {"data": {"reason": "seen"}, "files": {"file": ("f", content)}}
    page = Document(site.post("/decisions", **sent).text)
    assert "1 left: success." in page.text
    assert "No row can be decided by this file." in page.text
    assert "textarea" in [tag for tag, _ in page.elements]
    assert page.all("data-conf") == []


SCRIPT = b"result_id,integration_id,target_type,target_id,attempt,decision,reason\n<b>,a,b,c,1,"


@pytest.mark.parametrize(
    ("sent", "status", "message"),
    [
        ({}, 422, NO_HEAD),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "Bad Request"),
        ({"data": {"file": "no file", "text": "a;b"}}, 422, NO_HEAD),
        ({"files": {"file": ("f", "\xe9".encode("cp1252"))}}, 422, "CSV UTF-8"),
        ({"files": {"file": ("f", SCRIPT + b"maybe,x")}}, 422, "take back in line 2"),
        ({"files": {"file": ("f", SCRIPT + b"created,x")}}, 200, "line 2 ( <b> )"),
        ({"files": {"file": ("f", b"x" * MOST_BYTES)}}, 413, "more than 2 MiB"),
        ({"data": {"text": "x" * MOST_BYTES}}, 413, "more than 2 MiB"),
        ({"files": {"file": ("f", b"a"), "other": ("g", b"b")}}, 400, "Too many files"),
    ],
    ids=["nothing", "no boundary", "text", "cp1252", "word", "markup", "file", "form", "files"],
)
def test_a_wrong_form_gets_a_page_with_the_problem(site, sent, status, message):
    """A wrong or too large file is refused with the dag's own message, and no markup of it."""
    response = site.post("/decisions", **sent)
    assert response.status_code == status
    assert message in Document(response.text).text
    assert "<b>" not in response.text


def test_a_file_for_another_write_names_no_dag(warehouse):
    """The tables of another write have no URL, and their deciding dag is described."""
    tables = Tables.named("kombo_order_notes")
    tables.create(warehouse)
    fill_ledger(warehouse, tables)
    browser = Browser.of(lambda: warehouse, tables)
    response = browser.get("/unknown.csv")
    assert 'filename="kombo_order_notes_unknown.csv"' in response.headers["content-disposition"]
    lines = lines_of(response)
    assert [line["url"] for line in lines] == [""]
    sent = {"data": {"reason": "x"}, "files": {"file": ("f", filled(lines, unknown="created"))}}
    page = Document(browser.post("/decisions", **sent).text)
    assert 'KomboResolveUnknownOperator has the status_table "kombo_order_notes"' in page.text
    assert not [href for href in page.all("href") if "/dags/" in href]


def test_before_the_first_run_a_file_is_answered(warehouse):
    """Without tables the check of a file gets the page with the settings."""
    content = SCRIPT + b"created,x"
    browser = Browser.of(lambda: warehouse, Tables.named())
    response = browser.post("/decisions", files={"file": ("f", content)})
    assert "Nothing was delivered yet" in Document(response.text).text


def test_a_row_counts_as_sent_again_on_the_page(site, warehouse, tables):
    """A row with a newer attempt than the file's is left, with both numbers."""
    content = filled(lines_of(site.get("/unknown.csv")), unknown="created")
    with warehouse.begin() as connection:
        connection.execute(update(tables.links).values(attempts=2))
        assert set(connection.execute(select(tables.links.c.attempts)).scalars()) == {2}
    sent = {"data": {"reason": "x"}, "files": {"file": ("f", content)}}
    text = Document(site.post("/decisions", **sent).text).text
    assert "1 left: attempt 1 is not the newest one: attempt 2 is." in text
