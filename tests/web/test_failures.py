"""Errors at the addresses for programs: JSON in one shape."""

from __future__ import annotations

import re
import sys

import pytest
from fastapi import HTTPException
from sqlalchemy import create_engine
from support.harness import ROOT
from support.json_site import VIEWS, json_site
from support.page_client import Browser

from airflow_kombo.ledger.tables import Tables
from airflow_kombo.web import app as app_module
from airflow_kombo.web.database import EngineOfConnection, Warehouse
from airflow_kombo.web.json_problem import ProblemCode

JSON = [*(path for _, path in VIEWS.values()), "/openapi.json"]


@pytest.fixture
def site(warehouse, tables):
    return json_site(warehouse, tables)


def problem(site, path, method="GET"):
    """Read an error, and return the kind, the whole answer and the headers."""
    response = site.request(method, path)
    found = response.json()
    assert found["status"] == response.status_code
    assert set(found) == {"status", "code", "title", "detail", "parameters"}
    return (response.status_code, found["code"]), found


BAD = [
    ("/rows.json?day=soon&status=happy", ["day", "status"]),
    ("/rows.json?statsu=failed", ["statsu"]),
    ("/rows.json?limit=0", ["limit"]),
    ("/rows.json?limit=1001", ["limit"]),
    ("/runs.json?since=soon", ["since"]),
    ("/overview.json?days=8", ["days"]),
    ("/overview.json?day=2026-11-03", ["day"]),
    ("/run.json?dag=x", ["dag"]),
    ("/row.json", ["integration_id", "target_type", "target_id", "result_id"]),
]


def test_a_bad_parameter_is_named(site):
    """A value that is not valid, a name that is not known and a missing one are named."""
    for path, names in BAD:
        kind, found = problem(site, path)
        assert kind == (422, "invalid_parameters"), path
        assert {one["name"] for one in found["parameters"]} == set(names)
        assert all(one["problem"] for one in found["parameters"])
        assert all(name in found["detail"] for name in names)


NOWHERE = [
    ("/row.json?integration_id=a&target_type=b&target_id=c&result_id=d", (404, "not_found")),
    ("/run.json?run_id=nobody", (404, "not_found")),
    ("/run.json", (404, "not_found")),
    ("/nothing.json", (404, "not_found")),
    ("/rows.json?after=nonsense", (400, "invalid_position")),
    ("/runs.json?after=nonsense", (400, "invalid_position")),
]


def test_an_address_that_leads_nowhere(site):
    """An unknown row, run, address or position is an error of its kind."""
    for path, expected in NOWHERE:
        kind, found = problem(site, path)
        assert kind == expected, path
        assert found["parameters"] == []


def test_another_error_has_a_code_too(monkeypatch):
    """An error that this version does not know has the same shape, and the code `other`."""

    def denied():
        raise HTTPException(418, "Not now.")

    monkeypatch.setattr(app_module, "permission", lambda: denied)
    warehouse = Warehouse(lambda: pytest.fail("it was read"), Tables.named())
    kind, found = problem(Browser(app_module.make_app(warehouse)), "/rows.json")
    assert kind == (418, "other")
    assert found["detail"] == "Not now."


def test_the_documentation_has_every_code():
    """The table of errors in docs/json.md names each kind of error."""
    page = (ROOT / "docs" / "json.md").read_text()
    lines = re.findall(r"^\| (?:\d+|any other) \| `(\w+)` \|", page, re.MULTILINE)
    assert sorted(lines) == sorted(ProblemCode)


def test_an_answer_is_only_read(site):
    """Other methods are refused, with the one that is allowed."""
    kind, _ = problem(site, "/rows.json", "POST")
    assert kind == (405, "method_not_allowed")
    assert site.request("POST", "/rows.json").headers["allow"] == "GET"


def test_before_the_first_run(warehouse):
    """Without tables each answer is an error that a program can tell from a missing row."""
    site = Browser.of(lambda: warehouse, Tables.named())
    for _, path in VIEWS.values():
        kind, found = problem(site, path)
        assert kind == (404, "no_tables")
        assert "kombo_result_links" in found["detail"]


def test_a_warehouse_that_is_gone():
    """A warehouse without an answer is a 503, and so is a missing connection."""
    gone = create_engine("sqlite:////no/such/folder/warehouse.db")
    missing = EngineOfConnection("no_such")
    for engine, code in ((lambda: gone, "unavailable"), (missing, "not_set_up")):
        for _, path in VIEWS.values():
            kind, found = problem(Browser.of(engine, Tables.named()), path)
            assert kind == (503, code)
            assert found["detail"]


def test_every_answer_is_denied_without_airflows_permissions(monkeypatch):
    """Without Airflow's permission check, each address for programs is denied, as JSON."""
    monkeypatch.setitem(sys.modules, "airflow.api_fastapi.core_api.security", None)
    warehouse = Warehouse(lambda: pytest.fail("it was read"), Tables.named())
    browser = Browser(app_module.make_app(warehouse))
    for path in JSON:
        kind, _ = problem(browser, path)
        assert kind == (403, "forbidden")
