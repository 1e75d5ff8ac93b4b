"""Commands `make demo` and `make up`, run as by users, in a folder of their own."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing

import psutil
import pytest

from tools.demo.airflow import DAG, ROOT
from tools.demo.rows import fill
from tools.kombo_standin.client import DEFAULT_KEY, running

SECONDS = 240


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def environment():
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    return kept | {"PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def demo(place, environment):
    def demo(*arguments, **connections):
        return subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "tools.demo", *arguments],
            cwd=place,
            env=environment | connections,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    return demo


@pytest.fixture(scope="module")
def first(demo):
    return demo()


@pytest.fixture(scope="module")
def second(first, demo):
    return demo()


def ledger(place, query):
    connection = sqlite3.connect(place / ".demo" / "warehouse.db")
    found = connection.execute(query).fetchall()
    connection.close()
    return found


def stand_in_s_count(output):
    return [
        int(number) for number in re.findall(r"received (\d+) POSTs and made\s+(\d+)", output)[0]
    ]


def left_in(place):
    """Return the processes of the Airflow in this folder."""
    left = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("AIRFLOW_HOME") == str(place / ".airflow"):
                left.append(process)
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return left


def test_the_first_run_delivers_and_gives_every_row_its_fate(first, place):
    """After the first run, each row of the day has a status, and none is left to send."""
    assert first.returncode == 0, first.stdout + first.stderr
    statuses = dict(ledger(place, "SELECT status, count(*) FROM kombo_result_links GROUP BY 1"))
    assert set(statuses) == {"success", "failed", "invalid", "unknown"}
    assert sum(statuses.values()) == 660
    assert statuses["success"] > 600


def test_the_stand_in_s_own_count_agrees_with_the_ledger(first, place):
    """The stand-in has received the ledger's POSTs, and has made each successful link."""
    received, made = stand_in_s_count(first.stdout)
    ((posts,),) = ledger(place, "SELECT count(*) FROM kombo_result_link_attempts")
    ((successes,),) = ledger(
        place, "SELECT count(*) FROM kombo_result_links WHERE status = 'success'"
    )
    reset_after_its_effect = 1
    assert received == posts
    assert made == successes + reset_after_its_effect


def test_the_second_run_posts_nothing_and_says_so(second):
    """A second run posts nothing, and prints this."""
    assert second.returncode == 0, second.stdout + second.stderr
    assert stand_in_s_count(second.stdout) == [0, 0]
    assert "This run posted nothing" in second.stdout
    assert "left to deliver" not in second.stdout  # the rows that are looked at again are listed
    assert "once more" not in second.stdout


def test_a_shell_reaches_the_demo_s_airflow(second, place, environment):
    """The named file lets `airflow` list the demo's runs, and none is running."""
    assert ". .demo/airflow.env; airflow dags list" in second.stdout
    command = f". .demo/airflow.env; airflow dags list-runs {DAG} --output json"
    told = subprocess.run(  # noqa: S602 - as a user types it
        command, shell=True, cwd=place, env=environment, capture_output=True, text=True, check=True
    )
    runs = json.loads(told.stdout[told.stdout.index("[{") :])
    assert {run["state"] for run in runs} == {"success"}


def test_a_day_without_rows_says_which_days_there_are(demo):
    """A day without rows, or a word, is refused with the demo's days."""
    for text in ("2026-12-24", "yesterday"):
        refused = demo(text)
        assert refused.returncode == 2
        assert "the demo has the days 2026-11-02, 2026-11-03, 2026-11-04" in refused.stderr


def test_a_run_that_was_interrupted_is_not_left_running(second, place, environment):
    """After Ctrl-C in the middle of a delivery, Airflow has no run that is running."""
    with subprocess.Popen(
        [sys.executable, "-m", "tools.demo", "2026-11-02"],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running_demo:
        next(line for line in running_demo.stdout if "rows to deliver" in line)
        os.killpg(running_demo.pid, signal.SIGINT)
        assert "nothing is left running" in running_demo.stdout.read()
    with closing(sqlite3.connect(place / ".airflow" / "airflow.db")) as airflow:
        states = airflow.execute("SELECT state FROM dag_run UNION SELECT state FROM task_instance")
        assert not {state for (state,) in states} & {"running", "queued"}


def test_connections_of_one_s_own_take_the_place_of_the_demo_s(second, demo, tmp_path):
    """With the user's connections, no rows and no stand-in are made."""
    warehouse = tmp_path / "own.db"
    fill(warehouse)
    with running(scenario=ROOT / "tools" / "demo" / "scenario.yaml") as kombo:
        connection = {"conn_type": "http", "host": kombo.url, "password": DEFAULT_KEY}
        own = demo(
            "2026-11-04",
            AIRFLOW_CONN_KOMBO_DEFAULT=json.dumps(connection),
            AIRFLOW_CONN_WAREHOUSE_DEFAULT=json.dumps(
                {"conn_type": "sqlite", "host": str(warehouse)}
            ),
        )
        received = kombo.stats()["received"]
    assert own.returncode == 0, own.stdout + own.stderr
    assert f"this run posted {received} requests" in own.stdout
    assert "INTEGRATION.PERMISSION_MISSING" in own.stdout
    assert "stand-in" not in own.stdout


def test_a_run_that_fails_ends_with_an_error_that_names_the_log(second, demo, place):
    """Without rows to read, the exit status is 1, and the reason is printed."""
    failed = demo(
        AIRFLOW_CONN_WAREHOUSE_DEFAULT=json.dumps(
            {"conn_type": "sqlite", "host": str(place / "empty.db")}
        )
    )
    assert failed.returncode == 1
    assert "no such table: assessment_results" in failed.stdout
    assert str(place / ".demo" / "demo.log") in failed.stderr


def test_up_ends_with_the_login_and_leaves_no_process(second, place, environment):
    """The last line is the login; Ctrl-C ends all processes, also the stand-in."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "tools.demo", "up", "--port", str(port)],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as up:
        line_ = next((line for line in up.stdout if "password:" in line), "")
        standin = psutil.Process(up.pid).children()
        os.killpg(up.pid, signal.SIGINT)
        rest = up.stdout.read()
    assert re.search(rf"http://127.0.0.1:{port}   user: admin   password: \w+", line_)
    assert up.returncode == 0
    assert "nothing is left running" in rest
    assert left_in(place) == []
    assert not any(process.is_running() for process in standin)
