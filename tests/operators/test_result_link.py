"""Operators in dags of the user's own, in real Airflow."""

from __future__ import annotations

import json
import re
from collections import Counter

from sqlalchemy import create_engine, text
from support.airflow_commands import airflow
from support.harness import KEY, all_of, by_result, fill, make_source_table, row, statuses

from airflow_kombo.ledger.tables import Tables

DAG = """
from datetime import datetime
from airflow.sdk import DAG, task
from airflow_kombo.operators.result_link import KomboResultLinkOperator

MAPPING = {"label": "{{ assessment_name }}", "url": {"column": "result_url"}}

with DAG("own", schedule=None, start_date=datetime(2026, 1, 1)):

    @task
    def rows():
        return [
            {
                "result_id": "from-a-task",
                "integration_id": None,
                "candidate_id": 95.0,
                "application_id": None,
                "assessment_name": "Coding",
                "result_url": "https://results.example/task",
            }
        ]

    table = KomboResultLinkOperator(
        task_id="table",
        table="assessment_results",
        mapping=MAPPING,
        masked_fields=["label"],
        max_in_flight=1,
    )
    upstream = KomboResultLinkOperator(
        task_id="upstream",
        rows_task_id="rows",
        mapping=MAPPING,
        integration_id="lever:default",
        status_table="own_links",
        store_request=False,
    )
    rows() >> upstream >> table
"""


def test_a_dag_of_the_users_own(tmp_path, standin):
    """Rows may come from a table or a task, into tables of other names, with a masked history."""
    engine = create_engine(f"sqlite:///{tmp_path / 'warehouse.db'}")
    fill(engine, make_source_table(engine), [row(f"r{number}") for number in range(20)])
    standin.set_latency((0.001, 0.002))
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "own.py").write_text(DAG)
    options = {
        "kombo": {"conn_type": "http", "host": standin.url, "password": KEY},
        "AIRFLOW_CONN_WAREHOUSE_DEFAULT": f"sqlite:///{engine.url.database}",
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"),
    }
    airflow(tmp_path / "home", "db", "migrate", **options)
    airflow(tmp_path / "home", "dags", "test", "own", "2026-11-03", **options)
    links = by_result(engine, Tables.named())
    assert {link.status for link in links.values()} == {"success"}
    assert len(links) == 20
    requests = [json.loads(one.request) for one in all_of(engine, Tables.named().attempts)]
    assert {request["label"] for request in requests} == {"***"}
    assert standin.stats()["max_in_flight"]["workday:one"] == 1
    (link,) = all_of(engine, Tables.named("own_links").links)
    assert (link.integration_id, link.target_id) == ("lever:default", "95")
    assert [one.request for one in all_of(engine, Tables.named("own_links").attempts)] == [None]
    engine.dispose()


RETRIED = """
from datetime import datetime, timedelta
from airflow.sdk import DAG, Param
from airflow_kombo.operators.result_link import KomboResultLinkOperator

ROWS = {
    "table": "assessment_results",
    "mapping": {"label": "{{ assessment_name }}", "url": {"column": "result_url"}},
}

with DAG(
    "retried",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    default_args={"retries": 1, "retry_delay": timedelta(0)},
    params={"ids": ["r1", "r2"], "approve": False, "none": Param(None), "two": 2},
):
    KomboResultLinkOperator(task_id="mistyped", approve_rows="{{ params.ids }}", **ROWS)
    KomboResultLinkOperator(task_id="unmatched", result_ids="r9", status_table="r9_links", **ROWS)
    KomboResultLinkOperator(
        task_id="refused", integration_ids="ats:bad", fail_on={"failed": 0}, **ROWS
    )
    KomboResultLinkOperator(task_id="unwritable", status_table="broken_links", **ROWS)
    KomboResultLinkOperator(
        task_id="asked",
        integration_ids=["workday:one"],
        result_ids="{{ params.ids }}",
        limit="{{ params.two }}",
        max_rows="{{ params.none }}",
        approve_rows="{{ params.approve }}",
        dry_run="{{ params.approve }}",
        redeliver="{{ [] }}",
        not_before="{{ params.none }}",
        status_table="asked_links",
        **ROWS,
    )
"""


def test_only_errors_that_may_pass_are_tried_again(tmp_path, standin):
    """Airflow retries a task after an error of the ledger, and no task for a person."""
    engine = create_engine(f"sqlite:///{tmp_path / 'warehouse.db'}")
    rows = [row(f"r{number}") for number in range(1, 4)]
    fill(engine, make_source_table(engine), [*rows, row("bad", integration_id="ats:bad")])
    refused = {"kind": "answer", "status": 400, "code": "ATS.JOB_CLOSED"}
    standin.add_rule(refused, integration_id="ats:bad")
    Tables.named("broken_links").create(engine)
    with engine.begin() as connection:
        no_run = "BEFORE INSERT ON broken_link_runs BEGIN SELECT RAISE(ABORT, 'no'); END"
        connection.execute(text(f"CREATE TRIGGER no_run {no_run}"))
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "retried.py").write_text(RETRIED)
    options = {
        "kombo": {"conn_type": "http", "host": standin.url, "password": KEY},
        "AIRFLOW_CONN_WAREHOUSE_DEFAULT": f"sqlite:///{engine.url.database}",
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"),
    }
    airflow(tmp_path / "home", "db", "migrate", **options)
    done = airflow(
        tmp_path / "home", "dags", "test", "retried", "2026-11-03", check=False, **options
    )
    output = done.stdout + done.stderr
    tries = Counter(re.findall(r"running task <TaskInstance: retried\.(\w+)", output))
    assert tries == {"mistyped": 1, "unmatched": 1, "refused": 1, "unwritable": 2, "asked": 1}
    assert "approve_rows is \"['r1', 'r2']\" (str), and has to be true or false" in output
    assert "1 of 1 result_ids match no row that this run reads" in output
    assert "1 of 1 rows are failed, and at most 0 may be" in output
    assert "The database could not try its tables" in output
    assert "AirflowFailException" in output
    assert sorted(by_result(engine, Tables.named("asked_links"))) == ["r1", "r2"]
    assert statuses(engine, Tables.named()) == {"failed": 1}
    engine.dispose()
