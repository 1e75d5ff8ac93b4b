"""The ledger only where it is safe: a trial before a run relies on the database."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import NotSupportedError
from support.harness import all_of

from airflow_kombo.database.dialects import mysql, postgresql
from airflow_kombo.database.transactions import prepare
from airflow_kombo.exceptions import ConfigurationError, LedgerError
from airflow_kombo.ledger import safety
from airflow_kombo.ledger.ddl import statements
from airflow_kombo.ledger.tables import Tables

LINKS, ATTEMPTS, RUNS = (
    "kombo_result_links",
    "kombo_result_link_attempts",
    "kombo_result_link_runs",
)
REDSHIFT = (
    "PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2 20041017"
    " (Red Hat 3.4.2-6.fc3), Redshift 1.0.12103"
)


def made_by_hand(engine, *changes):
    """Make the tables as an owner would, with changes to the printed statements.

    :param changes: Patterns, each with the text that replaces all of its matches.
    """
    with engine.begin() as connection:
        for statement in statements(engine.dialect.name):
            for pattern, other in changes:
                statement = re.sub(pattern, other, statement)  # noqa: PLW2901
            connection.exec_driver_sql(statement)
    return engine


def run(engine, *commands):
    with engine.begin() as connection:
        for command in commands:
            connection.exec_driver_sql(command)


def refused(engine, match):
    """Create the tables, which has to fail; return the message after a check for left rows."""
    tables = Tables.named()
    with pytest.raises(ConfigurationError, match=match) as caught:
        tables.create(engine)
    assert [all_of(engine, one) for one in (tables.links, tables.attempts, tables.runs)] == [[]] * 3
    message = str(caught.value)
    assert "set ledger_conn_id" in message
    return message


def mending_statement(message):
    """Return the statement in a message that mends a table."""
    return re.search(r"(ALTER TABLE .+?)\. Nothing is sent", message)[1]


@pytest.mark.parametrize(
    ("version", "lack"),
    [
        (REDSHIFT, "Redshift, which does not enforce keys"),
        ("PostgreSQL 11.22 on x86_64-pc-linux-gnu", r"PostgreSQL 11.22, and PostgreSQL 12 is"),
        ("CockroachDB CCL v23.1.11 (x86_64-pc-linux-gnu)", "CockroachDB"),
        ("PostgreSQL 12.0 on x86_64-pc-linux-gnu, compiled by gcc", None),
        ("PostgreSQL 17.2 (Debian 17.2-1.pgdg120+1) on x86_64-pc-linux-gnu", None),
    ],
)
def test_a_server_of_postgresqls_protocol_is_known_by_its_own_words(version, lack):
    """Redshift and old servers lack something, and PostgreSQL from version 12 on nothing."""
    found = postgresql.lack_of_version(version)
    assert found is lack if lack is None else re.search(lack, found)


@pytest.mark.parametrize(
    ("version", "fits"),
    [
        ("5.7.44-log", False),
        ("8.0.36-0ubuntu0.22.04.1", True),
        ("8.4.3", True),
        ("8.0.11-TiDB-v7.5.0", False),
        ("10.5.23-MariaDB", False),
        ("10.6.0-MariaDB", True),
        ("10.11.19-MariaDB-0+deb12u1", True),
        ("11.4.2-MariaDB-log", True),
    ],
)
def test_a_server_of_mysqls_protocol_is_known_by_its_own_words(version, fits):
    """MySQL from 8.0 on and MariaDB from 10.6 on have what a ledger needs."""
    assert (mysql.lack_of_version(version) is None) == fits


@pytest.mark.parametrize(
    ("flush", "has_log", "sync", "statement"),
    [
        (1, 0, 0, None),
        (3, 0, 0, None),
        (1, 1, 1, None),
        (2, 0, 0, "SET GLOBAL innodb_flush_log_at_trx_commit = 1"),
        (0, 0, 1, "SET GLOBAL innodb_flush_log_at_trx_commit = 1"),
        (1, 1, 0, "SET GLOBAL sync_binlog = 1"),
        (1, 1, 1000, "SET GLOBAL sync_binlog = 1"),
    ],
)
def test_a_commit_of_mysql_has_to_be_on_the_disk(flush, has_log, sync, statement):
    """A server that may forget a commit is refused, with the statement to change that."""
    found = mysql.lack_of_durability(flush, has_log, sync)
    assert found is None if statement is None else found.endswith(statement)


def test_a_mariadb_that_forgets_commits_is_refused(mariadb, mariadb_database):
    """The server is asked for its settings at each start of a run."""
    engine = prepare(create_engine(mariadb_database))
    run(engine, "SET GLOBAL innodb_flush_log_at_trx_commit = 2")
    try:
        with pytest.raises(ConfigurationError, match="innodb_flush_log_at_trx_commit = 1"):
            Tables.named().create(engine)
    finally:
        run(engine, "SET GLOBAL innodb_flush_log_at_trx_commit = 1")
    assert inspect(engine).get_table_names() == []
    Tables.named().create(engine)
    engine.dispose()


@pytest.mark.parametrize("warehouse", ["sqlite"], indirect=True)
def test_an_untried_database_is_refused_before_a_table_is_made(warehouse, monkeypatch):
    """The error names the database, and a connection to another one as the remedy."""
    monkeypatch.setattr(warehouse.dialect, "name", "snowflake")
    with pytest.raises(ConfigurationError, match=r"snowflake is none .+ set ledger_conn_id to a"):
        Tables.named().create(warehouse)
    monkeypatch.undo()
    assert inspect(warehouse).get_table_names() == []


def test_a_safe_database_is_left_as_it_was(warehouse, tables):
    """The trial of good tables leaves no row, and is repeated at each start."""
    tables.create(warehouse)
    assert [all_of(warehouse, one) for one in (tables.links, tables.attempts, tables.runs)] == [
        []
    ] * 3


@pytest.mark.parametrize("table", [LINKS, ATTEMPTS])
@pytest.mark.parametrize("column", ["integration_id", "target_id", "result_id"])
@pytest.mark.parametrize("warehouse", ["sqlite"], indirect=True)
def test_ids_without_case_are_refused_on_sqlite(warehouse, table, column):
    """A column with COLLATE NOCASE is named, with the remedy."""
    in_table = rf"(?s)(CREATE TABLE {table} .+?{column} VARCHAR\(255\))"
    made_by_hand(warehouse, (in_table, r"\1 COLLATE NOCASE"))
    message = refused(warehouse, f"The table {table} takes two ids for one .+, in {column}")
    assert "ddl --dialect sqlite" in message


@pytest.mark.parametrize("warehouse", ["sqlite"], indirect=True)
def test_a_key_without_case_is_refused(warehouse):
    """A unique index compares ids by a collation of its own, which the columns do not show."""
    key = "integration_id, target_type, target_id, result_id"
    made_by_hand(warehouse, (rf"PRIMARY KEY \({key}\)", "CHECK (1)"))
    run(
        warehouse,
        f"CREATE UNIQUE INDEX theirs ON {LINKS} ({key} COLLATE NOCASE)",
    )
    refused(warehouse, f"The table {LINKS} takes two ids for one .+, in its keys")


@pytest.mark.parametrize("word", ["REPLACE", "IGNORE"])
@pytest.mark.parametrize("warehouse", ["sqlite"], indirect=True)
def test_a_key_that_takes_a_second_row_is_refused(warehouse, word):
    """A key may be there and let a second row replace the first: the trial notices that."""
    made_by_hand(warehouse, (r"PRIMARY KEY (\([^)]+\))", rf"PRIMARY KEY \1 ON CONFLICT {word}"))
    refused(warehouse, f"The table {LINKS} takes a second row with the same integration_id, t")


def test_collations_without_case_are_refused_on_mariadb(mariadb_database):
    """The statement in the error mends a table in the database's usual collation."""
    engine = made_by_hand(
        prepare(create_engine(mariadb_database)), ("utf8mb4_bin", "utf8mb4_general_ci")
    )
    for table in (LINKS, ATTEMPTS):
        ids = "integration_id, target_id, result_id"
        message = refused(engine, f"The table {table} takes two ids for one .+, in {ids}")
        run(engine, mending_statement(message))
    Tables.named().create(engine)
    engine.dispose()


