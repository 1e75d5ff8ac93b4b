"""The page over the tables of another write than result links."""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import urlencode

import pytest
from sqlalchemy import update
from support.harness import delivery
from support.page_client import Browser, Document
from support.report_rows import BLOCKED, RUN, UNKNOWN, record

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.runs import Runs
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.web.shown_write import ShownWrite
from airflow_kombo_plugin import AirflowKomboPlugin

JOB = LinkKey("lever:one", "job", "j-1", "unknown")
REPORT = LinkKey("lever:one", "report", "p-1", "blocked")


@pytest.fixture
def notes(warehouse):
    """Serve the page over another write with its own dag and other types of targets."""
    tables = Tables.named("kombo_order_notes")
    tables.create(warehouse)
    Runs(warehouse, tables).start(replace(RUN, dag_id="order_notes"))
    for key, outcome in ((JOB, UNKNOWN), (REPORT, BLOCKED)):
        row = replace(delivery(key.result_id), key=key, body=b"{}")
        record(Ledger(warehouse, tables), row, outcome)
    with warehouse.begin() as connection:
        connection.execute(update(tables.links).values(url_hash=None))
    return Browser.of(lambda: warehouse, tables)


def text_of(browser, path):
    response = browser.get(path)
    assert response.status_code == 200
    return Document(response.text).text


def test_the_page_bears_the_writes_own_name(notes):
    """No view of another write's tables speaks of links; the title is the write's own name."""
    for path in ("/", "/rows", "/decisions", f"/row?{urlencode(JOB.columns)}"):
        text = text_of(notes, path)
        assert "Kombo order notes" in text
        assert not re.search(r"\blinks?\b", text, re.IGNORECASE), path
    exported = notes.get("/rows.csv").headers["content-disposition"]
    assert exported == 'attachment; filename="kombo_order_notes.csv"'


def test_a_plan_names_no_dag_of_another_write(notes):
    """Rows are sent again by their own dag; the dag for decisions is described, not guessed."""
    html = notes.get(f"/plan?{urlencode({'action': 'send-again', **JOB.columns})}").text
    assert "can make a second order note" in Document(html).text
    dags = {href for href in Document(html).all("href") if re.fullmatch(r"\.\./dags/\w+", href)}
    assert dags == {"../dags/order_notes"}
    page = Document(notes.get(f"/plan?{urlencode({'action': 'created', **JOB.columns})}").text)
    assert 'KomboResolveUnknownOperator has the status_table "kombo_order_notes"' in page.text
    assert not [href for href in page.all("href") if re.fullmatch(r"\.\./dags/\w+", href)]
    assert page.all("data-confirm") == []


@pytest.mark.parametrize("key", [JOB, REPORT], ids=lambda key: key.target_type)
def test_a_row_is_found_by_a_target_of_any_type(notes, key):
    """A search finds rows by the id of their target, for all types of targets."""
    found = Document(notes.get(f"/rows?q={key.target_id}").text).all("href")
    assert [href for href in found if href.startswith("row?")] == [f"row?{urlencode(key.columns)}"]


def test_before_the_first_run_no_other_dag_is_named(warehouse):
    """Without tables, the page of another write names no dag of result links."""
    browser = Browser.of(lambda: warehouse, Tables.named("kombo_order_notes"))
    text = text_of(browser, "/")
    assert "no table kombo_order_notes" in text
    assert "kombo_result_links" not in text


@pytest.mark.parametrize(
    ("status_table", "title", "created_object", "file_name"),
    [
        ("kombo_result_links", "Kombo result links", "result link", "kombo_result_links"),
        ("ats.kombo_notes", "Kombo notes", "note", "kombo_notes"),
        ("outcomes", "Outcomes", "record", "outcomes"),
        ('odd "näme"', 'Odd "näme"', "record", "odd__n_me_"),
    ],
)
def test_names_of_a_write(status_table, title, created_object, file_name):
    """Title, created object and file name of a write are derived from its status table."""
    write = ShownWrite(status_table)
    assert (write.title, write.created_object, write.file_name) == (
        title,
        created_object,
        file_name,
    )
    is_default = write.delivery_dag_id is not None
    assert is_default == (write.decision_dag_id is not None)
    assert is_default == (status_table == "kombo_result_links")


def test_airflows_navigation_has_the_writes_own_name(monkeypatch):
    """The page's entry in Airflow is named after the configured status table."""
    names = []
    for status_table in ("kombo_result_links", "ats.kombo_notes"):
        monkeypatch.setenv("AIRFLOW__KOMBO__STATUS_TABLE", status_table)
        plugin = AirflowKomboPlugin()
        names += [plugin.external_views[0]["name"], plugin.fastapi_apps[0]["name"]]
        assert plugin.external_views is plugin.external_views  # Airflow removes entries in place
    assert names == ["Kombo result links"] * 2 + ["Kombo notes"] * 2
