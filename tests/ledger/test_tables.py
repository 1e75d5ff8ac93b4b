from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from threading import Barrier

import pytest
from sqlalchemy import (
    Column,
    MetaData,
    String,
    Table,
    event,
    func,
    insert,
    inspect,
    select,
    text,
)
from support.harness import all_of

from airflow_kombo.exceptions import ConfigurationError, LedgerError
from airflow_kombo.ledger.tables import Tables

HISTORY = "kombo_result_link_attempts"
LATER = {"resolution", "resolved_by", "resolved_at", "resolution_reason"}
"""Columns of the history that the first version did not have."""


@pytest.fixture
def older(warehouse):
    """Give a warehouse with our tables as the first version made them, and a row of history."""
    metadata = MetaData()
    for table in Tables.named().links.metadata.sorted_tables:
        redact = [column for column in table.columns if column.name not in LATER]
        Table(table.name, metadata, *(column._copy() for column in redact))
    metadata.create_all(warehouse)
    key = dict.fromkeys(["integration_id", "target_type", "target_id", "result_id", "run_id"], "1")
    claimed_at = datetime(2026, 11, 3, tzinfo=timezone.utc)
    with warehouse.begin() as connection:
        history = insert(metadata.tables[HISTORY])
        connection.execute(history, {**key, "attempt": 1, "claimed_at": claimed_at})
    return warehouse


def columns(engine):
    return {column["name"] for column in inspect(engine).get_columns(HISTORY)}


def test_an_older_versions_tables_get_what_they_lack(older):
    """Columns that came later are added to an older version's tables, and its rows are kept."""
    assert not columns(older) & LATER
    tables = Tables.named()
    tables.create(older)
    assert columns(older) >= LATER
    (attempt,) = all_of(older, tables.attempts)
    assert (attempt.result_id, attempt.attempt, attempt.resolution) == ("1", 1, None)


def test_many_tasks_may_migrate_at_once(older):
    """Any number of tasks may find an older version's tables at the same moment."""
    start = Barrier(6)

    def migrate(_):
        start.wait()
        Tables.named().create(older)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(migrate, range(6)))
    assert columns(older) >= LATER


def test_a_migrated_table_is_left_alone(older):
    """A table that has all of its columns is only looked at."""
    Tables.named().create(older)
    statements = []
    listener = lambda *arguments: statements.append(arguments[2])  # noqa: E731 - SQLAlchemy's form
    event.listen(older, "before_cursor_execute", listener)
    Tables.named().create(older)
    assert statements
    assert not [statement for statement in statements if statement.startswith(("ALTER", "CREATE"))]


def test_a_table_that_lacks_what_ours_always_had_is_not_touched(older):
    """A table that cannot be ours is refused, with the columns' names, and gets none added."""
    with older.begin() as connection:
        connection.execute(text(f"ALTER TABLE {HISTORY} DROP COLUMN claimed_at"))
    with pytest.raises(ConfigurationError, match="no column claimed_at, resolution"):
        Tables.named().create(older)
    assert not columns(older) & LATER


def test_when_one_table_cannot_be_ours_none_is_changed(older):
    """All tables are looked at before the first is changed."""
    runs = Table("kombo_result_link_runs", MetaData(), Column("run_id", String(36)))
    runs.drop(older)
    runs.create(older)
    with pytest.raises(ConfigurationError, match="kombo_result_link_runs"):
        Tables.named().create(older)
    assert not columns(older) & LATER


@pytest.mark.parametrize("warehouse", ["postgresql"], indirect=True)
def test_a_user_who_may_not_migrate_is_told(older):
    """Without the right to change a table, the error says why, and what the user needs."""
    with older.begin() as connection:
        schema = connection.execute(select(func.current_schema())).scalar_one()
        connection.execute(text(f"CREATE ROLE user_of_{schema}"))
        connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO user_of_{schema}"))
        connection.execute(text(f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO user_of_{schema}"))

    @event.listens_for(older, "begin")
    def become(connection):
        connection.exec_driver_sql(f"SET LOCAL ROLE user_of_{schema}")

    with pytest.raises(LedgerError, match=r"must be owner of table .+ has to own") as caught:
        Tables.named().create(older)
    assert all(f"{HISTORY}.{name}" in str(caught.value) for name in LATER)
    event.remove(older, "begin", become)
    assert not columns(older) & LATER
