"""The page in a real Airflow, below a prefix, over the demo's day."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import httpx
import jwt
import pytest
from harness import KEY, ROOT
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed
from test_dag import airflow

from demo.rows import DAYS, DEFAULT_INTEGRATION, fill
from kombo_standin import client

PREFIX = "/team/airflow"
DAY = DAYS[1]
DAG = "kombo_result_links"
SECRET = "a secret of the tests, long enough for its algorithm " * 2
PATIENCE = 120
PATHS = ["", "rows", "rows.csv", "row", "static/page.css", "static/page.js"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Give the address of an API server over the demo's day, delivered by `airflow dags test`."""
    home = tmp_path_factory.mktemp("page")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}{PREFIX}"
    fill(home / "warehouse.db")
    passwords = {"admin": "admin", "viewer": "viewer", "nobody": "nobody"}
    (home / "passwords.json").write_text(json.dumps(passwords))
    environment = {
        "AIRFLOW_CONN_WAREHOUSE_DEFAULT": f"sqlite:///{home / 'warehouse.db'}",
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API_AUTH__JWT_SECRET": SECRET,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,viewer:viewer,nobody:",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
    }
    airflow(home, "db", "migrate", **environment)
    with client.running(scenario=ROOT / "demo" / "scenario.yaml") as standin:
        extra = {"integration_id": DEFAULT_INTEGRATION}
        kombo = {"conn_type": "http", "host": standin.url, "password": KEY, "extra": extra}
        airflow(home, "dags", "test", DAG, str(DAY), kombo=kombo, **environment)
    command = ["api-server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with (home / "log").open("w") as log:
        server = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "airflow", *command],
            env={
                **os.environ,
                "AIRFLOW_HOME": str(home),
                "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
                "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
                **environment,
            },
            stdout=log,
            stderr=log,
        )
        try:
            _wait_for(url, home / "log", server)
            yield url
        finally:
            server.terminate()
            server.wait(30)


def _wait_for(url, log, server):
    patience = Retrying(wait=wait_fixed(0.3), stop=stop_after_delay(PATIENCE), reraise=True)
    for attempt in patience.copy(retry=retry_if_exception_type(httpx.TransportError)):
        with attempt:
            assert server.poll() is None, log.read_text()
            httpx.get(f"{url}/api/v2/version", trust_env=False)


def token_of(site, user):
    login = {"username": user, "password": user}
    answer = httpx.post(f"{site}/auth/token", json=login, trust_env=False)
    return answer.json()["access_token"]


def get(site, path, token=None, *, in_cookie=False):
    headers = {"Authorization": f"Bearer {token}"} if token and not in_cookie else {}
    cookies = {"_token": token} if in_cookie else None
    address = f"{site}/kombo/{path}"
    return httpx.get(address, headers=headers, cookies=cookies, trust_env=False, timeout=30)


@pytest.mark.parametrize("path", PATHS)
def test_who_may_see_the_page(site, path):
    """Every address needs a valid token of a user who may see plugins; a viewer may."""
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
    expected = 422 if path == "row" else 200
    assert get(site, path, viewer).status_code == expected
    assert get(site, path, viewer, in_cookie=True).status_code == expected


def test_the_page_is_in_airflows_navigation(site):
    """Airflow lists the page with a relative address, and loads the plugin without an error."""
    header = {"Authorization": f"Bearer {token_of(site, 'admin')}"}
    plugins = httpx.get(f"{site}/api/v2/plugins", headers=header, trust_env=False).json()
    (ours,) = (one for one in plugins["plugins"] if one["name"] == "airflow_kombo")
    (view,) = ours["external_views"]
    assert (view["href"], view["url_route"], view["destination"]) == ("kombo/", "kombo", "nav")
    errors = httpx.get(f"{site}/api/v2/plugins/importErrors", headers=header, trust_env=False)
    assert errors.json()["import_errors"] == []


def test_a_task_links_to_its_rows(site):
    """The task that delivered links to the rows that it wrote."""
    header = {"Authorization": f"Bearer {token_of(site, 'viewer')}"}
    runs = httpx.get(f"{site}/api/v2/dags/{DAG}/dagRuns", headers=header, trust_env=False).json()
    (run,) = (one["dag_run_id"] for one in runs["dag_runs"])
    links = httpx.get(
        f"{site}/api/v2/dags/{DAG}/dagRuns/{run}/taskInstances/deliver/links",
        headers=header,
        trust_env=False,
    ).json()["extra_links"]
    address = links["Kombo result links"]
    assert address.startswith(f"{site}/kombo/rows?")
    rows = httpx.get(address, headers=header, trust_env=False)
    assert rows.text.count('<th scope="row">') == 50
    assert "deliver of the run" in rows.text
