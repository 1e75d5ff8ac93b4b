"""Reading a query's rows beside others who write."""

from __future__ import annotations

from support.harness import DAY, SQL, fill, row

from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.rows.query_source import QuerySource, parameters_of
from airflow_kombo.rows.source import Selection


def test_others_may_write_while_rows_are_mapped(warehouse, tables, source_table, monkeypatch):
    """A heartbeat is written between two chunks: a row's mapping may take any time."""
    monkeypatch.setattr("airflow_kombo.rows.query_reader.CHUNK_ROWS", 2)
    fill(warehouse, source_table, [row(f"r{number}") for number in range(5)])
    runs = Runs(warehouse, tables)
    runs.start(Run("run"))
    source = QuerySource(warehouse, tables, SQL, parameters_of(DAY), selection=Selection())
    read = []
    for chunk in source.chunks():
        runs.beat("run", {"planned": len(read)})
        read += chunk["result_id"].tolist()
    assert read == [f"r{number}" for number in range(5)]
