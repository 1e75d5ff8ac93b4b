from __future__ import annotations

from harness import DAY, MAPPING, SQL, all_of, fill, row, run_day

from airflow_kombo.ledger import Ledger
from airflow_kombo.mapping import ResultLinkMapping
from airflow_kombo.preview import preview
from airflow_kombo.source import QuerySource, Selection, parameters_of


def foreseen(warehouse, tables, **selected):
    selection = Selection(**selected)
    source = QuerySource(warehouse, tables, SQL, parameters_of(DAY), selection=selection)
    mapping = ResultLinkMapping.load(MAPPING)
    counts = preview(source, mapping, Ledger(warehouse, tables), selection, None)
    return {name: dict(+lane) for name, lane in counts.items()}


def test_a_dry_run_says_what_a_run_does(warehouse, tables, source_table, standin):
    """What is foreseen is what happens, and foreseeing it sends and writes nothing."""
    rows = [row(f"r{number}") for number in range(20)]
    rows[3] |= {"result_url": "ftp://results.example"}
    rows[4] |= {"candidate_id": rows[5]["candidate_id"], "result_url": rows[5]["result_url"]}
    fill(warehouse, source_table, rows)
    assert foreseen(warehouse, tables) == {"workday:one": {"would_send": 18, "invalid": 2}}
    assert standin.stats()["received"] == 0
    assert all_of(warehouse, tables.links) == all_of(warehouse, tables.runs) == []
    assert run_day(warehouse, tables).lanes["workday:one"] == {"success": 18, "invalid": 2}


def test_a_dry_run_after_a_run(warehouse, tables, source_table, standin):
    """Delivered rows are not planned any more; refused ones are skipped until they are named."""
    fill(warehouse, source_table, [row("r1"), row("r2")])
    standin.add_rule({"kind": "answer", "status": 400, "code": "ATS.JOB_CLOSED"}, times=1)
    run_day(warehouse, tables)
    assert foreseen(warehouse, tables) == {"workday:one": {"skipped": 1}}
    named = foreseen(warehouse, tables, redeliver=frozenset({"failed"}))
    assert named == {"workday:one": {"would_send": 1}}
