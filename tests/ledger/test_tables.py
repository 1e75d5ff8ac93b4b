"""The tables: creation and migration by many tasks at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from hashlib import sha256
from threading import Barrier

import pytest
from sqlalchemy import (
    Column,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)
from support.harness import all_of, delivery

from airflow_kombo.database.dialects.columns import TABLE_OPTIONS
from airflow_kombo.database.transactions import prepare
from airflow_kombo.exceptions import ConfigurationError, LedgerError
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.decisions import DecisionBy
from airflow_kombo.ledger.migrations import SCHEMA_VERSION
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.ledger.unknown_rows import UnknownRows, UnknownRowsFilter
from airflow_kombo.statuses import Decision

HISTORY = "kombo_result_link_attempts"
RUNS = "kombo_result_link_runs"
LATER = {
    *("resolution", "resolved_by", "resolved_at", "resolution_reason"),
    *("evidence", "evidence_at", "response"),
}
"""Columns of the history that came later than the first version."""
LATER_ELSEWHERE = {
    "kombo_result_links": {"left_out_by", "left_out_at", "left_out_reason", "trouble"},
    RUNS: {"schema_version", "left_out", "settled_at"},
}
"""Columns of the other tables that came later than the first version."""


@pytest.fixture
def older(warehouse):
    """Return a warehouse with the tables of the first version, a row and its history."""
    metadata = MetaData()
    for table in Tables.named().links.metadata.sorted_tables:
        later = LATER | LATER_ELSEWHERE.get(table.name, set())
        kept = [column for column in table.columns if column.name not in later]
        Table(table.name, metadata, *(column._copy() for column in kept), **TABLE_OPTIONS)
    metadata.create_all(warehouse)
    key = dict.fromkeys(["integration_id", "target_type", "target_id", "result_id", "run_id"], "1")
    claimed_at = datetime(2026, 11, 3, tzinfo=timezone.utc)
    with warehouse.begin() as connection:
        history = insert(metadata.tables[HISTORY])
        connection.execute(history, {**key, "attempt": 1, "claimed_at": claimed_at})
        refused = {**key, "status": "failed", "attempts": 1, "updated_at": claimed_at}
        connection.execute(insert(metadata.tables["kombo_result_links"]), refused)
    return warehouse


def columns(engine, table=HISTORY):
    return {column["name"] for column in inspect(engine).get_columns(table)}


def run_of_a_newer_version(engine, tables):
    """Write a run, as a version with more columns or other meanings would."""
    Runs(engine, tables).start(Run("newer"))
    with engine.begin() as connection:
        connection.execute(update(tables.runs).values(schema_version=SCHEMA_VERSION + 1))


def test_the_tables_are_made_by_many_at_once(warehouse):
    """Any number of tasks may make the tables at the same moment."""
    tables = Tables.named()
    start = Barrier(6)

    def make(_):
        start.wait()
        tables.create(warehouse)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(make, range(6)))
    assert all_of(warehouse, tables.links) == []


def test_a_foreign_table_of_that_name_is_refused(warehouse):
    """A table without our columns is refused with their names, and not changed."""
    foreign = Table("kombo_result_links", MetaData(), Column("result_id", String(9)))
    foreign.create(warehouse)
    with pytest.raises(ConfigurationError, match="attempts, error_code"):
        Tables.named().create(warehouse)


def test_other_names_for_the_tables(warehouse):
    """The two other tables are named after the status table."""
    tables = Tables.named("links")
    tables.create(warehouse)
    assert [tables.attempts.name, tables.runs.name] == ["link_attempts", "link_runs"]


def test_a_database_that_is_not_there_is_a_ledger_error(tmp_path):
    """A missing warehouse is an error of the ledger, with the driver's reason."""
    engine = prepare(create_engine(f"sqlite:///{tmp_path / 'no' / 'such.db'}"))
    with pytest.raises(LedgerError, match="unable to open"):
        Tables.named().create(engine)


def test_an_error_of_the_database_quotes_no_row(warehouse, tables):
    """The error of a failing statement holds no values."""
    with warehouse.begin() as connection:
        connection.execute(text("ALTER TABLE kombo_result_links RENAME COLUMN status TO state"))
    Runs(warehouse, tables).start(Run("run"))
    with pytest.raises(LedgerError) as caught:
        Ledger(warehouse, tables).claim("run", [delivery(target_id="canary")])
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert "canary" not in str(caught.value.__context__)


