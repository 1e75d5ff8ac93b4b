"""Write-backs that die at any statement."""

from __future__ import annotations

from contextlib import contextmanager
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text
from support.hook_warehouses import at, expected, hook_database, ledger_row, put, written
from support.quick import examples

from airflow_kombo.database import warehouse_table
from airflow_kombo.database.hook_database import HookDatabase
from airflow_kombo.database.transactions import prepare
from airflow_kombo.ledger import changed_results, write_back
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.ledger.write_back import WriteBack

RESULTS = [f"r{number}" for number in range(6)]


class Killed(BaseException):
    """The end of a process."""


class MortalConnection:
    """A real connection that ends the process at one statement, before or after it."""

    def __init__(self, connection, life):
        self._connection = connection
        self._life = life

    def __getattr__(self, name):
        call = getattr(self._connection, name)
        if name not in {"execute", "insert", "commit"}:
            return call

        def called(*arguments):
            self._life.use()
            result = call(*arguments)
            self._life.use()
            return result

        return called


class MortalDatabase(HookDatabase):
    """A real warehouse whose client may die."""

    left = None

    def use(self):
        """Use up one moment of the life."""
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed

    @contextmanager
    def connected(self, doing):
        """Open a connection that may die."""
        with super().connected(doing) as connection:
            yield MortalConnection(connection, self)


CHANGE = st.tuples(
    st.sampled_from(RESULTS),
    st.sampled_from(["success", "retryable", "sending", "two rows"]),
    st.sampled_from(["c1", "c2"]),
    st.sampled_from([0, 1, 30, 3_600]),  # seconds since the change before
    st.sampled_from([0, 0, 50]),  # seconds from the beginning of the transaction to its end
)
NIGHT = st.lists(
    st.tuples(st.lists(CHANGE, max_size=6), st.none() | st.integers(0, 40)), min_size=1, max_size=5
)


@settings(deadline=None, max_examples=examples(60))
@given(nights=NIGHT)
def test_a_write_back_that_died_anywhere_is_mended_by_the_next(nights):
    """After any crashes at any statements, one run makes the warehouse's table the ledger's."""
    live_through("sqlite", nights)


@settings(deadline=None, max_examples=examples(15))  # it opens its file thirty times as slowly
@given(nights=NIGHT)
def test_a_crash_between_statements_is_mended_where_each_one_commits(nights):
    """The same is true of DuckDB, whose DELETE stays without the INSERTs after it."""
    live_through("duckdb", nights)


def live_through(conn_type, nights):
    """Write back night for night, die where told to, and compare both tables at the end."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(changed_results, "PAGE_ROWS", 4)
        monkeypatch.setattr(write_back, "BATCH_RESULTS", 3)
        monkeypatch.setattr(warehouse_table, "MOST_ROWS", 2)
        real = hook_database(monkeypatch, conn_type, host=f"{folder}/user.db")
        engine, tables = prepare(create_engine(f"sqlite:///{folder}/ledger.db")), Tables.named()
        tables.create(engine)
        database = MortalDatabase(real.hook)
        back = WriteBack(engine, tables, database)
        back.check()
        ledger, clock = {}, 0
        for changes, life in nights:
            clock = change(engine, tables, ledger, changes, clock)
            database.left = life
            try:
                back.check()
                back.run()
            except Killed:
                pass
            database.left = None
        settle(engine, tables, ledger, clock)
        back.check()
        back.run()
        assert written(real) == expected([row for rows in ledger.values() for row in rows])
        engine.dispose()


def change(engine, tables, ledger, changes, clock):
    """Change results in the ledger, and return the time of the last change."""
    for result_id, what, target, seconds, lasted in changes:
        clock += seconds
        moment = at(clock - min(lasted, clock))
        status = "invalid" if what == "two rows" else what
        attempts = 1 + max((row["attempts"] for row in ledger.get(result_id, ())), default=0)
        rows = [
            ledger_row(result_id, moment, status=status, target_id=one, attempts=attempts)
            for one in (["c1", "c2"] if what == "two rows" else [target])
        ]
        put(engine, tables, *rows)
        ledger[result_id] = rows
    return clock


def settle(engine, tables, ledger, clock):
    """Record an outcome for each result that is being sent."""
    for result_id, rows in ledger.items():
        if rows[0]["status"] == "sending":
            ledger[result_id] = [rows[0] | {"status": "unknown", "updated_at": at(clock + 1)}]
            put(engine, tables, *ledger[result_id])


@pytest.mark.parametrize("conn_type", ["duckdb", "sqlite"])
def test_a_crash_at_each_statement_of_a_long_night_is_mended(conn_type, tmp_path, monkeypatch):
    """Results that changed hours apart all arrive, wherever the write-back before has died."""
    monkeypatch.setattr(changed_results, "PAGE_ROWS", 3)
    monkeypatch.setattr(write_back, "BATCH_RESULTS", 2)
    monkeypatch.setattr(warehouse_table, "MOST_ROWS", 1)
    engine, tables = prepare(create_engine(f"sqlite:///{tmp_path}/ledger.db")), Tables.named()
    tables.create(engine)
    real = hook_database(monkeypatch, conn_type, host=f"{tmp_path}/user.db")
    database = MortalDatabase(real.hook)
    back = WriteBack(engine, tables, database)
    back.check()
    rows = [ledger_row(f"r{9 - hour}", at(hour * 3_600)) for hour in range(7)]
    twice = [
        ledger_row("two", at(hour * 3_600 + 1), target_id=f"c{hour}", status="invalid")
        for hour in (0, 6)
    ]
    for row in rows:
        put(engine, tables, row)
    put(engine, tables, *twice)
    life, is_dead = 0, True
    while is_dead:
        with real.connected("be emptied") as connection:
            connection.execute(text("DELETE FROM kombo_result_links"))
            connection.commit()
        database.left = life
        try:
            back.run()
            is_dead = False
        except Killed:
            life += 1
        database.left = None
        back.run()
        assert written(real) == expected([*rows, *twice]), life
    assert life > 30
    engine.dispose()
