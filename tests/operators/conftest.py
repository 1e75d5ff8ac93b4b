"""Airflow's context of a task, for tests that run an operator in this process."""

from __future__ import annotations

from datetime import datetime, timezone
from types import SimpleNamespace

import pytest
from sqlalchemy import create_engine
from support.harness import make_source_table

from airflow_kombo.database.transactions import prepare


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """Return the engine of the warehouse of the connection."""
    engine = prepare(create_engine(f"sqlite:///{tmp_path / 'warehouse.db'}"))
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", f"sqlite:///{engine.url.database}")
    yield engine
    engine.dispose()


@pytest.fixture
def source(engine):
    """Return the empty table of assessment results."""
    return make_source_table(engine)


@pytest.fixture
def context():
    """Return as much of Airflow's context as a run reads."""
    pushed = {}
    instance = SimpleNamespace(
        dag_id="dag",
        run_id="manual",
        task_id="deliver",
        map_index=-1,
        try_number=1,
        xcom_push=pushed.__setitem__,
        pushed=pushed,
    )
    dag_run = SimpleNamespace(
        run_type="manual",
        run_id="manual",
        partition_key=None,
        logical_date=datetime(2026, 11, 3, tzinfo=timezone.utc),
        triggering_user_name="Ada",
    )
    return {"ti": instance, "dag_run": dag_run, "outlet_events": {}, "dag": None}