def test_an_older_versions_tables_get_the_missing_columns(older):
    """An older version's tables get the missing columns, and keep their rows."""
    assert not columns(older) & LATER
    tables = Tables.named()
    tables.create(older)
    assert columns(older) >= LATER
    (attempt,) = all_of(older, tables.attempts)
    assert (attempt.result_id, attempt.attempt, attempt.resolution) == ("1", 1, None)
    assert all(columns(older, name) >= later for name, later in LATER_ELSEWHERE.items())


def test_a_row_of_an_older_version_is_not_left_out(older):
    """A run sends a row of an older version as before, until a person leaves the row out."""
    tables = Tables.named()
    tables.create(older)
    Runs(older, tables).start(Run("run"))
    (row,) = all_of(older, tables.links)
    request = delivery("1", integration_id="1", target_id="1", target_type="1")
    ledger, unknown = Ledger(older, tables), UnknownRows(older, tables)
    assert (row.status, row.left_out_at) == ("failed", None)
    assert len(ledger.look_up_claims([request], {"failed"})[0].won) == 1
    leave_out = DecisionBy(Decision.LEAVE_OUT, "a test row", "alice")
    assert sum(unknown.decide(UnknownRowsFilter(result_ids=("1",)), leave_out)) == 1
    assert ledger.claim("run", [request], {"failed"}).left_out == (request,)


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
    """A complete table is only read."""
    Tables.named().create(older)
    statements = []
    listener = lambda *arguments: statements.append(arguments[2])  # noqa: E731 - SQLAlchemy's form
    event.listen(older, "before_cursor_execute", listener)
    Tables.named().create(older)
    assert statements
    assert not [statement for statement in statements if statement.startswith(("ALTER", "CREATE"))]


