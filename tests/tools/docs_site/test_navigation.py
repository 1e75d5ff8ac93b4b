"""The order of the pages, the same on the site and in the Markdown."""

from __future__ import annotations

import re
from importlib import import_module

import pytest
from support.harness import ROOT

from tools.docs_site.navigation import API, INDEX, START, pages_below, sections, toctrees

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [str(path.relative_to(ROOT).with_suffix("")) for path in PAGES]
REFERENCE = "\n".join(path.read_text() for path in (ROOT / "tools/docs_site/api").glob("*.rst"))
DIRECTIVE = re.compile(r"^\.\. (?:auto\w+|py:data):: airflow_kombo\.(\S+)$", re.MULTILINE)


def named(page):
    """Return the pages in the tables of contents of a page."""
    return re.findall(r"^/(\S+)$", toctrees(page, ROOT), re.MULTILINE)


def test_each_page_is_in_the_navigation_once():
    """Each page of docs/, and each at the top, is in one table of contents."""
    found = [one for page in NAMES for one in named(page)]
    assert sorted(found) == sorted({API, *NAMES} - {START})


def test_the_order_is_that_of_a_reader():
    """The sections go from the start to the decisions, each with pages."""
    found = dict(sections((ROOT / f"{INDEX}.md").read_text()))
    order = ["Start", "Set up", "Operate", "Answer questions", "Extend", "Look up", "Decisions"]
    assert list(found) == order
    assert all(found.values())


def test_a_folder_s_pages_are_in_the_order_of_its_first_page():
    """Links to other folders, and second links to a page, are left out."""
    text = "[b](b.md#x) [b](b.md) [a](a.md) [up](../c.md) [out](https://example.com/d.md)"
    assert pages_below("docs/x/README", text) == ["docs/x/b", "docs/x/a"]


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_pages_are_plain_markdown(path):
    """No page has a syntax of the site alone: directives, roles, admonitions, diagrams."""
    text = re.sub(r"`[^`\n]+`", "", path.read_text())
    foreign = re.compile(r"^\s*(?:```\{|```mermaid|:::|\.\. \w+::|!!! |\{\w+\}).*", re.MULTILINE)
    assert foreign.findall(text) == []


def test_the_reference_has_what_the_docs_import():
    """Each name in the imports of a page is in the API reference."""
    imports = re.compile(r"^from airflow_kombo\.(\S+) import (.+)$", re.MULTILINE)
    found = {
        f"{module}.{name.strip()}"
        for path in PAGES
        for module, names in imports.findall(path.read_text())
        for name in names.split(",")
    }
    listed = set(DIRECTIVE.findall(REFERENCE))
    assert len(found) > 10
    assert {one for one in found if not {one, one.rpartition(".")[0]} & listed} == set()


@pytest.mark.parametrize("name", DIRECTIVE.findall(REFERENCE))
def test_the_reference_names_what_exists(name):
    """Each entry is a module, or an attribute of one, with a docstring."""
    module, _, attribute = f"airflow_kombo.{name}".rpartition(".")
    parent = import_module(module)
    if not hasattr(parent, attribute):
        parent, attribute = import_module(f"airflow_kombo.{name}"), "__doc__"
    assert getattr(parent, attribute)
