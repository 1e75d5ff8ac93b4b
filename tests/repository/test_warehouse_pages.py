"""Pages of docs/warehouses, one for each kind of warehouse, so that they stay true."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import duckdb
import pytest
import sqlglot
from sqlalchemy import create_engine, text
from sqlglot import exp
from support.harness import DAY, ROOT, make_source_table
from support.hook_warehouses import at, hook_database, ledger_row, put

from airflow_kombo.database import warehouse_kinds
from airflow_kombo.database.hook_database import HookConnection
from airflow_kombo.database.warehouse_kinds import KINDS
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.ledger.write_back import WriteBack

FOLDER = ROOT / "docs" / "warehouses"
SHIPPED = (ROOT / "include" / "sql" / "assessment_results.sql").read_text()
SECTIONS = [
    "Connection",
    "Grants",
    "The query",
    "assessment_results",
    "Written back",
    "Not tried",
]
DIALECTS = {
    "bigquery": "bigquery",
    "databricks": "databricks",
    "duckdb": "duckdb",
    "mysql": "mysql",
    "postgresql": "postgres",
    "redshift": "redshift",
    "snowflake": "snowflake",
    "sqlserver": "tsql",
}
"""SQLGlot's dialects by the name of the page."""
CONN_TYPES = {"bigquery": "gcpbigquery", "postgresql": "postgres", "sqlserver": "mssql"}
"""Types of connections that have another name than the page."""
CONTRACT = [
    "result_id",
    "assessment_date",
    "completed_at",
    "integration_id",
    "candidate_id",
    "application_id",
    "assessment_name",
    "result_url",
    "score",
    "max_score",
    "duration_seconds",
    "remote_fields",
]
ROLES = ("GRANT", "ALTER USER", "CREATE USER", "CREATE ROLE", "CREATE WAREHOUSE")
"""Statements that SQLGlot does not read in each dialect."""
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")
PAGES = pytest.mark.parametrize("name", sorted(DIALECTS))


