"""Complete Airflow below a URL prefix, whose scheduler runs what the page starts."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace

from sqlalchemy import create_engine
from support.airflow_site import PREFIX, SECRET, wait_for_api
from support.harness import KEY, ROOT, fill, make_source_table, row

from tools.kombo_standin import client

COMPONENTS = (["scheduler"], ["dag-processor"])
SIMPLE = {
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,operator:op,viewer:viewer",
}


@contextmanager
def acting(home, *, python=sys.executable, auth=SIMPLE, prepare=None):
    """Serve an Airflow with an empty warehouse, and yield addresses, stand-in and engine.

    :param python: The interpreter whose packages have Airflow.
    :param auth: The environment of the auth manager.
    :param prepare: Called with a function that runs one of Airflow's commands.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}{PREFIX}"
    users = ("admin", "operator", "viewer")
    (home / "passwords.json").write_text(json.dumps({name: name for name in users}))
    engine = create_engine(f"sqlite:///{home / 'warehouse.db'}")
    table = make_source_table(engine)
    with ExitStack() as stack:
        standin = stack.enter_context(client.running())
        kombo = {"conn_type": "http", "host": standin.url, "password": KEY}
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
            "AIRFLOW_HOME": str(home),
            "AIRFLOW_CONN_KOMBO_DEFAULT": json.dumps(kombo),
            "AIRFLOW_CONN_WAREHOUSE_DEFAULT": f"sqlite:///{home / 'warehouse.db'}",
            "AIRFLOW__API__BASE_URL": url,
            "AIRFLOW__API_AUTH__JWT_SECRET": SECRET,
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            **auth,
        }

        def run(*command, check=True):
            done = subprocess.run(  # noqa: S603 - our own command
                [python, "-m", "airflow", *command],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=300,
            )
            assert not check or done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        run("db", "migrate")
        if prepare:
            prepare(run)
        server = ["api-server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        log = stack.enter_context((home / "log").open("w"))
        processes = [
            stack.enter_context(_process([python, "-m", "airflow", *command], environment, log))
            for command in (server, *COMPONENTS)
        ]
        wait_for_api(url, home / "log", processes[0])
        yield SimpleNamespace(url=url, standin=standin, engine=engine, table=table, run=run)
    engine.dispose()


@contextmanager
def _process(command, environment, log):
    process = subprocess.Popen(  # noqa: S603 - our own command
        command, env=environment, stdout=log, stderr=log
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def add_rows(site, *result_ids, **changes):
    """Write rows of the day into the warehouse."""
    fill(site.engine, site.table, [row(name, **changes) for name in result_ids])
