"""Query plan of the account of a day in shards."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, event
from support.harness import DAY

from airflow_kombo.database.transactions import prepare
from airflow_kombo.ledger.dag_run_rows import DagRunRows
from airflow_kombo.ledger.run_scope import Days
from airflow_kombo.ledger.runs import Run
from airflow_kombo.ledger.tables import Tables

TABLES = Tables.named()


@pytest.fixture
def sqlite(tmp_path):
    engine = prepare(create_engine(f"sqlite:///{tmp_path / 'ledger.db'}"))
    TABLES.create(engine)
    yield engine
    engine.dispose()


def test_sqlite_reads_the_rows_of_the_runs_alone(sqlite):
    """Indexes find the rows of the runs and those in doubt: no whole table is read."""
    queries = []
    event.listen(sqlite, "before_cursor_execute", lambda *given: queries.append(given[2:4]))
    assert DagRunRows(sqlite, TABLES, Run("account"), Days(DAY, DAY)).counts() == {}
    (counting,) = [one for one in queries if "count(" in one[0]]
    with sqlite.connect() as connection:
        steps = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {counting[0]}", counting[1])
        named = [step[3] for step in steps]
    assert "MULTI-INDEX OR" in named
    assert not [step for step in named if step.startswith("SCAN kombo_result_links")]
