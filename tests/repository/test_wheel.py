"""The wheel, built from this checkout and installed alone into an empty Airflow."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from sqlalchemy import create_engine
from support.airflow_site import SECRET, wait_for_api
from support.another_server import PAGE, another_server
from support.harness import DAY, KEY, ROOT, all_of, fill, make_source_table, row
from support.ports import free_port

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
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return SimpleNamespace(
        python=python_of, command=python, environment=kept | settings, place=place, package=package
    )


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


@pytest.fixture(scope="module")
def ui(wheel):
    """Serve the Airflow of the wheel, and return a client with the cookie of the UI's user."""
    (wheel.place / "passwords.json").write_text('{"admin": "admin"}')
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API_AUTH__JWT_SECRET": SECRET,
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(wheel.place / "passwords.json"),
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    command = [wheel.command, "-m", "airflow", "api-server", "--host", "127.0.0.1"]
    log = wheel.place / "api-server.log"
    with log.open("w") as out, httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        server = subprocess.Popen(  # noqa: S603 - our own command
            [*command, "--port", str(port), "--workers", "1"],
            env=wheel.environment | settings,
            stdout=out,
            stderr=out,
        )
        try:
            wait_for_api(url, log, server)
            login = {"username": "admin", "password": "admin"}
            token = client.post("/auth/token", json=login).json()["access_token"]
            client.cookies.set("_token", token)
            yield client
        finally:
            server.terminate()
            server.wait(30)


def test_the_form_gets_its_fields(ui):
    """The UI's form has the fields of the type kombo, the region as a choice."""
    types = {one["connection_type"]: one for one in ui.get("/ui/connections/hook_meta").json()}
    form = types["kombo"]
    assert form["hook_name"] == "Kombo"
    assert set(form["extra_fields"]) == {"region", "integration_id", "timeout"}
    assert form["extra_fields"]["region"]["schema"]["enum"] == ["eu", "us", "ca", None]
    assert form["standard_fields"]["password"]["title"] == "API key"
    assert form["standard_fields"]["login"]["hidden"]
    assert not form["standard_fields"]["port"]["hidden"]


def body_of_the_button(host, password=KEY, *, port=0, **extra):
    """Return what the button Test sends: empty texts, 0 as the port, the extras as JSON."""
    return {
        "connection_id": "kombo_default",
        "conn_type": "kombo",
        "description": "",
        "host": host,
        "login": "",
        "password": password,
        "port": port,
        "schema": "",
        "extra": json.dumps(extra),
    }


def press(ui, body):
    """Test a connection as the button does, and return the status and the message."""
    answer = ui.post("/api/v2/connections/test", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["status"], answer.json()["message"]


EXTRAS = [
    {},
    {"region": "us", "timeout": 60, "integration_id": "workday:one"},
    {"region": "US ", "timeout": "60", "integration_id": "workday:one"},
    {"region": "", "timeout": "", "integration_id": ""},
    {"region": None, "timeout": None, "integration_id": None},
]


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_button_test_finds_a_good_key(ui, standin, extra):
    """Whatever the form sends for its fields, a key that Kombo knows is fine."""
    body = body_of_the_button(standin.url, **extra)
    assert press(ui, body) == (True, "Kombo knows the key.")


def test_the_button_test_names_what_is_wrong(ui, standin):
    """A wrong key, another server or a wrong field are a sentence, which never has the key."""
    wrong = "ks_dev_canary"
    nobody = f"http://127.0.0.1:{free_port()}/v1"
    with another_server(PAGE, PAGE) as other:
        bodies = {
            "a key works in the region of its account only": body_of_the_button(standin.url, wrong),
            "does not answer as Kombo does": body_of_the_button(other.url, wrong),
            "cannot be reached": body_of_the_button(nobody, wrong),
            "needs the API key": body_of_the_button(standin.url, ""),
            "needs a host with its scheme": body_of_the_button("api.kombo.dev/v1", wrong),
            "has to be one of eu, us, ca": body_of_the_button("", wrong, region="apac"),
            "has to be a number of seconds": body_of_the_button(standin.url, wrong, timeout="soon"),
        }
        for words, body in bodies.items():
            fine, message = press(ui, body)
            assert (fine, words in message) == (False, True), message
            assert "canary" not in message


def test_a_saved_connection_can_be_tested(ui, standin):
    """The button Test of a saved connection uses the saved key, which the UI never has."""
    extra = {"region": "eu", "timeout": 60}
    for name, key, fine in [("good", KEY, True), ("bad", "ks_dev_canary", False)]:
        # Without a port, Airflow 3.3.1 and 3.3.2 refuse: apache/airflow#73298.
        body = body_of_the_button(standin.url, key, port=443, **extra) | {"connection_id": name}
        assert ui.post("/api/v2/connections", json=body).status_code == 201
        saved = ui.get(f"/api/v2/connections/{name}").json()
        assert saved["password"] == "***"
        sent = {field: saved[field] for field in body} | {"description": "", "login": ""}
        assert press(ui, sent)[0] is fine
