"""Dialects: one class a database decides everything different between databases."""

from __future__ import annotations

import ast
import re

import pytest
from sqlalchemy import exc, make_url, select
from support.harness import ROOT

from airflow_kombo.database.dialects import (
    Dialect,
    MySQL,
    PostgreSQL,
    SQLite,
    dialect_named,
    dialect_of,
    raised_by,
)
from airflow_kombo.database.sql import utc_now
from airflow_kombo.database.transactions import is_held, is_passing

PACKAGE = ROOT / "plugins" / "airflow_kombo"
HOME = PACKAGE / "database" / "dialects"
ELSEWHERE = sorted(path for path in PACKAGE.rglob("*.py") if HOME not in path.parents)
ASKS = re.compile(r"dialect\.(name|driver)\b|sqlalchemy\.dialects\b|\bsqlite3\b|\bpsycopg2?\b")


@pytest.mark.parametrize("path", ELSEWHERE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_other_module_asks_for_the_database(path):
    """Outside of `database/dialects` no code reads a dialect's name, or imports a driver."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lines = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    if path.stem == "private_database":  # its database is a file of the worker's
        return
    if path.stem != "cursor_readers":  # the readers are the drivers' own
        lines += [ast.unparse(node) for node in ast.walk(tree) if _is_import(node)]
    assert [line for line in lines if ASKS.search(line)] == []


def _is_import(node):
    return isinstance(node, ast.Import | ast.ImportFrom)


@pytest.mark.parametrize(
    ("scheme", "kind"),
    [
        ("sqlite", SQLite),
        ("postgresql+psycopg", PostgreSQL),
        ("postgresql+psycopg2", PostgreSQL),
        ("mysql+pymysql", MySQL),
        ("mariadb+pymysql", MySQL),
        ("oracle+oracledb", Dialect),
        ("snowflake", Dialect),
    ],
)
def test_every_database_has_a_dialect(scheme, kind):
    """A database without a class of its own gets standard SQL only."""
    assert type(dialect_named(make_url(f"{scheme}://").get_backend_name())) is kind


def test_an_engine_knows_its_dialect(warehouse):
    """An engine and a connection of the engine have the same dialect."""
    with warehouse.connect() as connection:
        assert dialect_of(connection) is dialect_of(warehouse)
    assert warehouse.dialect.name in dialect_of(warehouse).names


def test_a_clock_is_read_in_each_dialect():
    """The clock is UTC, also where CURRENT_TIMESTAMP is a time of the session's zone."""
    texts = {
        name: str(select(utc_now()).compile(dialect=make_url(f"{name}://").get_dialect()()))
        for name in ("sqlite", "postgresql", "mysql")
    }
    words = {"sqlite": "strftime", "postgresql": "CURRENT_TIMESTAMP", "mysql": "UTC_TIMESTAMP(6)"}
    assert all(words[name] in text for name, text in texts.items())


class DriverError(Exception):
    """An error of a driver's."""


def _error(module, *arguments, **attributes):
    """Build SQLAlchemy's error around an error of a driver, the module's."""
    kind = type("OperationalError", (DriverError,), {"__module__": module})
    original = kind(*arguments)
    vars(original).update(attributes)
    return exc.OperationalError("SELECT 1", {}, original)


@pytest.mark.parametrize(
    ("error", "held", "passing"),
    [
        (_error("psycopg.errors", "x", sqlstate="55P03"), True, True),
        (_error("psycopg2.errors", "x", pgcode="55P03"), True, True),
        (_error("psycopg", "x", sqlstate=None), False, True),  # there was no server
        (_error("psycopg.errors", "x", sqlstate="42P01"), False, False),
        (_error("pymysql.err", 1205, "x"), True, True),
        (_error("pymysql.err", 1205, "x", sqlstate="HY000"), True, True),
        (_error("pymysql.err", 1213, "x"), False, True),
        (_error("pymysql.err", 1040, "x"), False, True),  # too many connections
        (_error("pymysql.err", 1290, "x"), False, True),  # a replica, after a failover
        (_error("pymysql.err", 1317, "x"), False, True),  # interrupted
        (_error("pymysql.err", 2013, "x"), False, True),  # the connection was lost
        (_error("pymysql.err", 1054, "x"), False, False),  # no such column
        (_error("pymysql.err", 1142, "x"), False, False),  # no right to do so
        (_error("MySQLdb._exceptions", 2003, "x"), False, True),
        (_error("mysql.connector.errors", 1205, "x", sqlstate="HY000"), True, True),
        (_error("mysql.connector.errors", 1146, "x", sqlstate="42S02"), False, False),
        (_error("pymssql.exceptions", 1205, "x"), False, True),  # a number of another database
        (_error("sqlite3", "database is locked"), False, False),
    ],
    ids=str,
)
def test_an_error_is_read_by_the_rules_of_its_driver(error, held, passing):
    """A lock and a lost server are found by a state, an attribute or a number, by the driver."""
    assert (is_held(error), is_passing(error)) == (held, passing)


def test_an_unknown_drivers_error_has_the_base_dialect():
    """An error of an unknown driver is read by the attribute `sqlstate`."""
    error = _error("unheard_of", "x", sqlstate="40001")
    assert type(raised_by(error)) is Dialect
    assert raised_by(error).state_of(error.orig) == "40001"