def test_a_foreign_table_is_not_changed(older):
    """A foreign table is refused with the names of the columns, and not changed."""
    with older.begin() as connection:
        connection.execute(text(f"ALTER TABLE {HISTORY} DROP COLUMN claimed_at"))
    with pytest.raises(ConfigurationError, match="no column claimed_at, evidence"):
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
def test_a_user_without_the_right_to_migrate_gets_an_error(older):
    """Without the right to change a table, the error names the reason and the right."""
    with older.begin() as connection:
        schema = connection.execute(select(func.current_schema())).scalar_one()
        connection.execute(text(f"CREATE ROLE user_of_{schema}"))
        connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO user_of_{schema}"))
        connection.execute(text(f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO user_of_{schema}"))

    @event.listens_for(older, "begin")
    def become(connection):
        connection.exec_driver_sql(f"SET LOCAL ROLE user_of_{schema}")

    with pytest.raises(ConfigurationError, match=r"must be owner of table .+ has to own") as caught:
        Tables.named().create(older)
    assert all(f"{HISTORY}.{name}" in str(caught.value) for name in LATER)
    event.remove(older, "begin", become)
    assert not columns(older) & LATER


def test_each_run_writes_the_version_of_its_tables(warehouse, tables):
    """The row of a run has the version of the tables, and the same version accepts them."""
    Runs(warehouse, tables).start(Run("run"))
    (run,) = all_of(warehouse, tables.runs)
    assert run.schema_version == SCHEMA_VERSION
    tables.create(warehouse)


def test_runs_without_a_version_are_of_an_older_one(older):
    """Tables with runs from before there was a version are migrated, and their runs are kept."""
    moment = "2026-11-03 02:00:00"
    with older.begin() as connection:
        names = "run_id, started_at, heartbeat_at"
        values = f"'old', '{moment}', '{moment}'"
        connection.execute(text(f"INSERT INTO {RUNS} ({names}) VALUES ({values})"))  # noqa: S608 - ours
    assert "schema_version" not in columns(older, RUNS)
    tables = Tables.named()
    tables.create(older)
    Runs(older, tables).start(Run("new"))
    versions = {run.run_id: run.schema_version for run in all_of(older, tables.runs)}
    assert versions == {"old": None, "new": SCHEMA_VERSION}


def test_tables_of_a_newer_version_are_refused(warehouse, tables):
    """The error names both versions and the remedy, and comes before any change."""
    run_of_a_newer_version(warehouse, tables)
    with warehouse.begin() as connection:
        connection.execute(text(f"ALTER TABLE {HISTORY} DROP COLUMN resolved_by"))
    with pytest.raises(ConfigurationError, match="Install the newer version on every") as caught:
        tables.create(warehouse)
    assert f"they have version {SCHEMA_VERSION + 1}" in str(caught.value)
    assert f"this one knows version {SCHEMA_VERSION}" in str(caught.value)
    assert "resolved_by" not in columns(warehouse)


COLUMNS_OF_VERSION = {6: "0eb6a379e4bf2640"}
"""The digest of the columns of the version."""


def test_another_column_is_another_version():
    """A changed column needs a higher `SCHEMA_VERSION`, with its digest in this test."""
    tables = Tables.named()
    names = [
        f"{table.name}.{column.name} {column.type} {column.nullable}"
        for table in (tables.links, tables.attempts, tables.runs)
        for column in table.columns
    ]
    digest = sha256("\n".join(sorted(names)).encode()).hexdigest()[:16]
    assert {SCHEMA_VERSION: digest} == COLUMNS_OF_VERSION


OLD_INDEXES = {
    "kombo_result_links_day": "kombo_result_links (assessment_date, status)",
    "kombo_result_links_sending": "kombo_result_links (run_id)",
    "kombo_result_link_attempts_open": f"{HISTORY} (run_id)",
}
"""Indexes of an older version."""


def indexes(engine):
    inspector = inspect(engine)
    tables = ("kombo_result_links", HISTORY)
    return {one["name"] for table in tables for one in inspector.get_indexes(table)}


def make_indexes(engine, made):
    with engine.begin() as connection:
        for name, columns in made.items():
            connection.execute(text(f"CREATE INDEX {name} ON {columns}"))


def test_the_indexes_of_an_older_version_are_dropped(older):
    """Indexes that only an older version has are dropped, and those of this version are made."""
    make_indexes(older, OLD_INDEXES)
    tables = Tables.named()
    tables.create(older)
    assert not indexes(older) & OLD_INDEXES.keys()
    assert {"kombo_result_links_run", f"{HISTORY}_of_run"} <= indexes(older)


def test_an_index_of_somebody_elses_is_kept(older):
    """An index with the name of an old one and other columns is none of ours."""
    make_indexes(older, {"kombo_result_links_status": "kombo_result_links (status)"})
    Tables.named().create(older)
    assert "kombo_result_links_status" in indexes(older)


@pytest.mark.parametrize("warehouse", ["postgresql"], indirect=True)
@pytest.mark.parametrize(("before", "after"), [(None, "fillfactor=50"), (90, "fillfactor=90")])
def test_an_older_versions_tables_get_space_for_outcomes(older, before, after):
    """The fillfactor is set, unless the owner has set one."""
    with older.begin() as connection:
        if before:
            connection.execute(text(f"ALTER TABLE {HISTORY} SET (fillfactor = {before})"))
    Tables.named().create(older)
    with older.connect() as connection:
        query = text(f"SELECT reloptions FROM pg_class WHERE oid = CAST('{HISTORY}' AS regclass)")  # noqa: S608 - ours
        assert connection.execute(query).scalar_one() == [after]


@pytest.mark.parametrize("warehouse", ["postgresql"], indirect=True)
def test_a_user_who_may_not_drop_an_old_index_delivers_nevertheless(older, caplog):
    """Without the right to drop an old index, the tables are used as they are, with a warning."""
    Tables.named().create(older)
    make_indexes(older, OLD_INDEXES)
    with older.begin() as connection:
        schema = connection.execute(select(func.current_schema())).scalar_one()
        connection.execute(text(f"CREATE ROLE user_of_{schema}"))
        connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO user_of_{schema}"))
        connection.execute(text(f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO user_of_{schema}"))

    @event.listens_for(older, "begin")
    def become(connection):
        connection.exec_driver_sql(f"SET LOCAL ROLE user_of_{schema}")

    tables = Tables.named()
    tables.create(older)
    assert "must be owner of index kombo_result_links_day" in caplog.text
    Runs(older, tables).start(Run("run"))
    assert len(Ledger(older, tables).claim("run", [delivery()]).won) == 1


def test_a_plain_column_in_place_of_a_derived_one_is_refused(warehouse, tables):
    """A `trouble` that the database does not derive would hide rows: nothing is sent."""
    with warehouse.begin() as connection:
        for index in ("in_doubt", "in_trouble", "troubles"):
            on = " ON kombo_result_links" if warehouse.dialect.name in {"mysql", "mariadb"} else ""
            connection.execute(text(f"DROP INDEX IF EXISTS kombo_result_links_{index}{on}"))
        connection.execute(text("ALTER TABLE kombo_result_links DROP COLUMN trouble"))
        connection.execute(text("ALTER TABLE kombo_result_links ADD COLUMN trouble VARCHAR(16)"))
    with pytest.raises(ConfigurationError, match="does not derive the column trouble"):
        tables.create(warehouse)