def sections_of(name):
    """Return the text of each section of a page, by heading."""
    page = re.sub(r"\A# .*?^(?=## )", "", text_of(name), flags=re.MULTILINE | re.DOTALL)
    parts = re.split(r"^## (.+)\n", page, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def text_of(name):
    return (FOLDER / f"{name}.md").read_text()


def blocks(page, kind="sql"):
    return [code for found, code in BLOCK.findall(page) if found == kind]


def bound(sql):
    """Return a query with a day instead of each parameter, and with no comment."""
    return re.sub(r"(?<![:\w]):\w+", f"'{DAY}'", re.sub(r"^--.*\n", "", sql, flags=re.MULTILINE))


def query_of(name):
    """Return the query of a page, or the shipped one."""
    return next(iter(blocks(sections_of(name)["The query"])), SHIPPED)


def table_of(name):
    """Return the statements that create the source table."""
    (statements,) = blocks(sections_of(name)["assessment_results"])
    return statements


def counted(name):
    """Return the numbers of a page's table of statements, by the name of the row."""
    rows = [line.strip("| ").split(" | ") for line in text_of(name).splitlines() if "| at " in line]
    looks = next(line for line in text_of(name).splitlines() if "looks at the table" in line)
    rows.append(looks.strip("| ").split(" | "))
    return {title.rpartition(": ")[2]: numbers for title, *numbers in rows}


def anchors(page):
    headings = re.findall(r"^#+ (.+)$", page, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_each_kind_of_warehouse_has_a_page():
    """Each kind that a run can write back to has a page; SQLite is a ledger for trying."""
    named = {"postgres": "postgresql"}
    assert {named.get(kind, kind) for kind in KINDS} - {"sqlite"} == set(DIALECTS)
    assert {path.stem for path in FOLDER.glob("*.md")} == {*DIALECTS, "README"}


@PAGES
def test_each_page_has_the_same_sections(name):
    """Pages have the same sections in the same order."""
    assert list(sections_of(name)) == SECTIONS


@PAGES
def test_each_statement_is_of_the_dialect(name):
    """Each block of SQL parses in the dialect of its page, and so does the query."""
    for sql in [*blocks(text_of(name)), query_of(name)]:
        for statement in filter(str.strip, bound(sql).split(";\n")):
            parsed = sqlglot.parse_one(statement.strip().rstrip(";"), dialect=DIALECTS[name])
            assert statement.lstrip().startswith(ROLES) or not isinstance(parsed, exp.Command)


@PAGES
def test_the_table_has_the_columns_of_the_contract(name):
    """The source table has the columns of the shipped query, in its order."""
    dialect = DIALECTS[name]
    table, *_ = sqlglot.parse(table_of(name), dialect=dialect)
    assert [column.name for column in table.find_all(exp.ColumnDef)] == CONTRACT
    query = sqlglot.parse_one(bound(query_of(name)), dialect=dialect)
    assert query.named_selects == CONTRACT


@PAGES
def test_the_connection_is_of_the_type_in_the_text(name):
    """The example of a connection is JSON, and has the type that the page names."""
    section = sections_of(name)["Connection"]
    (example,) = re.findall(r"^AIRFLOW_CONN_WAREHOUSE_DEFAULT='([^']+)'$", section, re.MULTILINE)
    conn_type = json.loads(example)["conn_type"]
    assert conn_type == CONN_TYPES.get(name, name)
    assert f"Connection type: `{conn_type}`" in section


@pytest.mark.parametrize("name", [*sorted(DIALECTS), "README"])
def test_each_link_leads_somewhere(name):
    """Each link to a file or to a heading of the docs exists."""
    for file, anchor in LINK.findall(text_of(name)):
        if file.startswith("http"):
            continue
        target = (FOLDER / file) if file else FOLDER / f"{name}.md"
        assert target.is_file(), file
        assert not anchor or anchor in anchors(target.read_text()), f"{file}#{anchor}"


def test_the_shipped_query_has_the_columns_of_the_contract(tmp_path):
    """The contract of these tests is that of the tests' source table."""
    engine = create_engine(f"sqlite:///{tmp_path / 'source.db'}")
    assert [column.name for column in make_source_table(engine).columns] == CONTRACT


def test_duckdb_runs_its_page():
    """DuckDB creates the table of its page, and runs the query."""
    connection = duckdb.connect()
    connection.execute(table_of("duckdb"))
    connection.execute(
        "INSERT INTO assessment_results VALUES ('r1', ?, ?, NULL, 'c1', NULL, 'Coding',"
        " 'https://results.example/1', 80.5, 100, 1800, '{}')",
        [DAY, DAY],
    )
    found = connection.execute(bound(query_of("duckdb")))
    assert [column[0] for column in found.description] == CONTRACT
    assert [row[0] for row in found.fetchall()] == ["r1"]


def test_postgresql_runs_its_page(postgres_database):
    """PostgreSQL creates the table of its page, grants the rights, and runs the query."""
    engine = create_engine(postgres_database)
    with engine.connect() as connection:
        connection.execute(text(table_of("postgresql")))
        grants, more = blocks(sections_of("postgresql")["Grants"])
        connection.execute(text("CREATE TABLE kombo_result_links (result_id text)"))
        connection.execute(text(grants + more))
        query = text(query_of("postgresql"))
        days = {"first_assessment_date": DAY - timedelta(days=1), "assessment_date": DAY}
        assert list(connection.execute(query, days).keys()) == CONTRACT
        connection.rollback()  # a role is not of this database alone
    engine.dispose()


def test_mariadb_runs_its_page(mariadb_database):
    """MariaDB creates the table of its page, and runs the query."""
    engine = create_engine(mariadb_database)
    with engine.connect() as connection:
        connection.execute(text(table_of("mysql")))
        days = {"first_assessment_date": DAY, "assessment_date": DAY}
        assert list(connection.execute(text(query_of("mysql")), days).keys()) == CONTRACT
    engine.dispose()


@PAGES
def test_the_statements_of_a_night_are_counted(name, tmp_path, monkeypatch):
    """The numbers of statements are those of a run on DuckDB with the warehouse's limits."""
    kind = KINDS["postgres" if name == "postgresql" else name]
    duck = KINDS["duckdb"]
    limited = replace(duck, most_parameters=kind.most_parameters, json=kind.json and duck.json)
    kinds = {**KINDS, "duckdb": limited}
    monkeypatch.setattr(warehouse_kinds, "KINDS", kinds)
    database = hook_database(monkeypatch, "duckdb", host=str(tmp_path / "warehouse.duckdb"))
    engine, tables = create_engine(f"sqlite:///{tmp_path / 'ledger.db'}"), Tables.named()
    tables.create(engine)
    back = WriteBack(engine, tables, database)
    back.check()
    put(engine, tables, ledger_row("first", at(0)))
    back.run()
    sent = _counter(monkeypatch)
    back.check()
    looks = sent.total()
    assert counted(name)["looks at the table"] == [str(looks)] * 3
    back.run()
    assert sent.total() - looks == sent["SELECT"] - looks == 2
    sent.clear()
    put(engine, tables, *(ledger_row(f"r{number}", at(3_600)) for number in range(1_000)))
    back.run()
    assert counted(name)["SELECT"] == [str(sent["SELECT"])] * 3 == ["2"] * 3
    assert counted(name)["DELETE"] == ["0", str(sent["DELETE"]), str(sent["DELETE"] * 100)]
    assert counted(name)["INSERT"][1].split(" or ")[0] == str(sent["INSERT"])


def _counter(monkeypatch):
    """Count the statements of all connections by their first word."""
    sent = Counter()
    execute, insert = HookConnection.execute, HookConnection.insert

    def count_execute(connection, statement):
        sent[str(statement).split()[0]] += 1
        return execute(connection, statement)

    def count_insert(connection, *values):
        sent["INSERT"] += 1
        return insert(connection, *values)

    monkeypatch.setattr(HookConnection, "execute", count_execute)
    monkeypatch.setattr(HookConnection, "insert", count_insert)
    return sent
