"""Airflow API server below a URL prefix, as behind a proxy, over the demo's day."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import contextmanager

import httpx
from sqlalchemy import create_engine, update
from support.airflow_commands import DAG, airflow
from support.harness import KEY, ROOT
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from tools.demo.rows import DAYS, DEFAULT_INTEGRATION, RESULTS, fill
from tools.kombo_standin import client

PREFIX = "/team/airflow"
DAY = DAYS[1]
SECRET = "a secret of the tests, long enough for its algorithm " * 2
SCRIPT = "<script>document.title = 'run'</script>"
EVIL = f"ar-{SCRIPT}"
PATIENCE = 120


def _put_markup(warehouse):
    """Put markup into all text columns of one of the demo's rows."""
    engine = create_engine(f"sqlite:///{warehouse}")
    with engine.begin() as connection:
        connection.execute(
            update(RESULTS)
            .where(RESULTS.c.result_id == f"ar-{DAY:%Y%m%d}-0007")
            .values(result_id=EVIL, assessment_name=SCRIPT, candidate_id=SCRIPT)
        )
    engine.dispose()


@contextmanager
def serving(home, days=(DAY,), *, with_markup=True):
    """Deliver days with `airflow dags test`, serve them, and yield the server's address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}{PREFIX}"
    fill(home / "warehouse.db")
    if with_markup:
        _put_markup(home / "warehouse.db")
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
    with client.running(scenario=ROOT / "tools" / "demo" / "scenario.yaml") as standin:
        extra = {"integration_id": DEFAULT_INTEGRATION}
        kombo = {"conn_type": "http", "host": standin.url, "password": KEY, "extra": extra}
        for day in days:
            airflow(home, "dags", "test", DAG, str(day), kombo=kombo, **environment)
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
            wait_for_api(url, home / "log", server)
            yield url
        finally:
            server.terminate()
            server.wait(30)


def wait_for_api(url, log, server):
    """Wait until an API server answers, as long as its process lives."""
    patience = Retrying(wait=wait_fixed(0.3), stop=stop_after_delay(PATIENCE), reraise=True)
    for attempt in patience.copy(retry=retry_if_exception_type(httpx.TransportError)):
        with attempt:
            assert server.poll() is None, log.read_text()
            httpx.get(f"{url}/api/v2/version", trust_env=False)
