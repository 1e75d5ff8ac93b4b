"""The operator in a dag of the user's own, in real Airflow."""

from __future__ import annotations

import json

import pytest
from harness import KEY, all_of, by_result, fill, make_source_table, row
from sqlalchemy import create_engine
from test_dag import airflow

from airflow_kombo.errors import ConfigurationError
from airflow_kombo.operator import KomboResultLinkOperator
from airflow_kombo.tables import Tables

DAG = """
from datetime import datetime
from airflow.sdk import DAG, task
from airflow_kombo.operator import KomboResultLinkOperator

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


def test_a_dag_of_ones_own(tmp_path, standin):
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


@pytest.mark.parametrize("given", [{}, {"sql": "SELECT 1", "table": "t"}])
def test_rows_have_one_source(given):
    """An operator without a source of rows, or with two, says so."""
    operator = KomboResultLinkOperator(task_id="deliver", mapping={}, **given)
    with pytest.raises(ConfigurationError, match="one of sql, table and rows_task_id"):
        operator._source({}, None, None, None, None)
