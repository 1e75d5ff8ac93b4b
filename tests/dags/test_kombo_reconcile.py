"""Evidence for unknown rows in real Airflow, with the shipped recipes."""

from __future__ import annotations

import json
import re

from support.doubt import leave_in_doubt, let_pass
from support.harness import by_result, make_source_table

from airflow_kombo.database.transactions import prepare
from airflow_kombo.ledger.tables import Tables

DAG = "kombo_reconcile"
NOW = "2026-11-04"
"""The date of a dag run; the dag looks at the clock of the ledger's database only."""


def test_the_dag_settles_what_it_finds(engine, standin, run_dag):
    """A dry run counts; a run settles found rows, and leaves absent ones, with the evidence."""
    tables = Tables.named()
    tables.create(prepare(engine))
    source = make_source_table(engine)
    sandbox = {"integration_id": "sandbox:one"}
    rows = {"made": ["made"], "not_made": ["not-made"]}
    leave_in_doubt(engine, tables, source, standin, **rows, **sandbox)
    let_pass(engine, tables)
    looked = run_dag(NOW, "--conf", json.dumps({"dry_run": True}), dag=DAG)
    assert re.search(r"sandbox:one +1 +1 +2", looked)
    assert {row.status for row in by_result(engine, tables).values()} == {"unknown"}
    output = run_dag(NOW, dag=DAG)
    assert "not-made: Not found by GET /ats/notes" in output
    assert "results.example" not in output
    found = {name: row.status for name, row in by_result(engine, tables).items()}
    assert found == {"made": "success", "not-made": "unknown"}


def test_a_wrong_key_is_a_red_task_that_names_it(engine, standin, run_dag):
    """A wrong key fails the task and is named; without a row nothing is asked."""
    tables = Tables.named()
    tables.create(prepare(engine))
    assert "nothing to look for" in run_dag(NOW, dag=DAG, key="wrong")
    source = make_source_table(engine)
    leave_in_doubt(engine, tables, source, standin, made=["made"], integration_id="sandbox:one")
    output = run_dag(NOW, dag=DAG, key="wrong", check=False)
    assert "Kombo at 127.0.0.1 refuses this key" in output
    assert by_result(engine, tables)["made"].status == "unknown"
