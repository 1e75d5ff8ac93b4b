"""Connections that were idle are tested before their next transaction, and no others."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, make_url, text

from airflow_kombo.database import idle_connections
from airflow_kombo.database.transactions import prepare, transaction
from airflow_kombo.exceptions import LedgerError

LONG = 3600.0


@pytest.fixture(params=["psycopg", "psycopg2"])
def engine(request, postgres):
    url = make_url(postgres).set(drivername=f"postgresql+{request.param}")
    engine = prepare(create_engine(url))
    yield engine
    engine.dispose()


def session_of(engine):
    with transaction(engine, "name the session") as connection:
        return connection.execute(text("SELECT pg_backend_pid()")).scalar_one()


def end(postgres, *sessions):
    """End sessions as a server's own limit does, and wait until they ended."""
    owner = create_engine(postgres)
    with owner.connect() as connection:
        for one in sessions:
            ended = text("SELECT pg_terminate_backend(:one, 10000)")
            assert connection.execute(ended, {"one": one}).scalar_one()
    owner.dispose()


def test_a_lost_connection_that_was_idle_is_replaced(engine, postgres, monkeypatch):
    """A session that the server ended while nobody used it costs no transaction."""
    monkeypatch.setattr(idle_connections, "IDLE_SECONDS", 0.0)
    before = session_of(engine)
    assert session_of(engine) == before
    end(postgres, before)
    assert session_of(engine) != before


def test_all_older_connections_are_replaced_with_a_lost_one(engine, postgres, monkeypatch):
    """After a restart of the server, one test is enough for all connections of the pool."""
    with engine.connect() as one, engine.connect() as other:
        sessions = [
            open_.execute(text("SELECT pg_backend_pid()")).scalar_one() for open_ in (one, other)
        ]
    end(postgres, *sessions)
    monkeypatch.setattr(idle_connections, "IDLE_SECONDS", 0.0)
    assert session_of(engine) not in sessions
    monkeypatch.setattr(idle_connections, "IDLE_SECONDS", LONG)
    with engine.connect(), engine.connect() as other:
        assert other.execute(text("SELECT 1")).scalar_one() == 1


def test_a_connection_in_use_is_not_tested(engine, postgres, monkeypatch):
    """A test for each transaction would be a round trip for each; a loss is an error then."""
    monkeypatch.setattr(idle_connections, "IDLE_SECONDS", LONG)
    before = session_of(engine)
    end(postgres, before)
    with pytest.raises(LedgerError, match="could not name the session"):
        session_of(engine)
    assert session_of(engine) != before


def test_sqlite_has_idle_connections_too(tmp_path, monkeypatch):
    """A database without a server passes the test."""
    monkeypatch.setattr(idle_connections, "IDLE_SECONDS", 0.0)
    engine = prepare(create_engine(f"sqlite:///{tmp_path / 'ledger.db'}"))
    for _ in range(2):
        with transaction(engine, "look") as connection:
            assert connection.execute(text("SELECT 1")).scalar_one() == 1
    engine.dispose()
