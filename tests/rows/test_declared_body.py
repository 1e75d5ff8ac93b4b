"""Nested request bodies in a mapping."""

from __future__ import annotations

import json
from typing import Annotated

import pytest
from pydantic import BaseModel, Field, Json
from support.harness import DAY, all_of, by_result, requests_of, run_day

from airflow_kombo.exceptions import ConfigurationError, MappingError
from airflow_kombo.kombo_api.request import InvalidRow, RowRequest
from airflow_kombo.kombo_api.writes import HttpUrl, Request, Text, Write
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.rows.result_link_mapping import mapping_of
from airflow_kombo.rows.task_source import TaskSource


class Owner(Request):
    email: Text = Field(alias="eMail")
    age: float | None = None


class Label(Request):
    name: Text
    check: str | None = None  # also the name of a mapping's method
    owner: Annotated[Owner, Field(description="who made it")] | None = None


class TagRequest(Request):
    tag: Label
    owner: Owner | None = None
    load: str | None = None  # also the name of a mapping's method
    as_json: Json[Owner] | None = None


def write_of(request):
    return Write("tag", "/ats/candidates/{target_id}/tags", request, {"candidate": "candidate_id"})


TAGS = write_of(TagRequest)
ROW = {"result_id": "r1", "integration_id": "lever:1", "candidate_id": "c1", "level": "Expert"}


def outcome(declared, **columns):
    requests, invalid = requests_of(mapping_of(TAGS).parse(declared), [{**ROW, **columns}])
    (one,) = [*requests, *invalid]
    return one


def sent(declared, **columns):
    made = outcome(declared, **columns)
    assert isinstance(made, RowRequest), made
    return json.loads(made.body)


@pytest.mark.parametrize(
    ("declared", "body"),
    [
        ({"tag": {"name": "{{ level }}"}}, {"tag": {"name": "Expert"}}),
        ({"tag": {"name": {"column": "level"}}}, {"tag": {"name": "Expert"}}),
        (
            {"tag": {"name": "a", "owner": {"eMail": "{{ mail }}", "age": "{{ age }}"}}},
            {"tag": {"name": "a", "owner": {"eMail": "a@b.example", "age": 41.0}}},
        ),
        (
            {"tag": {"name": "a"}, "owner": {"eMail": {"column": "mail"}}},
            {"tag": {"name": "a"}, "owner": {"eMail": "a@b.example"}},
        ),
        (
            {"tag": {"name": "a", "check": "b"}, "load": "c"},
            {"tag": {"name": "a", "check": "b"}, "load": "c"},
        ),
        (
            {"tag": {"name": "a"}, "as_json": '{"eMail": "{{ mail }}"}'},
            {"tag": {"name": "a"}, "as_json": {"eMail": "a@b.example"}},
        ),
    ],
    ids=repr,
)
def test_a_nested_body_is_declared_as_it_is_nested(declared, body):
    """Each member of a nested body has a template or a column, at any depth."""
    assert sent(declared, mail="a@b.example", age=41) == body


def test_a_nested_body_without_a_value_is_left_out():
    """An optional body without any value is not sent."""
    declared = {"tag": {"name": "a", "owner": {"eMail": "{{ mail }}"}}}
    assert sent(declared, mail=None) == {"tag": {"name": "a"}}


@pytest.mark.parametrize(
    ("columns", "code", "field"),
    [
        ({"level": None, "age": None, "mail": None}, "missing_field", "tag"),
        ({"level": None}, "missing_field", "tag.name"),
        ({"mail": " "}, "missing_field", "tag.owner.eMail"),
        ({"age": "Zq7canary"}, "invalid_field", "tag.owner.age"),
        ({"age": "nan"}, "invalid_field", "tag.owner.age"),
        ({"level": float("inf")}, "invalid_field", "tag.name"),
    ],
)
def test_a_row_that_lacks_a_nested_value_is_invalid(columns, code, field):
    """The message names the path of the member and never quotes the value."""
    declared = {
        "tag": {"name": "{{ level }}", "owner": {"eMail": "{{ mail }}", "age": "{{ age }}"}}
    }
    made = outcome(declared, **{"mail": "a@b.example", "age": 41, **columns})
    assert isinstance(made, InvalidRow)
    assert (made.error.code, made.error.field) == (code, field)
    assert "Zq7canary" not in str(made.error)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({}, "used: tag: Field required"),
        ({"tag": {}}, "used: tag.name: Field required"),
        ({"tag": "x"}, "used: tag: must be a mapping of the members name, check, owner"),
        ({"tag": None}, "used: tag: must be a mapping of the members name, check, owner"),
        ({"tag": {"name": "x", "chek": "y"}}, "tag.chek is not known (did you mean 'check'?)"),
        ({"tga": {}, "tag": {"name": "x"}}, "tga is not known (did you mean 'tag'?)"),
        ({"tag": {"name": 7}}, 'tag.name: must be a text such as "{{ name }}" or a column such as'),
        ({"tag": {"name": {"colum": "x"}}}, "tag.name.colum is not known (did you mean 'column'?)"),
        ({"tag": {"name": "x", "owner": {"email": "y"}}}, "tag.owner.email is not known (did you"),
        ({"tag": {"name": "{{ x"}}, "broken template: tag.name: "),
        ({"member_0": {"name": "x"}, "tag": {"name": "x"}}, "member_0 is not known"),
        (
            {"tag": {"name": "x"}, "tools": {"lever": {"tag": {"nam": "y"}}}},
            "tools.lever.tag.nam is not known (did you mean 'name'?)",
        ),
    ],
    ids=repr,
)
def test_a_wrong_nested_declaration_names_its_path(declared, message):
    """A mistake is found before a row is read, with the path and the nearest member."""
    with pytest.raises(MappingError) as raised:
        mapping_of(TAGS).parse(declared)
    assert message in str(raised.value)
    assert "Mapping" not in str(raised.value)


