"""Layouts made by platforms, each read by real Airflow, and the pages' words about them."""

from __future__ import annotations

import json
import re
import shutil
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from support.airflow_commands import DAG, airflow
from support.harness import ROOT

from tools.plugins_zip import write

PAGES = ROOT / "docs" / "platforms"


def mwaa(place):
    """Make the layout of MWAA and Composer: include/ in dags/, the plugins out of the archive."""
    shutil.copytree(ROOT / "dags", place / "dags")
    shutil.copytree(ROOT / "include", place / "dags" / "include")
    write(place / "plugins.zip")
    with ZipFile(place / "plugins.zip") as archive:
        archive.extractall(place / "plugins")
    return place / "dags", place / "plugins"


def git_sync(place):
    """Make the layout of Helm with git-sync: a link to a checkout named after the commit."""
    checkout = place / ".worktrees" / "0a1b2c"
    for name in ("dags", "plugins", "include"):
        shutil.copytree(ROOT / name, checkout / name)
    (place / "repo").symlink_to(checkout, target_is_directory=True)
    return place / "repo" / "dags", place / "repo" / "plugins"


def named(place):
    """Make a folder elsewhere, for the setting."""
    shutil.copytree(ROOT / "dags", place / "dags")
    shutil.copytree(ROOT / "plugins", place / "plugins")
    shutil.copytree(ROOT / "include", place / "elsewhere")
    return place / "dags", place / "plugins"


def bundle(place):
    """Make a dag bundle of a checkout, and a plugins folder elsewhere."""
    for name in ("dags", "include"):
        shutil.copytree(ROOT / name, place / "bundle" / name)
    shutil.copytree(ROOT / "plugins", place / "plugins")
    return place / "bundle" / "dags", place / "plugins"


@pytest.mark.parametrize("layout", [mwaa, git_sync, named, bundle])
def test_the_dags_are_read_in_the_platform_s_layout(tmp_path, layout):
    """Airflow reads the dags without an import error, and registers the plugin."""
    dags, plugins = layout(tmp_path)
    environment = {
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins),
    }
    if layout is named:
        environment["AIRFLOW__KOMBO__INCLUDE_FOLDER"] = str(tmp_path / "elsewhere")
    if layout is bundle:
        local = "airflow.dag_processing.bundles.local.LocalDagBundle"
        one = {"name": "kombo", "classpath": local, "kwargs": {"path": str(dags)}}
        environment["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"] = json.dumps([one])
        environment["AIRFLOW__CORE__DAGS_FOLDER"] = str(tmp_path / "nothing")
    home = tmp_path / "home"
    airflow(home, "db", "migrate", **environment)
    options = ["--local", "--bundle-name", "kombo"] if layout is bundle else ["--local"]
    listed = airflow(home, "dags", "list", *options, **environment).stdout
    assert DAG in listed
    assert "kombo_reconcile" in listed
    told = airflow(home, "plugins", **environment)
    assert "airflow_kombo" in told.stdout
    assert "rror" not in told.stdout + told.stderr


def test_the_archive_keeps_the_ignore_files(tmp_path):
    """plugins.zip has the files of plugins/, with the dotfiles and without bytecode."""
    write(tmp_path / "plugins.zip")
    names = set(ZipFile(tmp_path / "plugins.zip").namelist())
    assert {".airflowignore", "airflow_kombo/.airflowignore", "airflow_kombo_plugin.py"} <= names
    assert "airflow_kombo/web/templates/base.html" in names
    assert not [name for name in names if "pycache" in name]


def test_the_short_requirements_leave_airflow_alone():
    """The file for platforms names no Airflow, and pins nothing."""
    lines = [
        line.partition("#")[0] for line in (PAGES / "requirements.txt").read_text().split("\n")
    ]
    named_ = [Requirement(line) for line in lines if line.strip()]
    assert named_
    assert not {one.name for one in named_} & {"apache-airflow", "apache-airflow-core"}
    assert not [one for one in named_ if "==" in str(one.specifier)]


def test_each_platform_has_a_page():
    """The list of platforms links to each page, and each link between pages leads to one."""
    pages = {path.name for path in PAGES.glob("*.md")}
    assert pages == {
        "README.md",
        "docker-compose.md",
        "astro.md",
        "helm-git-sync.md",
        "mwaa.md",
        "composer.md",
        "dag-bundles.md",
    }
    for path in PAGES.glob("*.md"):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
            assert (PAGES / link).exists(), f"{path.name}: {link}"
    index = (PAGES / "README.md").read_text()
    assert all(f"]({name})" in index for name in pages - {"README.md"})
