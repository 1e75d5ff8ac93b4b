"""Decisions about unknown rows in real Airflow, by the form and by an answer."""

from __future__ import annotations

import ast
import json
import os
import re
import socket
import subprocess
import sys
from collections import Counter
from contextlib import closing
from datetime import datetime, timezone
from types import SimpleNamespace

import httpx
import pytest
from sqlalchemy import create_engine, text
from support.airflow_commands import airflow
from support.harness import ROOT, all_of, by_result, delivery, statuses
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from airflow_kombo.airflow_compat import AirflowFailException
from airflow_kombo.database.transactions import prepare
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.outcomes import AttemptOutcome, RowOutcome
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.operators.resolve_unknown import KomboResolveUnknownOperator
from airflow_kombo.statuses import Status
from tools.demo.airflow import Airflow

DAG = "kombo_resolve_unknown"
PATIENCE = 120


@pytest.fixture
def ledger(tmp_path):
    """Yield a ledger with four unknown rows and one delivered row."""
    engine = prepare(create_engine(f"sqlite:///{tmp_path / 'warehouse.db'}"))
    tables = Tables.named()
    tables.create(engine)
    Runs(engine, tables).start(Run("run"))
    ledger = Ledger(engine, tables)
    doubt(ledger, "r1", "r2", "r3", "r4")
    (claim,) = ledger.claim("run", [delivery("done")]).won
    ledger.record([AttemptOutcome(claim, RowOutcome(Status.SUCCESS))])
    yield ledger
    engine.dispose()


def doubt(ledger, *result_ids):
    claims = ledger.claim("run", [delivery(result_id) for result_id in result_ids]).won
    ledger.record(
        [AttemptOutcome(claim, RowOutcome(Status.UNKNOWN, "run_died")) for claim in claims]
    )


def resolve(home, ledger, **conf):
    """Run the dag once, without a scheduler, and return the output."""
    done = airflow(
        home,
        "dags",
        "test",
        DAG,
        "--conf",
        json.dumps(conf),
        check=False,
        AIRFLOW_CONN_WAREHOUSE_DEFAULT=f"sqlite:///{ledger.engine.url.database}",
    )
    return done.stdout + done.stderr


def test_the_form_says_what_each_field_does(home):
    """Each parameter has a description, the dag has no schedule, and the decision is a choice."""
    code = f"""if True:
        import json
        from airflow.dag_processing.dagbag import DagBag
        dag = DagBag({str(ROOT / "dags")!r}).dags[{DAG!r}]
        params = {{name: dag.params.get_param(name) for name in dag.params}}
        output = {{name: [param.description, param.schema] for name, param in params.items()}}
        print(json.dumps([output, dag.schedule, dag.doc_md, dag.owner]))
    """
    environment = {**os.environ, "AIRFLOW_HOME": str(home), "PYTHONPATH": str(ROOT / "plugins")}
    lines = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)  # noqa: S603
    params, schedule, documentation, owner = json.loads(lines.splitlines()[-1])
    assert list(params) == [
        "result_ids",
        "integration_ids",
        "assessment_date",
        "error_code",
        "run_id",
        "decision",
        "reason",
        "dry_run",
        "export_to",
        "decisions",
        "decisions_from",
    ]
    assert params["decisions"][1]["format"] == "multiline"
    assert all(description for description, _ in params.values())
    assert params["decision"][1]["enum"] == [
        "created",
        "not created",
        "leave out",
        "take back",
        None,
    ]
    assert schedule is None
    assert owner
    assert "unknown" in documentation


def test_a_decision_moves_the_rows_and_their_history_names_person_and_reason(home, ledger):
    """Named unknown rows are decided at once; the log names the other rows."""
    output = resolve(
        home,
        ledger,
        result_ids=["r1", "r2", "done", "no such"],
        decision="not created",
        reason="2026",  # a text that looks like a number
    )
    assert statuses(ledger.engine, ledger.tables) == {"retryable": 2, "unknown": 2, "success": 1}
    assert "In all 2 rows are decided: not created" in output
    assert "1 results are left as they are (success): done" in output
    assert "1 results are left as they are (not found): no such" in output
    history = {row.result_id: row for row in all_of(ledger.engine, ledger.tables.attempts)}
    assert (history["r1"].resolution, history["r1"].resolved_by) == ("not created", "dag_test")
    assert history["r1"].resolution_reason == "2026"
    assert history["r3"].resolution is None


def test_a_filter_may_take_the_place_of_ids(home, ledger):
    """Rows can be chosen by day, error code, integration and run."""
    resolve(
        home,
        ledger,
        assessment_date="2026-11-03",
        error_code="run_died",
        integration_ids=["workday:one"],
        run_id="run",
        decision="created",
        reason="all of them are in Kombo's logs",
    )
    assert statuses(ledger.engine, ledger.tables) == {"success": 5}


