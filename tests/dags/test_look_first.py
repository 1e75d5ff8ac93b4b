"""Dry runs, second chances and approval of many rows, in real Airflow."""

from __future__ import annotations

import json
import re

from sqlalchemy import update
from support.harness import DAY, all_of, fill, make_source_table, row, statuses

from airflow_kombo.ledger.tables import Tables


def test_look_first_and_then_give_second_chances(engine, standin, run_dag):
    """A dry run shows old outcomes and new rows; the next run sends only the chosen rows."""
    source = make_source_table(engine)
    fill(engine, source, [row(f"r{number}") for number in range(5)])
    refused = {"kind": "answer", "status": 400, "code": "ATS.JOB_CLOSED"}
    standin.add_rule(refused, url="https://results.example/r0")
    run_dag("2026-11-03", check=False)
    standin.clear_rules()
    with engine.begin() as connection:
        changed = update(source).where(source.c.result_id == "r1")
        connection.execute(changed.values(assessment_name="Another"))
    fill(engine, source, [row("new"), row("far", integration_id="ats:far")])
    conf = json.dumps({"dry_run": True})
    output = run_dag("2026-11-03", "--conf", conf)
    assert standin.stats()["received"] == 5
    assert re.search(r"changed +delivered +refused +send +rows", output)
    assert re.search(r"workday:one +1 +3 +1 +1 +6", output)
    assert re.search(r"workday:one: at least 0:00:\d\d for 1 rows at [\d,.]+ a second", output)
    assert "No estimate for ats:far" in output
    tables = Tables.named()
    seen = {one.result_id: one.action for one in all_of(engine, tables.preview)}
    assert seen == {
        "r0": "refused",
        "r1": "changed",
        **dict.fromkeys(["r2", "r3", "r4"], "delivered"),
        **dict.fromkeys(["new", "far"], "send"),
    }
    assert len(all_of(engine, tables.runs)) == 1
    asked = {
        "redeliver": ["failed", "changed"],
        "integration_ids": ["workday:one"],
        "result_ids": ["r0", "r1", "r2", "far"],
        "limit": 5,
    }
    run_dag("2026-11-03", "--conf", json.dumps(asked))
    assert standin.stats()["received"] == 7
    attempts = {one.result_id: one.attempts for one in all_of(engine, tables.links)}
    assert attempts == {"r0": 2, "r1": 2, "r2": 1, "r3": 1, "r4": 1}


def test_a_first_run_of_a_large_table_needs_approval(engine, standin, run_dag):
    """Dry run, stop, `not_before` and approval work with the parameters of the trigger form."""
    large = [row(f"r{number}", integration_id=f"ats:{number % 50}") for number in range(1_001)]
    fill(engine, make_source_table(engine), large)

    def run(**conf):
        return run_dag(str(DAY), "--conf", json.dumps(conf), check=False)

    would_stop = "1,001 rows would be sent, and at most 1,000 may be without approval"
    log = run(dry_run=True)
    assert f"A run would stop before the first of them: {would_stop}" in log
    assert all_of(engine, Tables.named().runs) == []
    stops = "at most 5 may be without approval: this is max_rows"
    assert stops in run(max_rows=5)
    (stopped,) = all_of(engine, Tables.named().runs)
    assert stops in stopped.error
    assert run(not_before="2026-11-04").count("0 rows to deliver") == 1
    assert standin.stats()["received"] == 0
    run(approve_rows=True)
    assert statuses(engine, Tables.named()) == {"success": 1_001}
