"""The bill of materials: of a whole environment, the packages of the shipped locks."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from support.harness import ROOT
from support.locks import versions

from tools.supply_chain.bom import LOCKS, WRITER, locked, prune

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def component(name, version):
    return {"bom-ref": f"{name}=={version}", "name": name, "version": version}


def bill():
    """Return a bill of an environment with a package of the locks and one of the tests."""
    return {
        "metadata": {"component": {"bom-ref": "root"}},
        "components": [
            component("Jinja2", "3"),
            component("MarkupSafe", "2"),
            component("pytest", "9"),
        ],
        "dependencies": [
            {"ref": "root", "dependsOn": ["Jinja2==3"]},
            {"ref": "Jinja2==3", "dependsOn": ["MarkupSafe==2", "pytest==9"]},
            {"ref": "pytest==9"},
        ],
    }


def test_the_tools_of_tests_are_left_out():
    """Components and dependencies are those of the locks."""
    bom = bill()
    assert prune(bom, {"jinja2": "3", "markupsafe": "2"}) == []
    assert [one["name"] for one in bom["components"]] == ["Jinja2", "MarkupSafe"]
    assert bom["dependencies"] == [
        {"ref": "root", "dependsOn": ["Jinja2==3"]},
        {"ref": "Jinja2==3", "dependsOn": ["MarkupSafe==2"]},
    ]


def test_another_version_than_the_locked_one_is_named():
    """A missing package of a lock, or one of another version, is returned."""
    assert prune(bill(), {"jinja2": "3", "markupsafe": "4", "pandas": "2"}) == [
        "markupsafe",
        "pandas",
    ]


def test_the_locks_are_read_for_this_python():
    """Of a package with several pins, the one for this Python is taken."""
    both = versions(LOCKS[0], PYTHON) | versions(LOCKS[1], PYTHON)
    assert {
        name.lower().replace("_", "-"): f"=={one}" for name, one in locked(LOCKS).items()
    } == both


@pytest.mark.skipif(not WRITER.exists(), reason="cyclonedx-py is not installed: make bom")
def test_the_bill_of_this_environment(tmp_path):
    """The bill has all locked packages with licences, and the project as the subject."""
    target = tmp_path / "dist" / "bom.json"
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "tools.supply_chain.bom", target],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    bom = json.loads(target.read_text())
    assert bom["bomFormat"] == "CycloneDX"
    assert bom["metadata"]["component"]["name"] == "airflow-provider-kombo"
    assert len(bom["components"]) == len(locked(LOCKS))
    by_name = {one["name"]: one for one in bom["components"]}
    assert by_name["psycopg"]["licenses"][0]["license"]["id"] == "LGPL-3.0-only"
