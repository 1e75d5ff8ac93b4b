"""The looking operator: parameters, and a ledger in another database."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from airflow.sdk import DAG
from sqlalchemy import create_engine, text
from support.doubt import leave_in_doubt, let_pass
from support.harness import ROOT, by_result, make_source_table

from airflow_kombo.airflow_compat import AirflowFailException
from airflow_kombo.database.transactions import prepare
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.operators.reconcile import KomboReconcileOperator

TABLES = Tables.named()
SHIPPED = ROOT / "include" / "reconciliation.yaml"


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    """Return a ledger beside the warehouse, with the connections of both."""
    for name in ("warehouse", "ledger"):
        connection = {"conn_type": "sqlite", "host": str(tmp_path / f"{name}.db")}
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}_DEFAULT", json.dumps(connection))
    engine = prepare(create_engine(f"sqlite:///{tmp_path / 'ledger.db'}"))
    TABLES.create(engine)
    yield engine
    engine.dispose()


def execute(**options):
    options = {"recipes": SHIPPED, "ledger_conn_id": "ledger_default"} | options
    with DAG("dag", schedule=None) as dag:
        operator = KomboReconcileOperator(task_id="look", **options)
    return operator.execute({"dag": SimpleNamespace(dag_id=dag.dag_id)})


def test_what_is_settled_is_written_back(ledger, standin, tmp_path):
    """The warehouse's copy of a ledger elsewhere has the new statuses."""
    source = make_source_table(ledger)
    leave_in_doubt(ledger, TABLES, source, standin, made=["r1"], integration_id="sandbox:one")
    let_pass(ledger, TABLES)
    assert execute() == {"created": 1}
    assert by_result(ledger, TABLES)["r1"].status == "success"
    warehouse = create_engine(f"sqlite:///{tmp_path / 'warehouse.db'}")
    with warehouse.connect() as connection:
        copied = connection.execute(text("SELECT status FROM kombo_result_links")).scalar_one()
    assert copied == "success"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"assessment_date": "yesterday"}, "assessment_date"),
        ({"look_again": "perhaps"}, "look_again"),
        ({"recipes": "nowhere.yaml"}, r"nowhere\.yaml"),
    ],
)
def test_a_wrong_parameter_is_named(ledger, standin, options, says):
    """A mistake in the form or the recipes fails the task, and Airflow does not try again."""
    with pytest.raises(AirflowFailException, match=says):
        execute(**options)


def test_nothing_is_asked_without_a_row(ledger, standin):
    """A ledger without an unknown row needs no connection to Kombo."""
    assert execute(kombo_conn_id="nowhere") == {}
