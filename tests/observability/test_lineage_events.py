"""Lineage events of a task, through Airflow's OpenLineage provider."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import create_engine, make_url
from support.airflow_commands import DAG, airflow
from support.harness import KEY, SQL, fill, make_source_table, row

from airflow_kombo.observability.lineage_events import lineage

TABLES = ["kombo_result_links", "kombo_result_link_attempts", "kombo_result_link_runs"]


def test_a_delivery_reports_its_tables(tmp_path, standin):
    """With the provider's settings alone, a run's last event has the read and written tables."""
    warehouse = tmp_path / "warehouse.db"
    engine = create_engine(f"sqlite:///{warehouse}")
    fill(engine, make_source_table(engine), [row("r1")])
    engine.dispose()
    log = tmp_path / "lineage.json"
    transport = {"type": "file", "log_file_path": str(log), "append": True}
    options = {
        "kombo": {"conn_type": "http", "host": standin.url, "password": KEY},
        "AIRFLOW_CONN_WAREHOUSE_DEFAULT": f"sqlite:///{warehouse}",
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
    }
    airflow(tmp_path / "home", "db", "migrate", **options)
    airflow(tmp_path / "home", "dags", "test", DAG, "2026-11-03", **options)
    events = [json.loads(line) for line in log.read_text().splitlines()]
    (end,) = [
        event
        for event in events
        if event["eventType"] == "COMPLETE" and event["job"]["name"] == f"{DAG}.deliver.account"
    ]
    assert {one["namespace"] for one in end["inputs"] + end["outputs"]} == {"sqlite"}
    named = [one["name"].rpartition(f"{warehouse}.")[2] for one in end["inputs"] + end["outputs"]]
    assert named == ["assessment_results", *TABLES]


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"sql": SQL, "table": None}, ["postgres.public.assessment_results"]),
        (
            {
                "sql": "SELECT * FROM a JOIN b.c USING (id) WHERE d = :assessment_date",
                "table": None,
            },
            ["postgres.public.a", "postgres.b.c"],
        ),
        ({"sql": None, "table": "analytics.published"}, ["postgres.analytics.published"]),
        ({"sql": None, "table": None}, []),
        ({"sql": "no query at all (", "table": None}, []),
    ],
)
def test_tables_are_named_with_database_and_schema(postgres, monkeypatch, given, read):
    """The names are those of the warehouse's provider, where it supports OpenLineage."""
    url = make_url(postgres)
    connection = {"conn_type": "postgres", "login": url.username, "schema": url.database}
    connection |= {"host": url.query["host"], "extra": {}}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", json.dumps(connection))
    found = lineage("warehouse_default", status_table="out.links", **given)
    assert sorted(one.name for one in found.inputs) == sorted(read)
    assert [one.name for one in found.outputs] == [
        f"postgres.out.{name}" for name in ("links", "link_attempts", "link_runs")
    ]


def test_a_ledger_elsewhere_has_names_of_its_own(postgres, monkeypatch):
    """The ledger's tables are the ledger's; the warehouse has the rows and the copy."""
    url = make_url(postgres)
    ledger = {"conn_type": "postgres", "login": url.username, "schema": url.database}
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps(ledger | {"host": url.query["host"]}))
    warehouse = {"conn_type": "duckdb", "host": "/data/warehouse.duckdb"}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", json.dumps(warehouse))
    found = lineage(
        "warehouse_default", "ledger", sql=SQL, table=None, status_table="kombo_result_links"
    )
    assert [one.name for one in found.inputs] == ["/data/warehouse.duckdb.assessment_results"]
    *ours, copy = found.outputs
    assert [one.name for one in ours] == [f"postgres.public.{name}" for name in TABLES]
    assert (copy.namespace, copy.name) == (
        "duckdb",
        "/data/warehouse.duckdb.kombo_result_links",
    )
