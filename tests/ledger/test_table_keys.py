"""Tables made by an owner: their keys have to keep a row from being claimed twice."""

from __future__ import annotations

import pytest
from sqlalchemy import MetaData, Table, inspect, text

from airflow_kombo.database.dialects.columns import TABLE_OPTIONS
from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.ledger.tables import Tables

KEYS = {
    "kombo_result_links": "integration_id, target_type, target_id, result_id",
    "kombo_result_link_attempts": "integration_id, target_type, target_id, result_id, attempt",
    "kombo_result_link_runs": "run_id",
}
LINK = "integration_id, target_type, target_id, url_hash"


@pytest.fixture
def keyless(warehouse):
    """Return a warehouse with our tables, made by an owner with all columns and no key."""
    metadata = MetaData()
    for table in Tables.named().links.metadata.sorted_tables:
        columns = [column._copy() for column in table.columns]
        for column in columns:
            column.primary_key = False
        Table(table.name, metadata, *columns, **TABLE_OPTIONS)
    metadata.create_all(warehouse)
    return warehouse


def run(engine, *statements):
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def keyed(engine, *tables):
    """Add the keys of tables, each as a unique index."""
    run(engine, *(f"CREATE UNIQUE INDEX key_of_{one} ON {one} ({KEYS[one]})" for one in tables))


@pytest.mark.parametrize("lacking", KEYS)
def test_a_table_without_its_key_is_refused(keyless, lacking):
    """The error names the table, the key, and a statement that adds the key."""
    keyed(keyless, *(name for name in KEYS if name != lacking))
    with pytest.raises(ConfigurationError) as caught:
        Tables.named().create(keyless)
    message = str(caught.value)
    assert f"The table {lacking} has no unique key ({KEYS[lacking]})" in message
    statement = f"CREATE UNIQUE INDEX {lacking}_key ON {lacking} ({KEYS[lacking]})"
    assert statement in message
    run(keyless, statement)
    Tables.named().create(keyless)


def test_a_link_without_its_key_gets_it(keyless):
    """A run adds the unique index on links, as all other indexes, if its user may."""
    keyed(keyless, *KEYS)
    Tables.named().create(keyless)
    indexes = {one["name"]: one for one in inspect(keyless).get_indexes("kombo_result_links")}
    assert indexes["kombo_result_links_url"]["unique"]


def test_a_link_whose_key_cannot_be_made_is_refused(keyless):
    """With a link on two rows the unique index cannot be made, and nothing is sent."""
    keyed(keyless, *KEYS)
    names = "target_type, target_id, url_hash, status, attempts, run_id, updated_at"
    values = "'candidate', 'c', 'h', 'success', 1, 'run', '2026-11-03'"
    for key in ("'i', 'r1'", "'i', 'r2'"):
        into = f"INTO kombo_result_links (integration_id, result_id, {names})"
        run(keyless, f"INSERT {into} VALUES ({key}, {values})")  # noqa: S608 - ours
    with pytest.raises(ConfigurationError, match=r"no unique key \(.+, url_hash\)"):
        Tables.named().create(keyless)


def test_an_index_that_is_in_the_way_is_named(keyless):
    """An index of the same name without uniqueness is an error, with the statements to fix it."""
    keyed(keyless, *KEYS)
    run(keyless, f"CREATE INDEX kombo_result_links_url ON kombo_result_links ({LINK})")
    with pytest.raises(ConfigurationError, match="DROP INDEX kombo_result_links_url") as caught:
        Tables.named().create(keyless)
    drop, create = str(caught.value).partition(": DROP ")[2].split("; ")[:2]
    run(keyless, f"DROP {drop}", create)
    Tables.named().create(keyless)


@pytest.mark.parametrize(
    "equivalent",
    [
        "CREATE UNIQUE INDEX theirs ON kombo_result_link_runs (run_id)",
        "ALTER TABLE kombo_result_link_runs ADD UNIQUE (run_id)",
        "CREATE UNIQUE INDEX theirs ON kombo_result_link_runs (run_id) INCLUDE (dag_id)",
    ],
)
@pytest.mark.parametrize("warehouse", ["postgresql"], indirect=True)
def test_any_equivalent_key_counts(keyless, equivalent):
    """A key may be a constraint, or an index with included columns."""
    keyed(keyless, "kombo_result_links", "kombo_result_link_attempts")
    run(keyless, equivalent)
    Tables.named().create(keyless)