def test_a_column_that_knows_no_accents_is_refused_on_mariadb(mariadb_database):
    """An ASCII column is an error that names the table."""
    engine = made_by_hand(prepare(create_engine(mariadb_database)))
    run(engine, f"ALTER TABLE {LINKS} MODIFY result_id VARCHAR(250) CHARACTER SET ascii NOT NULL")
    refused(engine, f"The table {LINKS} does not take every character")
    engine.dispose()


@pytest.mark.parametrize("table", [LINKS, ATTEMPTS, RUNS])
def test_tables_without_transactions_are_refused(mariadb_database, table):
    """A table of MyISAM keeps the rows of the trial, which are deleted, and is mended."""
    engine = made_by_hand(
        prepare(create_engine(mariadb_database)),
        (r"VARCHAR\(250\)", "VARCHAR(60)"),  # its keys end at 1,000 bytes
        (r"VARCHAR\(64\)", "VARCHAR(36)"),
        ("ROW_FORMAT=DYNAMIC ", ""),
    )
    run(engine, f"ALTER TABLE {table} ENGINE=MyISAM")
    message = refused(engine, f"The table {table} keeps rows that were rolled back")
    run(engine, mending_statement(message))
    Tables.named().create(engine)
    engine.dispose()


def test_collations_without_case_are_refused_on_postgresql(postgres):
    """A nondeterministic collation is refused, with the statement that mends the column."""
    schema = "nondeterministic"
    owner = create_engine(postgres)
    run(owner, f"DROP SCHEMA IF EXISTS {schema} CASCADE", f"CREATE SCHEMA {schema}")
    owner.dispose()
    options = {"options": f"-c search_path={schema}"}
    engine = prepare(create_engine(postgres, connect_args=options))
    icu = "provider = icu, locale = 'und-u-ks-level2', deterministic = false"
    try:
        run(engine, f"CREATE COLLATION no_case ({icu})")
    except NotSupportedError:
        pytest.skip("this PostgreSQL was built without ICU")
    made_by_hand(engine, (r"(target_id VARCHAR\(255\))", r"\1 COLLATE no_case"))
    for table in (LINKS, ATTEMPTS):
        message = refused(engine, f"The table {table} takes two ids for one .+, in target_id")
        run(engine, mending_statement(message))
    Tables.named().create(engine)
    engine.dispose()


