"""OpenAPI document: it describes the answers of all addresses for programs, and no other."""

from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from sqlalchemy import create_engine
from support.json_site import VIEWS, json_site, key_of
from support.page_client import Browser

from airflow_kombo.database.transactions import prepare
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.statuses import Status
from airflow_kombo.web.json_openapi import openapi_document
from airflow_kombo.web.json_problem import ProblemCode
from airflow_kombo.web.json_routes import router

ANSWERS = [
    *(path for _, path in VIEWS.values()),
    "/rows.json?limit=2",
    "/rows.json?q=nobody",
    "/overview.json?days=7&until=2020-01-01",
    f"/row.json?{key_of('unknown')}",
    "/run.json?run_id=alone",
    *("/rows.json?statsu=failed", "/rows.json?after=x", "/row.json", "/run.json?run_id=x"),
]


@pytest.fixture
def site(warehouse, tables):
    return json_site(warehouse, tables)


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    """Return the document that the page serves."""
    engine = prepare(create_engine(f"sqlite:///{tmp_path_factory.mktemp('page') / 'w.db'}"))
    yield Browser.of(lambda: engine, Tables.named()).get("/openapi.json").json()
    engine.dispose()


def strict(value):
    """Return a schema in which no object has other members than those described."""
    if isinstance(value, list):
        return [strict(one) for one in value]
    if not isinstance(value, dict):
        return value
    made = {name: strict(one) for name, one in value.items()}
    return {**made, "additionalProperties": False} if "properties" in made else made


def test_the_document_describes_every_answer(site, document):
    """Each answer, also an error, has exactly the members and types of the document."""
    for path in ANSWERS:
        the_document_describes(site.get(path), path, document)


def the_document_describes(response, path, document):
    operation = document["paths"][path.partition("?")[0]]["get"]
    described = operation["responses"][str(response.status_code)]
    schema = described["content"]["application/json"]["schema"]
    whole = strict({**schema, "components": document["components"]})
    Draft202012Validator.check_schema(whole)
    checker = Draft202012Validator(whole, format_checker=FormatChecker())
    assert [error.message for error in checker.iter_errors(response.json())] == [], path


def test_the_document_names_the_addresses_for_programs(document):
    """The document has each JSON view, and nothing else of the page."""
    paths = {path.partition("?")[0] for _, path in VIEWS.values()}
    assert set(document["paths"]) == paths
    assert {route.path for route in router.routes} == {*paths, "/openapi.json"}
    for path in document["paths"].values():
        assert list(path) == ["get"]


def test_the_document_has_all_statuses_and_codes(document):
    """Statuses and kinds of errors are lists of their values."""
    schemas = document["components"]["schemas"]
    assert schemas["Status"]["enum"] == [status.value for status in Status]
    assert schemas["ProblemCode"]["enum"] == [code.value for code in ProblemCode]


def test_every_parameter_and_member_has_a_description(document):
    """A reader of the document finds a sentence for each parameter and each member."""
    for path in document["paths"].values():
        for parameter in path["get"].get("parameters", []):
            assert parameter["description"].endswith("."), parameter["name"]
    for name, schema in document["components"]["schemas"].items():
        for member, described in schema.get("properties", {}).items():
            assert described["description"].endswith("."), (name, member)


def test_the_document_asks_for_a_token(document):
    """Each address needs the token of Airflow's API, and names its errors."""
    (scheme,) = document["components"]["securitySchemes"].values()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert document["security"] == [
        {name: []} for name in document["components"]["securitySchemes"]
    ]
    for path in document["paths"].values():
        assert {"200", "401", "403", "422", "503"} <= set(path["get"]["responses"])


def test_the_document_works_below_a_prefix():
    """A client finds the addresses below the prefix of a proxy."""
    below = openapi_document(router.routes, "Title", "/team/kombo")
    assert below["servers"] == [{"url": "/team/kombo"}]
    assert "servers" not in openapi_document(router.routes, "Title")