def test_the_order_of_a_keys_columns_does_not_matter(keyless):
    """A key counts with the columns in any order, and no second one is made."""
    keyed(keyless, "kombo_result_link_attempts", "kombo_result_link_runs")
    backwards = [", ".join(reversed(one.split(", "))) for one in (KEYS["kombo_result_links"], LINK)]
    for number, columns in enumerate(backwards):
        run(keyless, f"CREATE UNIQUE INDEX theirs_{number} ON kombo_result_links ({columns})")
    Tables.named().create(keyless)
    names = {one["name"] for one in inspect(keyless).get_indexes("kombo_result_links")}
    assert "kombo_result_links_url" not in names


EVERYWHERE = ["sqlite", "postgresql", "mariadb"]
WEAKER = {
    "CREATE UNIQUE INDEX theirs ON kombo_result_link_runs (run_id, schema_version)": EVERYWHERE,
    "CREATE INDEX theirs ON kombo_result_link_runs (run_id)": EVERYWHERE,
    "CREATE UNIQUE INDEX theirs ON kombo_result_link_runs (run_id) WHERE dag_id IS NULL": [
        "sqlite",
        "postgresql",
    ],
    "CREATE UNIQUE INDEX theirs ON kombo_result_link_runs (lower(run_id))": [
        "sqlite",
        "postgresql",
    ],
    "CREATE UNIQUE INDEX theirs ON kombo_result_link_runs (run_id(8))": ["mariadb"],
}


@pytest.mark.parametrize(
    ("warehouse", "weaker"),
    [(database, weaker) for weaker, databases in WEAKER.items() for database in databases],
    indirect=["warehouse"],
)
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection")
def test_a_weaker_index_is_no_key(keyless, weaker):
    """A partial, wider, functional or plain index is no key, nor one of the texts' beginnings."""
    keyed(keyless, "kombo_result_links", "kombo_result_link_attempts")
    run(keyless, weaker)
    with pytest.raises(ConfigurationError, match="kombo_result_link_runs has no unique key"):
        Tables.named().create(keyless)


@pytest.mark.parametrize("warehouse", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    "weaker",
    [
        "ALTER TABLE kombo_result_link_runs ADD UNIQUE (run_id) DEFERRABLE",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'theirs'::regclass",
    ],
)
def test_a_key_that_postgresql_does_not_enforce_at_once_is_no_key(keyless, weaker):
    """An invalid index and a deferrable key are no keys."""
    keyed(keyless, "kombo_result_links", "kombo_result_link_attempts")
    if "pg_index" in weaker:  # as CREATE INDEX CONCURRENTLY leaves one that failed
        run(keyless, "CREATE UNIQUE INDEX theirs ON kombo_result_link_runs (run_id)")
    run(keyless, weaker)
    with pytest.raises(ConfigurationError, match="kombo_result_link_runs has no unique key"):
        Tables.named().create(keyless)


@pytest.mark.parametrize("warehouse", ["postgresql"], indirect=True)
def test_keys_are_looked_for_in_the_tables_own_schema(warehouse):
    """The keys of a table with the same name in another schema do not count."""
    Tables.named().create(warehouse)
    with warehouse.connect() as connection:
        other = connection.exec_driver_sql("SELECT current_schema() || '_other'").scalar_one()
    run(warehouse, f"CREATE SCHEMA {other}")
    tables = Tables.named(f"{other}.kombo_result_links")
    tables.create(warehouse)
    tables.create(warehouse)
    run(
        warehouse, f"ALTER TABLE {other}.kombo_result_links DROP CONSTRAINT kombo_result_links_pkey"
    )
    with pytest.raises(ConfigurationError, match=rf"ON {other}\.kombo_result_links \(integration"):
        tables.create(warehouse)