def test_a_nested_column_is_checked():
    """A missing column is named with the member's path."""
    mapping = mapping_of(TAGS).parse({"tag": {"name": "{{ levl }}"}})
    with pytest.raises(MappingError, match=r"'levl' \(for tag\.name\) \(did you mean 'level'\?\)"):
        mapping.check(ROW)


def test_a_tool_replaces_a_whole_nested_body():
    """A tool's section replaces a nested body like any other part."""
    general = {"name": "a", "check": "b"}
    declared = {"tag": general, "tools": {"lever": {"tag": {"name": "{{ level }}"}}}}
    assert sent(declared) == {"tag": {"name": "Expert"}}
    assert sent(declared, integration_id="workday:1") == {"tag": general}


def test_a_nested_body_must_be_a_request():
    """Another model, open to unknown members and infinite numbers, is refused."""

    class Loose(BaseModel):
        name: str

    class Outer(Request):
        tag: Loose | None = None

    with pytest.raises(ConfigurationError, match=r"tag of Outer .* Loose must be a subclass"):
        mapping_of(write_of(Outer))


def test_a_body_inside_itself_ends():
    """A recursive member is declared as a text: a mapping has an end."""

    class Tree(Request):
        name: str
        below: Tree | None = None

    Tree.model_rebuild(_types_namespace={"Tree": Tree})
    mapping = mapping_of(write_of(Tree)).parse({"name": "{{ level }}"})
    assert mapping.reads() == {("name", "level")}


class Recruitee(Request):
    subtitle: Text


class RemoteFields(Request):
    recruitee: Recruitee | None = None


class OrderResult(Request):
    status: str = "COMPLETED"
    result_url: HttpUrl
    remote_fields: RemoteFields | None = None


def test_nested_bodies_are_delivered(warehouse, standin):
    """A run sends nested bodies, and a row without a required member is `invalid`."""
    write = Write(
        name="order_result",
        method="PUT",
        path="/assessment/orders/{target_id}/result",
        request=OrderResult,
        targets={"order": "order_id"},
    )
    rows = [
        {
            "result_id": result_id,
            "assessment_date": DAY,
            "integration_id": "lever:1",
            "order_id": f"order-{result_id}",
            "url": url,
            "level": level,
        }
        for result_id, url, level in [
            ("r1", "https://results.example/1", "Expert"),
            ("r2", "https://results.example/2", None),
            ("r3", None, "Expert"),
        ]
    ]
    mapping = mapping_of(write).parse(
        {
            "result_url": {"column": "url"},
            "remote_fields": {"recruitee": {"subtitle": "{{ level }}"}},
        }
    )
    tables = Tables.named(write.status_table)
    tables.create(warehouse)
    source = TaskSource(rows)
    run_day(warehouse, tables, source=source, mapping=mapping)
    links = by_result(warehouse, tables)
    assert {key: links[key].status for key in sorted(links)} == {
        "r1": "success",
        "r2": "success",
        "r3": "invalid",
    }
    assert (
        links["r3"].error_message == "result_url: is empty: fill the column or change the mapping"
    )
    bodies = {one.result_id: json.loads(one.request) for one in all_of(warehouse, tables.attempts)}
    assert bodies == {
        "r1": {
            "status": "COMPLETED",
            "result_url": "https://results.example/1",
            "remote_fields": {"recruitee": {"subtitle": "Expert"}},
        },
        "r2": {"status": "COMPLETED", "result_url": "https://results.example/2"},
    }
    assert sorted(one["target_id"] for one in standin.order_results()) == ["order-r1", "order-r2"]