def test_a_dry_run_lists_and_decides_nothing(home, ledger):
    """A dry run needs no decision, lists the rows, and changes none."""
    output = resolve(home, ledger, error_code="run_died", dry_run=True)
    assert "Would be decided: r1, r2, r3, r4" in output
    assert "4 rows would be decided, none was" in output
    assert statuses(ledger.engine, ledger.tables) == {"unknown": 4, "success": 1}


def test_an_export_is_filled_in_and_handed_back(home, ledger, tmp_path):
    """The dag writes the unknown rows as CSV, and decides by filled-in lines."""
    path = tmp_path / "unknown.csv"
    output = resolve(home, ledger, export_to=f"file://{path}", error_code="run_died")
    assert "4 unknown rows are in the file of export_to" in output
    assert statuses(ledger.engine, ledger.tables) == {"unknown": 4, "success": 1}
    first, *lines = path.read_text().splitlines()
    filled = [line.replace('"",""', '"created",""') for line in lines[:3]]
    decisions = "\r\n".join([first, *filled, lines[3]])
    output = resolve(home, ledger, decisions=decisions, reason="in Kombo's logs")
    assert "3 rows of the file are decided, 1 are left as they are" in output
    assert "https://" not in output
    assert statuses(ledger.engine, ledger.tables) == {"success": 4, "unknown": 1}
    history = {row.resolution: row for row in all_of(ledger.engine, ledger.tables.attempts)}
    assert history["created"].resolved_by == "dag_test"
    assert history["created"].resolution_reason == "in Kombo's logs"


def test_nothing_in_doubt_is_no_question(home, ledger):
    """Without an unknown row, nobody is asked, and the task ends."""
    output = resolve(home, ledger, result_ids=["done"])
    assert "there is nothing to decide" in output


def test_a_condition_is_needed(home, ledger):
    """A form without a condition decides nothing, and the error lists the conditions."""
    output = resolve(home, ledger, decision="created", reason="all", error_code="")
    assert "No condition is set" in output
    assert statuses(ledger.engine, ledger.tables) == {"unknown": 4, "success": 1}


RETRIED = """
from datetime import datetime, timedelta
from airflow.sdk import DAG
from airflow_kombo.operators.resolve_unknown import KomboResolveUnknownOperator

with DAG(
    "retried",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    default_args={"retries": 1, "retry_delay": timedelta(0)},
):
    DECIDED = {"decision": "created", "reason": "in Kombo's logs"}
    KomboResolveUnknownOperator(task_id="unreasoned", result_ids=["r1"], decision="created")
    KomboResolveUnknownOperator(task_id="mistyped", result_ids="['R1', 'R2']", **DECIDED)
    KomboResolveUnknownOperator(task_id="unwritable", result_ids=["r1"], **DECIDED)
"""


def test_only_errors_that_may_pass_are_tried_again(home, ledger, tmp_path):
    """Airflow retries a task after an error of the ledger, and no task for a person."""
    with ledger.engine.begin() as connection:
        attempts = (
            "BEFORE UPDATE ON kombo_result_link_attempts BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        connection.execute(text(f"CREATE TRIGGER no_decision {attempts}"))
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "retried.py").write_text(RETRIED)
    done = airflow(
        home,
        "dags",
        "test",
        "retried",
        check=False,
        AIRFLOW_CONN_WAREHOUSE_DEFAULT=f"sqlite:///{ledger.engine.url.database}",
        AIRFLOW__CORE__DAGS_FOLDER=str(tmp_path / "dags"),
    )
    output = done.stdout + done.stderr
    tries = Counter(re.findall(r"running task <TaskInstance: retried\.(\w+)", output))
    assert tries == {"unreasoned": 1, "mistyped": 1, "unwritable": 2}
    assert "A decision needs a reason" in output
    assert "None of the 2 result_ids has a row in kombo_result_links" in output
    assert "The database could not decide about rows" in output
    assert statuses(ledger.engine, ledger.tables) == {"unknown": 4, "success": 1}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "No condition is set"),
        ({"result_ids": ["r1"], "decision": "created", "reason": " "}, "A decision needs a reason"),
        ({"result_ids": ["r1"], "decision": "Created", "reason": "x"}, "one of created, not"),
        ({"assessment_date": "3/11"}, "a day such as 2026-11-03"),
    ],
    ids=["no condition", "no reason", "no such decision", "no date"],
)
def test_missing_parameters_are_reported(given, why):
    """Missing or unreadable parameters are reported before the warehouse is asked."""
    operator = KomboResolveUnknownOperator(task_id="resolve", **given)
    with pytest.raises(AirflowFailException, match=why):
        operator.execute({"dag_run": SimpleNamespace(triggering_user_name="alice")})


