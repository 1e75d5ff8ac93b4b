"""The wheel, built from this checkout and installed alone into an empty Airflow."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import create_engine
from support.harness import DAY, KEY, ROOT, all_of, fill, make_source_table, row

from airflow_kombo.ledger.tables import Tables

UV = Path(sys.executable).with_name("uv")
DAGS = ["kombo_reconcile", "kombo_resolve_unknown", "kombo_result_links"]

CONNECTION = """
import json
from airflow.providers_manager import ProvidersManager
from airflow.sdk import Connection
manager = ProvidersManager()
fields = manager.connection_form_widgets
print(json.dumps({
    "hook": manager.hooks["kombo"].hook_name,
    "fields": sorted(name for name in fields if name.startswith("extra__kombo__")),
    "behaviour": manager.field_behaviours["kombo"]["relabeling"],
    "links": [one for one in manager.extra_links_class_names if "airflow_kombo" in one],
}))
"""
TEST = """
import json
from airflow.models import Connection
print(json.dumps(Connection(conn_id="kombo_default", conn_type="kombo").test_connection()))
"""
PLUGINS = """
import json, os
from airflow import plugins_manager as manager
plugins, errors = manager._get_plugins()
ours = [one for one in plugins if one.name == "airflow_kombo"]
import airflow_kombo
print(json.dumps([[type(one.source).__name__ for one in ours], errors]))
"""


def run(*command, **environment):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    done = subprocess.run(  # noqa: S603 - our own command
        [str(part) for part in command],
        env={name: value for name, value in kept.items() if name != "PYTHONPATH"} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel, install it with its requirements alone, and make an empty Airflow."""
    place = tmp_path_factory.mktemp("wheel")
    run(UV, "build", "--quiet", "--wheel", "--out-dir", place, ROOT)
    (file,) = place.glob("airflow_provider_kombo-*.whl")
    run(UV, "venv", "--quiet", "--python", sys.executable, place / "venv")
    python = place / "venv" / "bin" / "python"
    locked = ["--constraint", ROOT / "requirements.txt"]
    run(UV, "pip", "install", "--quiet", "--python", python, *locked, f"{file}[sqlite]")
    (package,) = (place / "venv").glob("lib/*/site-packages/airflow_kombo")
    settings = {
        "AIRFLOW_HOME": str(place / "home"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(package / "example_dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }

    def python_of(*arguments, **environment):
        return run(python, *arguments, **settings | environment)

    python_of("-m", "airflow", "db", "migrate")
    return SimpleNamespace(python=python_of, home=place / "home", package=package)


def last_line(output):
    return json.loads(output.splitlines()[-1])


def test_the_example_dags_deliver_a_day(wheel, standin, tmp_path):
    """From the wheel alone, the example dags are read, and one delivers a day."""
    listed = wheel.python("-m", "airflow", "dags", "list", "--local", "--output", "json")
    assert [one["dag_id"] for one in last_line(listed)] == DAGS
    engine = create_engine(f"sqlite:///{tmp_path / 'warehouse.db'}")
    fill(engine, make_source_table(engine), [row(f"r{number}") for number in range(20)])
    kombo = {"conn_type": "kombo", "host": standin.url, "password": KEY}
    wheel.python(
        *("-m", "airflow", "dags", "test", "kombo_result_links", DAY.isoformat()),
        AIRFLOW_CONN_KOMBO_DEFAULT=json.dumps(kombo),
        AIRFLOW_CONN_WAREHOUSE_DEFAULT=f"sqlite:///{engine.url.database}",
    )
    assert {one.status for one in all_of(engine, Tables.named().links)} == {"success"}
    assert len(standin.links()) == 20
    engine.dispose()


def test_the_connection_type_has_its_own_form(wheel):
    """The type kombo has the region, the default integration and the timeout as fields."""
    found = last_line(wheel.python("-c", CONNECTION))
    assert found["hook"] == "Kombo"
    names = ["integration_id", "region", "timeout"]
    assert found["fields"] == [f"extra__kombo__{name}" for name in names]
    assert found["behaviour"] == {"host": "Address", "password": "API key"}
    assert found["links"] == ["airflow_kombo.operators.links.RowsLink"]


def test_the_connection_can_be_tested(wheel, standin):
    """The button Test of a connection of the type kombo asks Kombo for the key."""
    for key, answer in [(KEY, [True, "Kombo knows the key."]), ("ks_dev_wrong", False)]:
        kombo = {"conn_type": "kombo", "host": standin.url, "password": key}
        told = wheel.python("-c", TEST, AIRFLOW_CONN_KOMBO_DEFAULT=json.dumps(kombo))
        assert answer in (last_line(told), last_line(told)[0])


def test_the_settings_are_in_airflow_s_list(wheel):
    """`airflow config list` has the section [kombo] with the descriptions."""
    command = ["-m", "airflow", "config", "list", "--section", "kombo", "--include-descriptions"]
    listed = wheel.python(*command)
    assert "[kombo]" in listed
    for name in ("warehouse_conn_id", "ledger_conn_id", "status_table", "include_folder"):
        assert f"\n# {name} = " in listed


def test_the_folder_and_the_wheel_at_once_register_once(wheel, tmp_path):
    """With the plugins folder beside the wheel there is one plugin, and no import error."""
    alone = last_line(wheel.python("-c", PLUGINS))
    assert alone == [["EntryPointSource"], {}]
    plugins = shutil.copytree(ROOT / "plugins", tmp_path / "plugins")
    both = last_line(wheel.python("-c", PLUGINS, AIRFLOW__CORE__PLUGINS_FOLDER=str(plugins)))
    assert both == [["PluginsDirectorySource"], {}]
