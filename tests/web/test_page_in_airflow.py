"""The page in a real Airflow below a prefix, over the demo's day, and in a browser."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import httpx
import jwt
import pytest
from sqlalchemy import create_engine, select, text, update
from support.airflow_site import DAG, DAY, PREFIX, SECRET
from support.harness import ROOT
from support.page_client import Document

from airflow_kombo.ledger.tables import Tables

PATHS = [
    "", "runs", "run", "rows", "rows.csv", "unknown.csv", "row", "decisions", "plan",
    "dry-runs", "dry-run",
    "overview.json", "rows.json", "row.json", "runs.json", "run.json", "openapi.json",
]  # fmt: skip
STATIC = ["page.css", "statuses.css", "page.js", "times.js", "act.js"]
EXPECTED = {"dry-run": 422, "row": 422, "row.json": 422, "plan": 422, "run": 404, "run.json": 404}
COMMANDS = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def waiting_row(home):
    """Make a row of yesterday `retryable` while a test runs, and return the result id."""
    engine, links = create_engine(f"sqlite:///{home / 'warehouse.db'}"), Tables.named().links
    result_id = f"ar-{DAY:%Y%m%d}-0300"
    yesterday = datetime.now(timezone.utc).date() - timedelta(days=1)
    mine = update(links).where(links.c.result_id == result_id)
    with engine.begin() as connection:
        waits = {"status": "retryable", "error_code": "run_stopped", "http_status": None}
        waits["assessment_date"] = yesterday
        changed = select(*(links.c[name] for name in waits)).where(links.c.result_id == result_id)
        (before,) = connection.execute(changed)
        connection.execute(mine.values(waits))
    yield result_id
    with engine.begin() as connection:
        connection.execute(mine.values(before._asdict()))
    engine.dispose()


def token_of(site, user):
    login = {"username": user, "password": user}
    response = httpx.post(f"{site}/auth/token", json=login, trust_env=False)
    return response.json()["access_token"]


def get(site, path, token=None, *, in_cookie=False):
    headers = {"Authorization": f"Bearer {token}"} if token and not in_cookie else {}
    cookies = {"_token": token} if in_cookie else None
    address = f"{site}/kombo/{path}"
    return httpx.get(address, headers=headers, cookies=cookies, trust_env=False, timeout=30)


@pytest.mark.parametrize("path", PATHS)
def test_who_may_see_the_page(site, path):
    """Every address needs a valid token of a user with permission to see plugins."""
    viewer = token_of(site, "viewer")
    claims = jwt.decode(viewer, options={"verify_signature": False})
    algorithm = jwt.get_unverified_header(viewer)["alg"]
    moment = claims["iat"] - 120
    times = {"iat": moment, "nbf": moment, "exp": moment + 60}
    expired = jwt.encode({**claims, **times}, SECRET, algorithm)
    forged = jwt.encode(claims, SECRET[::-1], algorithm)
    assert get(site, path).status_code == 401
    for in_cookie in (False, True):
        assert get(site, path, expired, in_cookie=in_cookie).status_code in {401, 403}
        assert get(site, path, forged, in_cookie=in_cookie).status_code in {401, 403}
    assert get(site, path, token_of(site, "nobody")).status_code == 403
    assert get(site, path, viewer).status_code == EXPECTED.get(path, 200)
    assert get(site, path, viewer, in_cookie=True).status_code == EXPECTED.get(path, 200)


def test_a_program_without_permission_gets_json(site):
    """A missing token and a missing permission are errors that a program can tell apart."""
    nobody = token_of(site, "nobody")
    for path in (one for one in PATHS if one.endswith(".json")):
        for token, status, code in ((None, 401, "unauthorized"), (nobody, 403, "forbidden")):
            found = get(site, path, token)
            assert (found.status_code, found.json()["code"]) == (status, code)
            assert found.json()["detail"]


def test_the_commands_of_the_documentation(site):
    """The commands of docs/json.md log in, read a list and read all its pages."""
    blocks = dict(COMMANDS.findall((ROOT / "docs" / "json.md").read_text()))
    shell = blocks["sh"].replace("http://localhost:8080", site)
    environment = {**os.environ, "NO_PROXY": "127.0.0.1"}

    def output_of(script):
        command = ["sh", "-euc", script]
        done = subprocess.run(  # noqa: S603 - our own command
            command, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    listed = json.loads(output_of(shell))["rows"]
    assert {row["status"] for row in listed} == {"failed"}
    python = shlex.join([sys.executable, "-c", blocks["python"]])
    read = output_of(f"{shell.rpartition('curl')[0]}export AIRFLOW TOKEN\n{python}")
    assert [line.split()[0] for line in read.splitlines()] == [one["result_id"] for one in listed]


def test_a_client_finds_the_addresses_in_the_document(site):
    """The OpenAPI document names the prefix of the proxy, and its addresses answer there."""
    token = token_of(site, "viewer")
    document = get(site, "openapi.json", token).json()
    (server,) = document["servers"]
    assert server["url"] == f"{PREFIX}/kombo"
    for path in document["paths"]:
        address = f"{site.removesuffix(PREFIX)}{server['url']}{path}"
        headers = {"Authorization": f"Bearer {token}"}
        found = httpx.get(address, headers=headers, trust_env=False, timeout=30)
        assert found.status_code == EXPECTED.get(path.strip("/"), 200)


@pytest.mark.parametrize("name", STATIC)
def test_styles_and_scripts_need_no_login(site, name):
    """The pages that ask for a login, or for a permission, use the styles and scripts."""
    assert get(site, f"static/{name}").status_code == 200


def test_who_may_check_a_file(site):
    """The check of a file needs the same permission as the views, before the file is read."""
    for user, status in ((None, 401), ("nobody", 403), ("viewer", 422)):
        headers = {"Authorization": f"Bearer {token_of(site, user)}"} if user else {}
        address, files = f"{site}/kombo/decisions", {"file": ("f.csv", b"x")}
        response = httpx.post(address, headers=headers, files=files, trust_env=False, timeout=30)
        assert response.status_code == status


def test_a_row_has_the_time_of_the_next_try(site, waiting_row):
    """A row shows the time of the next run, the paused dag, or the end of the lookback."""
    header = {"Authorization": f"Bearer {token_of(site, 'admin')}"}

    def pause(*, is_paused):
        body, address = {"is_paused": is_paused}, f"{site}/api/v2/dags/{DAG}"
        httpx.patch(address, json=body, headers=header, trust_env=False).raise_for_status()

    def shown(result_id):
        found = httpx.get(
            f"{site}/kombo/rows", params={"q": result_id}, headers=header, trust_env=False
        )
        (row,) = (href for href in Document(found.text).all("href") if href.startswith("row?"))
        found = httpx.get(f"{site}/kombo/{row}", headers=header, trust_env=False)
        return Document(found.text).text

    assert f"Never, unless a person starts a run of {DAG}" in shown(waiting_row)
    assert "or unpauses the dag." in shown(waiting_row)
    pause(is_paused=False)
    try:
        time = (
            rf"\d{{4}}-\d\d-\d\d 02:00 UTC( is over)?, by the run of {DAG} for \d{{4}}-\d\d-\d\d\."
        )
        assert re.search(f"Whose turn Nobody .*Tried next .*{time}", shown(waiting_row))
        assert "corrected row: never, unless a person" in shown(f"ar-{DAY:%Y%m%d}-0017")
        assert "scheduled runs look back 7 days" in shown(f"ar-{DAY:%Y%m%d}-0017")
    finally:
        pause(is_paused=True)


def test_a_dag_that_airflow_cannot_read_hides_no_row(site, home):
    """Rows are shown although the API server lacks the timetable of their dag."""
    engine = create_engine(f"sqlite:///{home / 'airflow.db'}")
    change = text("UPDATE serialized_dag SET data = replace(data, :old, :new) WHERE dag_id = :dag")
    ours, lost = "timetables.nightly.NightlyTimetable", "timetables.lost.LostTimetable"
    for old, new, expected in ((ours, lost, True), (lost, ours, False)):
        with engine.begin() as connection:
            connection.execute(change, {"old": old, "new": new, "dag": DAG})
        found = get(site, "", token_of(site, "viewer"))
        assert found.status_code == 200
        assert (f"the API server cannot read the dag {DAG}" in found.text) is expected
    engine.dispose()


def test_the_page_is_in_airflows_navigation(site):
    """Airflow lists the page with a relative address, and loads the plugin without an error."""
    header = {"Authorization": f"Bearer {token_of(site, 'admin')}"}
    plugins = httpx.get(f"{site}/api/v2/plugins", headers=header, trust_env=False).json()
    (ours,) = (one for one in plugins["plugins"] if one["name"] == "airflow_kombo")
    (view,) = ours["external_views"]
    assert (view["href"], view["url_route"], view["destination"]) == ("kombo/", "kombo", "nav")
    errors = httpx.get(f"{site}/api/v2/plugins/importErrors", headers=header, trust_env=False)
    assert errors.json()["import_errors"] == []


@pytest.mark.parametrize("task", ["deliver.shard/links?map_index=0", "deliver.account/links"])
def test_a_task_links_to_its_rows(site, task):
    """A shard links to the rows of the run, and the account to those of all shards."""
    header = {"Authorization": f"Bearer {token_of(site, 'viewer')}"}
    runs = httpx.get(f"{site}/api/v2/dags/{DAG}/dagRuns", headers=header, trust_env=False).json()
    (run,) = (one["dag_run_id"] for one in runs["dag_runs"])
    links = httpx.get(
        f"{site}/api/v2/dags/{DAG}/dagRuns/{run}/taskInstances/{task}",
        headers=header,
        trust_env=False,
    ).json()["extra_links"]
    address = links["Kombo rows"]
    assert address.startswith(f"{site}/kombo/rows?")
    rows = httpx.get(address, headers=header, trust_env=False)
    assert rows.text.count('<th scope="row"') == 50
    assert "the task deliver.shard of the run" in rows.text