@pytest.mark.parametrize("option", ["created", "not created"])
def test_an_answer_needs_a_reason(option):
    """An answer without a reason decides nothing."""
    operator = KomboResolveUnknownOperator(task_id="resolve", result_ids=["r1"])
    answer = {
        "chosen_options": [option],
        "params_input": {"why": " "},
        "responded_at": datetime.now(timezone.utc),
        "responded_by_user": {"id": "1", "name": "bob"},
    }
    with pytest.raises(AirflowFailException, match="A decision needs a reason"):
        operator.execute_complete({}, answer)


class Site:
    """Airflow's own API, as browsers use it."""

    def __init__(self, airflow):
        self.log = airflow.log
        self.client = httpx.Client(base_url=airflow.url, trust_env=False, timeout=30)
        login = {"username": "admin", "password": airflow.password()}
        token = self.client.post("/auth/token", json=login).json()["access_token"]
        self.client.headers["Authorization"] = f"Bearer {token}"

    def trigger(self, **conf):
        run = {"logical_date": None, "conf": conf}
        answer = self.client.post(f"/api/v2/dags/{DAG}/dagRuns", json=run)
        assert answer.status_code == 200, answer.text
        return answer.json()["dag_run_id"]

    def state(self, run):
        path = f"/api/v2/dags/{DAG}/dagRuns/{run}/taskInstances/resolve"
        return self.client.get(path).json()["state"]

    def until(self, run, state):
        often = Retrying(wait=wait_fixed(0.2), stop=stop_after_delay(PATIENCE), reraise=True)
        for attempt in often.copy(retry=retry_if_exception_type(AssertionError)):
            with attempt:
                assert self.state(run) in {state, "failed"}
                # Airflow 3.3.2 fails a task that is answered before its scheduler has seen it wait.
                assert f"TaskInstance Finished: dag_id={DAG}, task_id=resolve, run_id={run}" in (
                    self.log.read_text()
                )
        assert self.state(run) == state

    def answer(self, run, option, why):
        answer = {"chosen_options": [option], "params_input": {"why": why}}
        assert self.client.patch(self.question(run), json=answer).status_code == 200

    @staticmethod
    def question(run):
        return f"/api/v2/dags/{DAG}/dagRuns/{run}/taskInstances/resolve/-1/hitlDetails"


@pytest.fixture
def site(tmp_path, ledger):
    """Yield a whole Airflow over this checkout: scheduler, dag processor, API server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    warehouse = f"sqlite:///{ledger.engine.url.database}"
    connections = {"AIRFLOW_CONN_WAREHOUSE_DEFAULT": warehouse}
    whole = Airflow(tmp_path / "home", tmp_path / "log", connections, port)
    with whole.standalone() as standalone:
        whole.wait_until_ready(standalone, lambda _: None)
        site = Site(whole)
        with closing(site.client):
            yield site


def test_a_task_without_a_decision_asks(site, ledger):
    """Airflow shows the rows and waits; the history keeps the person's name and reason."""
    run = site.trigger(error_code="run_died")
    site.until(run, "awaiting_input")
    question = site.client.get(site.question(run)).json()
    assert "**4 rows** are `unknown`" in question["body"]
    assert "`r1`, `r2`, `r3`, `r4`" in question["body"]
    assert question["options"] == ["created", "not created", "leave as they are"]
    doubt(ledger, "later")
    site.answer(run, "created", "in Kombo's logs")
    site.until(run, "success")
    links = by_result(ledger.engine, ledger.tables)
    assert {name for name, link in links.items() if link.status == "unknown"} == {"later"}
    history = {row.result_id: row for row in all_of(ledger.engine, ledger.tables.attempts)}
    assert (history["r1"].resolution, history["r1"].resolved_by) == ("created", "admin")
    assert history["r1"].resolution_reason == "in Kombo's logs"

    run = site.trigger(result_ids=["later"])
    site.until(run, "awaiting_input")
    site.answer(run, "leave as they are", "")
    site.until(run, "success")
    assert by_result(ledger.engine, ledger.tables)["later"].status == "unknown"

    run = site.trigger(result_ids=["later"], decision="not created", reason="not in the logs")
    site.until(run, "success")
    history = {row.result_id: row for row in all_of(ledger.engine, ledger.tables.attempts)}
    assert (history["later"].resolution, history["later"].resolved_by) == ("not created", "admin")


def test_the_dag_file_has_no_code_of_its_own():
    """The dag file has no loop, no branch and no function."""
    tree = ast.parse((ROOT / "dags" / f"{DAG}.py").read_text())
    forbidden = (ast.For, ast.While, ast.If, ast.Try, ast.FunctionDef)
    assert not [node for node in ast.walk(tree) if isinstance(node, forbidden)]
