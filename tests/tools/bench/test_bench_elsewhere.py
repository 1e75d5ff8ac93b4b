"""The scenario with DuckDB: the rows of PostgreSQL, and an optional package."""

import duckdb
import pytest
from sqlalchemy import create_engine, make_url

from tools.bench import command, elsewhere
from tools.bench.counts import Counts
from tools.bench.measurement import Scale
from tools.bench.stage import BenchError, Run
from tools.bench.warehouse import statements


def run(**figures):
    """Return a run of which only some figures matter."""
    others = dict.fromkeys(("peak_mb", "server_cpu", "postgres_cpu", "others", "stood_still"), 0.0)
    counts = {"client": "write_back", "rows": 0, "machine": 4.0, "counts": {}}
    return Run(**others, **counts, **figures, server=Counts({}, {}))


def test_duckdb_has_postgresqls_rows(postgres_database):
    """The same statements fill both databases with the same day."""
    made = statements(40, 10)
    query = "SELECT * FROM assessment_results ORDER BY result_id"
    with duckdb.connect() as database:
        for statement in made:
            database.execute(statement)
        ours = database.execute(query).fetchall()
    engine = create_engine(make_url(postgres_database))
    with engine.begin() as connection:
        for statement in made:
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
        theirs = [tuple(row) for row in connection.exec_driver_sql(query)]
    engine.dispose()
    assert len(ours) == 40
    assert ours == theirs


def test_only_its_own_scenario_needs_duckdb(monkeypatch):
    """Without DuckDB the bench ends before its first run, with the reason."""
    monkeypatch.setattr(elsewhere, "_PACKAGES", ("duckdb", "no_such_package"))
    with pytest.raises(BenchError, match=r"needs no_such_package: install requirements-duckdb"):
        command.measured(["size", "elsewhere"], Scale(small=True))


def test_fixed_costs_are_no_cost_of_a_row():
    """The write-back's figures leave out what a write-back of nothing takes."""
    nothing, all_rows = [run(cpu=0.5, seconds=1.0)] * 3, run(cpu=20.5, seconds=31.0)
    written = elsewhere._written(all_rows, nothing, 200_000)
    unchanged = elsewhere._unchanged([run(cpu=1.0, seconds=2.5)], nothing, 200_000)
    assert (written.measured.split()[0], written.met) == ("100", True)
    assert (unchanged.measured.split()[0], unchanged.met) == ("1.5", True)
