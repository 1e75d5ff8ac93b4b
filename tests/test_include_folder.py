"""The folder with the query and the mapping, in the layouts of platforms."""

from __future__ import annotations

import shutil

import pytest
from support.harness import ROOT

from airflow_kombo.include_folder import include_folder

LAYOUTS = {
    "a checkout, Astro, git-sync and bundles": ("repo/dags/a.py", "repo/include"),
    "MWAA and Composer, which have dags/ and plugins/ alone": ("gcs/dags/a.py", "gcs/dags/include"),
    "a folder below the dags": ("repo/dags/team/a.py", "repo/dags/include"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_include_is_found_in_each_layout(tmp_path, layout):
    """The nearest folder beside or below the dags is taken."""
    dag, include = (tmp_path / path for path in LAYOUTS[layout])
    shutil.copytree(ROOT / "include", include)
    dag.parent.mkdir(parents=True, exist_ok=True)
    dag.touch()
    assert include_folder(str(dag)) == include


def test_another_project_s_include_is_left_aside(tmp_path):
    """A folder of this name without the mapping, as Astro's own, is not ours."""
    (tmp_path / "dags" / "include").mkdir(parents=True)
    shutil.copytree(ROOT / "include", tmp_path / "include")
    assert include_folder(str(tmp_path / "dags" / "a.py")) == tmp_path / "include"


def test_a_setting_names_the_folder(tmp_path, monkeypatch):
    """AIRFLOW__KOMBO__INCLUDE_FOLDER has precedence; a missing folder is named."""
    monkeypatch.setenv("AIRFLOW__KOMBO__INCLUDE_FOLDER", str(tmp_path))
    assert include_folder(str(ROOT / "dags" / "a.py")) == tmp_path
    monkeypatch.setenv("AIRFLOW__KOMBO__INCLUDE_FOLDER", "/no/such/folder")
    with pytest.raises(FileNotFoundError, match="names /no/such/folder, which is no folder"):
        include_folder(str(ROOT / "dags" / "a.py"))


def test_a_missing_folder_says_what_to_do(tmp_path):
    """Without the folder, the dag's import error has the two ways out."""
    with pytest.raises(FileNotFoundError, match=r"Copy include into .*INCLUDE_FOLDER\)"):
        include_folder(str(tmp_path / "dags" / "a.py"))
