"""Fixtures for tests of dags: Airflow with a database, a warehouse, and runs of the dag."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine
from support.airflow_commands import DAG, airflow
from support.harness import KEY


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return a home of Airflow's with a database, as `make demo` makes one."""
    home = tmp_path_factory.mktemp("airflow")
    airflow(home, "db", "migrate")
    return home


@pytest.fixture
def engine(tmp_path):
    """Return the engine of an empty warehouse."""
    engine = create_engine(f"sqlite:///{tmp_path / 'warehouse.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def run_dag(home, engine, standin):
    """Return a function that runs a dag once, without a scheduler, and returns the output."""

    def run(*arguments, check=True, key=KEY, dag=DAG):
        done = airflow(
            home,
            "dags",
            "test",
            dag,
            *arguments,
            kombo={"conn_type": "http", "host": standin.url, "password": key},
            check=check,
            AIRFLOW_CONN_WAREHOUSE_DEFAULT=f"sqlite:///{engine.url.database}",
        )
        return done.stdout + done.stderr

    return run