@pytest.mark.parametrize("table", [LINKS, ATTEMPTS, RUNS])
@pytest.mark.parametrize("warehouse", ["postgresql"], indirect=True)
def test_a_table_that_hides_its_rows_is_refused(warehouse, table):
    """A trigger that takes a new row away would also take claims away."""
    Tables.named().create(warehouse)
    run(
        warehouse,
        "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        f"CREATE TRIGGER theirs BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION nothing()",
    )
    refused(warehouse, f"The table {table} does not show a row that was just written")


def test_a_time_in_another_zone_is_refused(postgres):
    """A column without a zone keeps the time of the session's zone: a living run looks dead."""
    schema = "zoned"
    owner = create_engine(postgres)
    run(owner, f"DROP SCHEMA IF EXISTS {schema} CASCADE", f"CREATE SCHEMA {schema}")
    owner.dispose()
    options = {"options": f"-c search_path={schema} -c timezone=Asia/Kathmandu"}
    engine = prepare(create_engine(postgres, connect_args=options))
    made_by_hand(engine, ("heartbeat_at TIMESTAMP WITH TIME ZONE", "heartbeat_at TIMESTAMP"))
    message = refused(engine, f"The table {RUNS} has the time .+ for now in heartbeat_at")
    assert "has to be TIMESTAMP WITH TIME ZONE" in message
    run(engine, f"ALTER TABLE {RUNS} ALTER COLUMN heartbeat_at TYPE TIMESTAMP WITH TIME ZONE")
    Tables.named().create(engine)
    engine.dispose()


def test_a_clock_that_is_a_little_wrong_does_no_harm(warehouse, tables, monkeypatch):
    """A difference below half of a quarter of an hour is no wrong zone."""
    real = safety.datetime

    class Clock(real):
        minutes = 7

        @classmethod
        def now(cls, zone=None):
            return real.now(zone) + safety.timedelta(minutes=cls.minutes)

    monkeypatch.setattr(safety, "datetime", Clock)
    tables.create(warehouse)
    Clock.minutes = -15
    with pytest.raises(ConfigurationError, match="both clocks have to be right"):
        tables.create(warehouse)


def test_a_database_out_of_reach_is_tried_again_by_airflow():
    """An error that passes is a `LedgerError`, not one of the configuration."""
    engine = prepare(create_engine("mysql+pymysql://nobody@127.0.0.1:1/nowhere"))
    with pytest.raises(LedgerError, match="Can't connect"):
        Tables.named().create(engine)
