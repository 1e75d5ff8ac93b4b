"""Recipes: the shipped ones, and unusable ones."""

from __future__ import annotations

import pytest
import yaml
from support.harness import ROOT

from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.reconciliation.recipes import Recipes, Source

SHIPPED = ROOT / "include" / "reconciliation.yaml"
TOOLS = [
    *("sandbox", "oraclerecruiting", "bullhorn4salesforce", "talent360", "greenhouse", "lever"),
    *("ashby", "workable", "smartrecruiters", "recruitee"),
]
GOOD = {
    "get": "/ats/notes",
    "lists": ["results"],
    "texts": ["content_html"],
    "source": "tried",
    "because": "tried",
}
PASSTHROUGH = {
    "get": None,
    "passthrough": "lever/v1",
    "path": "/opportunities/{remote_id}/notes",
}


def load(tmp_path, **changes):
    recipe = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    file = tmp_path / "recipes.yaml"
    file.write_text(yaml.safe_dump({"tools": {"lever": {"candidate": recipe}}}))
    return Recipes.load(file)


@pytest.mark.parametrize("target", ["application", "candidate"])
@pytest.mark.parametrize("tool", TOOLS)
def test_each_tool_has_a_recipe_that_says_how_sure_it_is(tool, target):
    """The shipped recipes can be used, name their source, and deny nothing unless sure."""
    recipe = Recipes.load(SHIPPED).of(f"{tool}:abc", target)
    assert recipe.because
    assert not (recipe.source is Source.INFERRED and recipe.may_deny)


def test_a_tool_without_a_recipe_takes_the_default_one(tmp_path):
    """The entry `default` serves all tools without a recipe."""
    assert Recipes.load(SHIPPED).of("workday:one", "candidate") is None
    file = tmp_path / "recipes.yaml"
    file.write_text(yaml.safe_dump({"tools": {"default": {"candidate": GOOD}}}))
    assert Recipes.load(file).of("workday:one", "candidate").get == "/ats/notes"
    assert Recipes.load(file).of("workday:one", "application") is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"get": None}, "name either get or passthrough"),
        ({**PASSTHROUGH, "get": "/ats/notes"}, "name either get or passthrough"),
        ({**PASSTHROUGH, "path": None}, "passthrough needs it"),
        ({"path": "/notes"}, "path belongs to passthrough"),
        ({"method": "POST"}, "Kombo's own reads are GETs"),
        ({"method": "DELETE"}, "method"),
        ({**PASSTHROUGH, "data": {"id": "1"}}, "data needs the method POST"),
        ({"get": "ats/notes"}, "a path begins with /"),
        ({"source": "inferred", "when_absent": "retryable"}, "never deny"),
        ({"source": "sure"}, "source"),
        ({"params": {"ids": "{candidate}"}}, "unknown placeholders candidate"),
        ({"params": {"ids": "{target_id.__class__}"}}, "unknown placeholders"),
        ({"params": {"ids": "{target_id:{candidate}}"}}, "unknown placeholders"),
        ({"params": {"ids": "{target_id:d}"}}, "unknown placeholders"),
        ({"params": {"ids": "{target_id!r}"}}, "unknown placeholders"),
        ({"params": {"filter": "{}"}}, "unknown placeholders"),
        ({"params": {"ids": "{"}}, "cannot be read"),
        ({"lists": []}, "lists"),
        ({"texts": []}, "texts"),
        ({"because": ""}, "because"),
        ({"where": "notes"}, "where"),
    ],
)
def test_a_recipe_that_cannot_be_used_is_named(tmp_path, changes, says):
    """A mistake in a recipe stops the task before anything is read, and is named."""
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, **changes)
    assert "tools.lever.candidate" in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff", b"tools: [", b"- a", b"tools: {lever: {order: {}}}"])
def test_a_file_that_is_no_file_of_recipes_is_refused(tmp_path, content):
    """A file with another content is an error of the configuration."""
    file = tmp_path / "recipes.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"recipes\.yaml"):
        Recipes.load(file)


def test_a_missing_file_is_named(tmp_path):
    """The error names the path."""
    with pytest.raises(ConfigurationError, match=r"nowhere\.yaml"):
        Recipes.load(tmp_path / "nowhere.yaml")
