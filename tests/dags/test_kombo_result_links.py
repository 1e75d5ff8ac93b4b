"""The dag in real Airflow, by the commands of its users."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from sqlalchemy import text
from support.airflow_commands import DAG, airflow
from support.harness import KEY, ROOT, all_of, by_result, fill, make_source_table, row, statuses

from airflow_kombo.ledger.tables import Tables
from airflow_kombo.statuses import Status

CANARY = "canary5e1f"


def test_airflow_finds_the_dag_and_nothing_wrong(home):
    """The dag is listed, without an import error, and the plugin is loaded without a warning."""
    assert "No data found" in airflow(home, "dags", "list-import-errors", "--local").stdout
    assert DAG in airflow(home, "dags", "list", "--local").stdout
    plugins = airflow(home, "plugins")
    assert "airflow_kombo" in plugins.stdout
    assert "rror" not in plugins.stdout + plugins.stderr


def test_the_dag_is_as_the_contract_has_it(home):
    """Names, params with their descriptions, the owner, the tags and the documentation."""
    code = f"""if True:
        import json
        from airflow.dag_processing.dagbag import DagBag
        dag = DagBag({str(ROOT / "dags")!r}).dags[{DAG!r}]
        params = {{name: dag.params.get_param(name).description for name in dag.params}}
        again = dag.params.get_param("redeliver").schema["items"]["enum"]
        print(json.dumps([params, again, dag.owner, sorted(dag.tags), dag.doc_md, dag.catchup]))
    """
    environment = {**os.environ, "AIRFLOW_HOME": str(home), "PYTHONPATH": str(ROOT / "plugins")}
    output = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)  # noqa: S603
    params, again, owner, tags, documentation, catchup = json.loads(output.splitlines()[-1])
    assert list(params) == [
        "assessment_date",
        "lookback_days",
        "integration_ids",
        "result_ids",
        "not_before",
        "dry_run",
        "limit",
        "max_rows",
        "approve_rows",
        "shards",
        "redeliver",
        "seen",
    ]
    assert all(params.values())
    assert {*again} == {*map(str, Status), "changed"} - {"sending"}
    assert owner
    assert tags
    assert "kombo_result_links" in documentation
    assert catchup is False


def test_parsing_the_dag_is_cheap(tmp_path):
    """Parsing the dag file takes at most 150 ms more than an empty dag's, in the same run."""
    empty = tmp_path / "empty.py"
    empty.write_text("from airflow.sdk import DAG\n\nDAG('empty', schedule=None)\n")
    code = """if True:
        import runpy, sys, time
        import airflow.dag_processing.dagbag
        for path in sys.argv[1:]:
            began = time.perf_counter()
            runpy.run_path(path)
            print(time.perf_counter() - began)
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "plugins")}
    command = [sys.executable, "-c", code, str(empty), str(ROOT / "dags" / f"{DAG}.py")]
    runs = [
        [float(line) for line in subprocess.check_output(command, env=environment).split()]  # noqa: S603
        for _ in range(3)
    ]
    assert min(ours - nothing for nothing, ours in runs) <= 0.150


def test_a_day_is_delivered_and_a_second_run_posts_nothing(engine, standin, run_dag):
    """`airflow dags test` delivers the named day and no other, and each row once."""
    days = [row(f"r{n}", integration_id=f"ats:{n % 3}") for n in range(30)]
    days += [row("other", assessment_date=days[0]["assessment_date"].replace(day=4))]
    fill(engine, make_source_table(engine), days)
    for _ in range(2):
        run_dag("2026-11-03")
        assert standin.stats()["received"] == 30
    tables = Tables.named()
    assert statuses(engine, tables) == {"success": 30}
    first, second = sorted(all_of(engine, tables.runs), key=lambda run: run.started_at)
    assert (first.planned, first.success, second.planned) == (30, 30, 0)
    assert (first.dag_id, first.task_id, first.try_number) == (DAG, "deliver.shard", 1)
    assert str(first.assessment_date) == "2026-11-03"


def test_the_params_reach_the_run(engine, standin, run_dag):
    """A day, integrations, results, a limit and a dry run can be asked for."""
    fill(
        engine,
        make_source_table(engine),
        [row(f"r{n}", integration_id=f"ats:{n}") for n in range(9)],
    )
    asked = {
        "assessment_date": "2026-11-03",
        "integration_ids": ["ats:1", "ats:2", "ats:3"],
        "result_ids": ["r2", "r3", "r4"],
        "limit": 1,
    }
    output = run_dag("--conf", json.dumps({**asked, "dry_run": True}))
    assert re.search(r"ats:2 +1 +1 ", output)
    assert standin.stats()["received"] == 0
    run_dag("--conf", json.dumps(asked))
    assert list(by_result(engine, Tables.named())) == ["r2"]


def test_too_many_refused_rows_make_the_task_red(engine, standin, run_dag):
    """More than 5 % `failed` fails the task, after all rows were tried."""
    fill(engine, make_source_table(engine), [row(f"r{number}") for number in range(30)])
    for number in range(2):
        answer = {"kind": "answer", "status": 400, "code": "ATS.JOB_CLOSED"}
        standin.add_rule(answer, url=f"https://results.example/r{number}")
    output = run_dag("2026-11-03", check=False)
    assert statuses(engine, Tables.named()) == {"success": 28, "failed": 2}
    assert "2 of 30 rows are failed, and at most 5% may be" in output
    assert re.search(r"state.?=.?'?failed", output)


def test_errors_for_a_person_are_reported_and_not_tried_again(engine, standin, run_dag):
    """A missing column and a bad parameter each end the task with a clear message."""
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE assessment_results (result_id TEXT)"))
    for arguments, why in [
        (["2026-11-03"], "The query for the rows cannot run: OperationalError: no such column"),
        (["--conf", '{"assessment_date": "2026-11-03", "redeliver": ["sending"]}'], "redeliver"),
    ]:
        output = run_dag(*arguments, check=False)
        assert why in output
    assert standin.stats()["received"] == 0


def test_no_secret_and_no_person_in_what_airflow_keeps(home, engine, standin, run_dag):
    """Neither key nor ids nor addresses reach a log, a rendered template, an error or an XCom."""
    rows = [
        row(
            f"r{number}",
            integration_id=f"ats:{number}",
            candidate_id=f"{CANARY}-candidate-{number}",
            assessment_name=f"{CANARY} name",
            result_url=f"https://results.example/{CANARY}?token={CANARY}{number}",
        )
        for number in range(9)
    ]
    rows[0]["remote_fields"] = f'{{"{CANARY}'
    rows[1]["result_url"] = f"javascript:{CANARY}"
    fill(engine, make_source_table(engine), rows)
    outcomes = [
        {"kind": "reset"},
        {"kind": "raw", "status": 502, "body": "<html>"},
        {"kind": "answer", "status": 400, "code": "ATS.JOB_CLOSED", "message": f"{CANARY} said"},
        {"kind": "answer", "status": 403, "code": "INTEGRATION.INACTIVE", "message": CANARY},
    ]
    for number, outcome in enumerate(outcomes, start=2):
        standin.add_rule(outcome, integration_id=f"ats:{number}")
    output = run_dag("2026-11-03", check=False)
    wrong_key = run_dag("2026-11-03", check=False, key=f"ks_dev_{CANARY}")
    assert statuses(engine, Tables.named()) == {
        "success": 3,
        "invalid": 2,
        "unknown": 2,
        "failed": 1,
        "blocked": 1,
    }
    assert "refuses this key" in wrong_key
    assert CANARY not in output + wrong_key
    assert KEY not in output
    kept = [path for path in Path(home).rglob("*") if path.is_file()]
    assert any(path.name == "airflow.db" for path in kept)
    for path in kept:
        assert CANARY.encode() not in path.read_bytes(), path


def test_the_dag_file_has_no_code_of_its_own():
    """The dag file has no loop, no branch and no function."""
    tree = ast.parse((ROOT / "dags" / f"{DAG}.py").read_text())
    forbidden = (ast.For, ast.While, ast.If, ast.Try, ast.FunctionDef)
    assert not [node for node in ast.walk(tree) if isinstance(node, forbidden)]
