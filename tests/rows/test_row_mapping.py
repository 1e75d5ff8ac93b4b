"""Mistakes in a mapping, and sections for single tools."""

from __future__ import annotations

import json

import pytest
from support.harness import requests_of
from support.mappings import ROW, body, mapped

from airflow_kombo.exceptions import MappingError
from airflow_kombo.kombo_api.result_link import RESULT_LINKS
from airflow_kombo.rows.result_link_mapping import ResultLinkMapping

KEY_COLUMNS = RESULT_LINKS.key_columns


GOOD = {"label": "{{ name }}", "url": {"column": "url"}}


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({**GOOD, "atributes": {}}, "atributes is not known (did you mean 'attributes'?)"),
        ({**GOOD, "attributes": {"A": {"column": "x", "fromat": "date"}}}, "'format'"),
        ({**GOOD, "url": {"colum": "url"}}, "did you mean 'column'?"),
        ({**GOOD, "attributes": {"A": {"column": "x", "format": "money"}}}, "attributes.A"),
        ({**GOOD, "attributes": {2: "x"}}, "attributes.2"),
        ({**GOOD, "attributes": {" ": "x"}}, "attributes"),
        ({**GOOD, "attributes": ["Score"]}, "attributes"),
        ({"label": "x"}, "url: Field required"),
        ({**GOOD, "label": 7}, "label"),
        ({**GOOD, "label": "{{ name"}, "broken template"),
        ({**GOOD, "label": "{% if name %}"}, "broken template"),
        ({**GOOD, "attributes": {"A": "{{ x|nosuchfilter }}"}}, "nosuchfilter"),
        (None, "the whole"),
        ([], "the whole"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_a_mapping_that_cannot_be_used_says_where(declared, message):
    """A typo is found before a row is read, with the place and the nearest name."""
    with pytest.raises(MappingError) as raised:
        ResultLinkMapping.parse(declared)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    "content", [b"label: [", b"\xff", b"label: 2026-02-30", b"label: !!python/object:x.y {}", b""]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, content):
    """A missing, empty, broken or wrongly encoded file is named in the message."""
    path = tmp_path / "mapping.yaml"
    with pytest.raises(MappingError, match=r"mapping\.yaml"):
        ResultLinkMapping.load(path)
    path.write_bytes(content)
    with pytest.raises(MappingError, match=r"mapping\.yaml"):
        ResultLinkMapping.load(path)


def test_a_column_that_is_not_there_is_named_with_its_neighbour():
    """A misspelt column is named with the field and the nearest column."""
    mapping = mapped({"Score": {"column": "scor", "format": "percent", "of": "max_scor"}})
    with pytest.raises(MappingError) as raised:
        mapping.check([*ROW, "score", "max_score"])
    message = str(raised.value)
    assert "'scor' (for attributes.Score) (did you mean 'score'?)" in message
    assert "'max_scor' (for attributes.Score) (did you mean 'max_score'?)" in message


@pytest.mark.parametrize("name", KEY_COLUMNS)
def test_key_columns_are_needed_whatever_the_mapping_reads(name):
    """Rows without a column of the key are refused for any mapping."""
    with pytest.raises(MappingError, match=name):
        mapped().check([column for column in ROW if column != name])


def test_a_column_that_a_template_reads_is_checked_too():
    """A template's columns are checked before a row is read; a variable is no column."""
    mapping = mapped({"A": "{% set y = x %}{{ y }}{% for i in range(2) %}{{ i }}{% endfor %}"})
    mapping.check([*ROW, "x"])
    with pytest.raises(MappingError, match=r"'x' \(for attributes\.A\)"):
        mapping.check(ROW)


# Sections for single tools

BY_TOOL = """
label: "{{ name }}"
url: {column: url}
attributes: &all
  Score: {column: score}
  Duration: {column: duration}
remote_fields: {column: remote}
tools:
  workday: {label: "Assessment {{ name }}"}
  greenhouse:
    attributes: {<<: *all, Score: "{{ score }} points"}
    remote_fields: null
  lever: {attributes: {}}
"""
SHOWN = {"score": 95.0, "duration": 60, "remote": {"x": 1}}


@pytest.mark.parametrize(
    ("integration_id", "label", "attributes", "remote"),
    [
        ("other:1", "Coding", {"Score": "95", "Duration": "60"}, True),
        ("workday", "Assessment Coding", {"Score": "95", "Duration": "60"}, True),
        ("workday:a:b", "Assessment Coding", {"Score": "95", "Duration": "60"}, True),
        ("workdayx:1", "Coding", {"Score": "95", "Duration": "60"}, True),
        ("greenhouse:1", "Coding", {"Score": "95 points", "Duration": "60"}, False),
        ("lever:1", "Coding", {}, True),
    ],
)
def test_a_tools_section_takes_the_place_of_what_it_names(
    tmp_path, integration_id, label, attributes, remote
):
    """A tool's section replaces whole parts; the general mapping has the other parts."""
    (tmp_path / "mapping.yaml").write_text(BY_TOOL)
    mapping = ResultLinkMapping.load(tmp_path / "mapping.yaml")
    sent = body(mapping, integration_id=integration_id, **SHOWN)
    details = sent.get("details", {"attributes": []})
    assert sent["label"] == label
    assert {one["key"]: one["value"] for one in details["attributes"]} == attributes
    assert ("remote_fields" in sent) is remote


def test_the_defaults_tool_counts():
    """A row without an integration uses the section of the default integration's tool."""
    mapping = mapped(tools={"workday": {"label": "For Workday"}})
    ((one,), _) = requests_of(mapping, [{**ROW, "integration_id": None}], "workday:default")
    assert json.loads(one.body)["label"] == "For Workday"


@pytest.mark.parametrize(
    ("tools", "message"),
    [
        ({"workday": {"label": "{{ name"}}, "broken template: tools.workday.label: "),
        (
            {"lever": {"attributes": {"A": "{{ x|nofilter }}"}}},
            "broken template: tools.lever.attributes.A: ",
        ),
        ({"workday": {"lable": "x"}}, "tools.workday.lable is not known (did you mean 'label'?)"),
        ({"workday": {"url": None}}, "tools.workday.url"),
        ({"workday": {"tools": {}}}, "tools.workday.tools is not known"),
        ({"workday": {"attributes": ["A"]}}, "tools.workday.attributes"),
        ({"workday": "x"}, "tools.workday: must be"),
        ({"workday": None}, "tools.workday: must be"),
        ({"workday:abc": {}}, "tools.workday:abc: must be"),
        ({"Workday": {}}, "tools.Workday: must be"),
        ({7: {}}, "tools.7: must be"),
        (["workday"], "tools.: must be"),
    ],
    ids=repr,
)
def test_a_section_that_cannot_be_used_is_named(tools, message):
    """A mistake in a section is found as the mapping is loaded, and names the tool."""
    with pytest.raises(MappingError) as raised:
        mapped(tools=tools)
    assert message in str(raised.value)


def test_a_section_is_named_with_the_column_that_it_misses():
    """A column of one section is checked, and named for that section only."""
    mapping = mapped(tools={"lever": {"label": "{{ nam }}"}, "workday": {"attributes": {}}})
    with pytest.raises(MappingError) as raised:
        mapping.check(ROW)
    message = str(raised.value)
    assert "'nam' (for tools.lever.label) (did you mean 'name'?)" in message
    assert message.count("(for ") == 1
