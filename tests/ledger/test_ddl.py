"""Statements for an owner of the tables: the command's and those in the docs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import event, inspect, text
from sqlalchemy.exc import ProgrammingError
from support.harness import DAY, SQL, fill, mapped_rows, row, run_day

from airflow_kombo.database.warehouse_kinds import KINDS
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.ddl import DIALECTS, main, statements, written_back
from airflow_kombo.ledger.runs import Run
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.planning.dry_run import dry_run
from airflow_kombo.planning.planner import Planner
from airflow_kombo.rows.query_source import QuerySource, parameters_of
from airflow_kombo.rows.source import Selection

ROOT = Path(__file__).resolve().parents[2]
DOCS = (ROOT / "docs" / "tables.md").read_text()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_docs_have_the_statements_of_the_tables(dialect):
    """The statements in docs/tables.md are those of `python -m airflow_kombo.ledger.ddl`."""
    whole = "\n\n".join(statements(dialect))
    assert f"```sql\n{whole}\n```" in DOCS


@pytest.mark.parametrize("kind", KINDS)
def test_the_docs_have_the_statement_of_the_written_back_table(kind, capsys):
    """The docs have the statement for each kind of warehouse, and the command prints it."""
    docs = (ROOT / "docs" / "written-back-table.md").read_text()
    assert f"```sql\n{written_back(kind)}\n```" in docs
    main(["--written-back", kind])
    assert capsys.readouterr().out == f"{written_back(kind)}\n"


def test_an_owners_tables_are_what_we_would_make(warehouse):
    """A run over tables from these statements finds nothing to make, to add or to refuse."""
    with warehouse.begin() as connection:
        for statement in statements(warehouse.dialect.name):
            connection.execute(text(statement))
    made = []
    listener = lambda *arguments: made.append(arguments[2])  # noqa: E731 - SQLAlchemy's form
    event.listen(warehouse, "before_cursor_execute", listener)
    tables = Tables.named()
    tables.create(warehouse)
    tables.create_preview(warehouse)
    assert [one for one in made if re.match(r"\s*(CREATE|ALTER)", one)] == []
    assert set(inspect(warehouse).get_table_names()) == set(tables.links.metadata.tables)


@pytest.mark.parametrize("warehouse", ["postgresql"], indirect=True)
def test_the_docs_grants_are_enough(warehouse, source_table, standin):
    """A user with the rights of the docs can deliver a day and run a dry run."""
    (grants,) = re.findall(r"```sql\n(GRANT .+?)\n```", DOCS, re.DOTALL)
    fill(warehouse, source_table, [row("r1")])
    with warehouse.begin() as connection:
        schema = connection.exec_driver_sql("SELECT current_schema()").scalar_one()
        user = f"user_of_{schema}"
        rights = f"GRANT SELECT ON assessment_results TO {user}; {grants}"
        for statement in (f"CREATE ROLE {user}", *statements()):
            connection.execute(text(statement))
        whole = rights.replace("SCHEMA public", f"SCHEMA {schema}").replace("airflow_kombo", user)
        connection.exec_driver_sql(whole)

    @event.listens_for(warehouse, "begin")
    def become(connection):
        connection.exec_driver_sql(f"SET LOCAL ROLE {user}")

    tables = Tables.named()
    tables.create(warehouse)
    assert run_day(warehouse, tables).counts == {"success": 1}
    source = QuerySource(warehouse, tables, SQL, parameters_of(DAY), selection=Selection())
    planner = Planner(mapped_rows(source), Ledger(warehouse, tables), Selection())
    assert dry_run(Run("dry"), planner).counts == {}
    with pytest.raises(ProgrammingError, match="permission denied"):
        Tables.named("others").links.create(warehouse)


def test_the_docs_statements_find_what_is_there_twice(warehouse, tables):
    """The query in the docs for rows in the way of a key can be run unchanged."""
    (query,) = re.findall(r"```sql\n(SELECT .+?)\n```", DOCS, re.DOTALL)
    with warehouse.connect() as connection:
        assert connection.execute(text(query)).all() == []


def test_the_command_needs_no_airflow():
    """The command runs from the plugins folder with SQLAlchemy alone."""
    code = (
        "import sys, runpy; sys.argv = ['ddl']; runpy.run_module('airflow_kombo.ledger.ddl', {}, "
    )
    code += "'__main__'); assert 'airflow' not in sys.modules"
    ended = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", code],
        cwd=ROOT / "plugins",
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ended.stdout.startswith("CREATE TABLE kombo_result_links (")


def test_the_command_takes_the_status_tables_name(capsys):
    """The names of all tables and indexes derive from the operator's status table."""
    main(["--dialect", "sqlite", "--status-table", "analytics.kombo_order_results"])
    printed = capsys.readouterr().out
    assert "CREATE TABLE analytics.kombo_order_results (" in printed
    assert "CREATE TABLE analytics.kombo_order_result_attempts (" in printed
    assert "kombo_result_link" not in printed
