"""Statements for each kind of warehouse, as its SQL is parsed."""

from __future__ import annotations

import json
import re

import duckdb
import pytest
import sqlglot
from sqlalchemy import text
from sqlglot import exp
from support.hook_warehouses import START, ledger_row

from airflow_kombo.database import warehouse_table
from airflow_kombo.database.dialects.columns import written_columns
from airflow_kombo.database.hook_database import HookConnection
from airflow_kombo.database.warehouse_kinds import KINDS, kind_of
from airflow_kombo.database.warehouse_table import WarehouseTable
from airflow_kombo.ledger.tables import Tables

DIALECTS = {"sqlserver": "tsql"}
LINKS = Tables.named("analytics.kombo_result_links").links
COLUMNS = [column.name for column in written_columns(LINKS)]
KIND = pytest.mark.parametrize("kind", KINDS)


class Recorder(HookConnection):
    """The statements of a connection, without a warehouse."""

    def __init__(self):
        self.statements = []

    def execute(self, statement):
        self.statements.append((str(statement), statement.compile().params))
        return []

    def insert(self, table, columns, rows):
        marks = f"({', '.join('?' * len(columns))})"
        values = ", ".join([marks] * len(rows))
        sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES {values}"  # noqa: S608
        self.statements.append((sql, [value for row in rows for value in row]))


def table_of(kind):
    return WarehouseTable(LINKS, KINDS[kind])


def parsed(kind, statement):
    """Parse a statement strictly; a parameter is a text there, an IN's list has one."""
    sql = re.sub(r"(?<=\s):\w+|(?<=\():\w+", "'a'", str(statement)).replace("IN 'a'", "IN ('a')")
    (tree,) = sqlglot.parse(sql, read=DIALECTS.get(kind, kind), error_level="RAISE")
    assert not list(tree.find_all(exp.Command)), f"not understood: {sql}"
    return tree


@KIND
def test_the_create_statement_is_the_warehouses_sql(kind):
    """Each column has a type that the warehouse knows."""
    tree = parsed(kind, table_of(kind).create)
    columns = {one.name: one.kind for one in tree.find_all(exp.ColumnDef)}
    assert list(columns) == COLUMNS
    assert all(isinstance(one, exp.DataType) for one in columns.values())
    unknown = {exp.DataType.Type.USERDEFINED, exp.DataType.Type.UNKNOWN}
    assert not unknown & {one.this for one in columns.values()}


@KIND
def test_the_queries_and_the_delete_are_the_warehouses_sql(kind):
    """The newest time, a margin's rows, the columns and the DELETE are plain statements."""
    table = table_of(kind)
    for query in (
        table.look,
        table.latest("updated_at"),
        table.latest("updated_at", START),
        table.between(["result_id", "updated_at"], "updated_at", START, START),
    ):
        assert isinstance(parsed(kind, query), exp.Select)
    assert isinstance(parsed(kind, table.delete("result_id", ["r1", "r2"])), exp.Delete)


@KIND
def test_an_insert_is_the_warehouses_sql(kind):
    """Many rows are one INSERT with all columns by name."""
    recorder = Recorder()
    rows = [list(ledger_row(f"r{number}", START).values()) for number in range(3)]
    table_of(kind).insert(recorder, rows)
    ((sql, _),) = recorder.statements
    tree = parsed(kind, sql)
    assert isinstance(tree, exp.Insert)
    assert [one.name for one in tree.this.expressions] == COLUMNS


@KIND
def test_a_statement_stays_below_the_limits(kind, monkeypatch):
    """No INSERT has more rows, parameters or octets than the warehouse's driver takes."""
    monkeypatch.setattr(warehouse_table, "MOST_OCTETS", 40_000)
    recorder = Recorder()
    rows = [
        list(ledger_row(f"r{number}", START, error_message="é" * (number % 500)).values())
        for number in range(2_500)
    ]
    table_of(kind).insert(recorder, rows)
    if KINDS[kind].json:
        given = [json.loads(parameters["given"]) for _, parameters in recorder.statements]
        assert [row["result_id"] for part in given for row in part] == [row[3] for row in rows]
        return
    most = KINDS[kind].most_parameters
    for _, values in recorder.statements:
        assert len(values) <= min(most, 1_000 * len(COLUMNS))
        assert sum(len(one.encode()) for one in values if isinstance(one, str)) <= 40_000
    columns = len(COLUMNS)
    assert [one for _, values in recorder.statements for one in values[3::columns]] == [
        row[3] for row in rows
    ]


def test_databricks_takes_a_batch_as_one_parameter():
    """Databricks' 255 parameters do not limit a batch: its rows and its ids are JSON."""
    table, recorder = table_of("databricks"), Recorder()
    table.insert(recorder, [list(ledger_row("r1", START, warnings=["one"]).values())])
    recorder.execute(table.delete("result_id", ["r1", "r2"]))
    (insert, rows), (delete, ids) = recorder.statements
    assert "FROM inline(from_json(:given, 'ARRAY<STRUCT<integration_id: STRING," in insert
    assert "CAST(updated_at AS TIMESTAMP)" in insert
    (row,) = json.loads(rows["given"])
    assert row["updated_at"] == "2026-11-04 02:00:00.000000+00:00"
    assert json.loads(row["warnings"]) == ["one"]
    assert "array_contains(from_json(:given, 'ARRAY<STRING>'), result_id)" in delete
    assert json.loads(ids["given"]) == ["r1", "r2"]


def test_kinds_are_found_by_the_connections_type():
    """Airflow's types of connections have their kind; an unknown one gets standard SQL."""
    assert kind_of("gcpbigquery") is KINDS["bigquery"]
    assert kind_of("mssql") is KINDS["sqlserver"]
    assert kind_of("postgres") is KINDS["postgres"]
    assert kind_of("trino").moment == "TIMESTAMP"


def test_no_colon_of_a_statement_is_a_parameter():
    """Types with a colon, as Databricks' STRUCT, are not taken for parameters."""
    recorder = Recorder()
    table_of("databricks").insert(recorder, [list(ledger_row("r1", START).values())])
    ((sql, parameters),) = recorder.statements
    assert set(text(sql).compile().params) == set(parameters) == {"given"}


def test_duckdb_keeps_each_text_as_it_is():
    """DuckDB's rows are JSON, and no character of a text changes on the way."""
    texts = ['"', "'", "\\", "\n\t", "é 🎓", "%s ? :name {}", "[1]", "", None]
    table = table_of("duckdb")
    with duckdb.connect() as raw:
        connection = HookConnection(raw, "duckdb", "?")
        raw.execute("CREATE SCHEMA analytics")
        connection.execute(table.create)
        rows = [
            list(ledger_row(f"r{place}{one}", START, error_message=one).values())
            for place, one in enumerate(texts)
        ]
        table.insert(connection, rows)
        query = text("SELECT result_id, error_message, attempts FROM analytics.kombo_result_links")
        connection.execute(query)
        written = connection.rows(len(texts) + 1)
        connection.execute(table.delete("result_id", [row[0] for row in written[1:]]))
        connection.execute(query)
        left = connection.rows(len(texts) + 1)
    assert written == [(f"r{place}{one}", one, 1) for place, one in enumerate(texts)]
    assert left == written[:1]
