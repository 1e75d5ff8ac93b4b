"""A database behind an Airflow hook: statements, parameters, connections and errors."""

from __future__ import annotations

import sys
from datetime import date, datetime
from types import ModuleType, SimpleNamespace

import pytest
from sqlalchemy import bindparam, text
from support.hook_warehouses import hook_database, postgres_database

from airflow_kombo.database.hook_database import HookConnection, HookDatabase
from airflow_kombo.exceptions import ConfigurationError, WarehouseError


@pytest.fixture(params=["duckdb", "sqlite", "postgres"])
def database(request, tmp_path, monkeypatch):
    """Return an empty warehouse behind its Airflow hook."""
    if request.param == "postgres":
        return postgres_database(monkeypatch, request.getfixturevalue("postgres"), "behind_a_hook")
    return hook_database(monkeypatch, request.param, host=str(tmp_path / f"user.{request.param}"))


def test_a_statement_has_its_parameters_bound(database):
    """Values are bound in the driver's style, also lists, percent signs and dates."""
    with database.connected("be read") as connection:
        query = text(
            "SELECT '5 %' AS a, :b AS b, :b AS c"
            " WHERE 'x' IN :many AND CAST(:day AS DATE) IS NOT NULL"
        ).bindparams(bindparam("many", expanding=True))
        given = query.bindparams(b="it's 100 % :x ?", many=["x", "y"], day=date(2026, 11, 3))
        assert connection.execute(given) == ["a", "b", "c"]
        assert connection.rows(10) == [("5 %", "it's 100 % :x ?", "it's 100 % :x ?")]
        connection.execute(text("SELECT '5 %' AS a"))
        assert connection.rows(10) == [("5 %",)]


def test_many_rows_are_one_insert(database):
    """Rows of texts, numbers and NULLs arrive as they are, and are committed."""
    rows = [["it's", 1, None], ["100 %s :x ?", None, "é"]]
    with database.connected("be written") as connection:
        connection.execute(text("DROP TABLE IF EXISTS many"))
        connection.execute(text("CREATE TABLE many (a VARCHAR(20), b INTEGER, c VARCHAR(20))"))
        connection.insert("many", ["a", "b", "c"], rows)
        connection.commit()
    with database.connected("be read") as connection:
        connection.execute(text("SELECT a, b, c FROM many"))
        assert sorted(map(list, connection.rows(10)), key=str) == sorted(rows, key=str)


def test_an_error_is_told_with_its_cause(database):
    """A driver's error becomes ours, with the work and the cause; no other error does."""
    with (
        pytest.raises((ConfigurationError, WarehouseError), match=r"could not be read: .*nowhere"),
        database.connected("be read") as connection,
    ):
        connection.execute(text("SELECT * FROM nowhere"))
    with pytest.raises(KeyError), database.connected("be read"):
        raise KeyError


class KeepingHook:
    """A hook that keeps its connection, as Databricks' does, over a real one."""

    conn_type = "sqlite"
    placeholder = "?"
    use_legacy_sql = True
    kept = None

    def __init__(self, real):
        self._real = real

    def get_conn(self):
        if self.kept is None:
            self.kept = self._real.get_conn()
        assert not self.use_legacy_sql
        return self.kept


def test_each_block_has_a_connection_of_its_own(tmp_path, monkeypatch):
    """A hook that keeps its connection does not get a closed one; BigQuery's speaks GoogleSQL."""
    real = hook_database(monkeypatch, "sqlite", host=str(tmp_path / "user.db"))
    database = HookDatabase(KeepingHook(real.hook))
    for _ in range(2):
        with database.connected("be read") as connection:
            connection.execute(text("SELECT 1"))
            assert connection.rows(1) == [(1,)]


@pytest.mark.parametrize(
    ("name", "kind"), [("BadRequest", ConfigurationError), ("ServiceUnavailable", WarehouseError)]
)
def test_an_error_of_bigquery_is_told(name, kind):
    """BigQuery's hook raises errors of Google's clients, which are no errors of DB-API's."""
    error = type(name, (Exception,), {"__module__": "google.api_core.exceptions"})
    raw = SimpleNamespace(cursor=lambda: None, close=lambda: None)
    database = HookDatabase(SimpleNamespace(conn_type="gcpbigquery", get_conn=lambda: raw))
    with pytest.raises(kind, match=f"could not be read: {name}: No such column at"):  # noqa: SIM117
        with database.connected("be read"):
            raise error("No such column at [1:8]")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT strptime('Lovelace', '%Y')",
        "SELECT json_extract('Lovelace', '$.a')",
        "SELECT error('Lovelace')",
        "SELECT CAST('Lovelace' AS INTEGER)",
    ],
)
def test_an_error_of_duckdb_quotes_no_value(sql, monkeypatch, tmp_path):
    """A value that does not fit a function is not told: it may be a candidate's."""
    database = hook_database(monkeypatch, "duckdb", host=str(tmp_path / "user.duckdb"))
    with pytest.raises((ConfigurationError, WarehouseError)) as told:  # noqa: PT012, SIM117
        with database.connected("be read") as connection:
            connection.execute(text(f"{sql} AS x"))
            connection.rows(1)
    assert "Lovelace" not in str(told.value)


QUOTING = [
    (("100038 (22018): Numeric value 'Lovelace' is not recognized",), {"sqlstate": "22018"}),
    (("[CAST_INVALID_INPUT] The value 'Lovelace' … SQLSTATE: 22018",), {}),
    (({"S": "ERROR", "C": "22P02", "M": 'invalid input: "Lovelace"'},), {}),
    ((245, b"Conversion failed when converting the varchar value 'Lovelace'"), {}),
    (("22018", "Conversion failed when converting the value 'Lovelace'"), {}),
]


@pytest.mark.parametrize(("args", "attributes"), QUOTING)
def test_an_error_about_a_value_quotes_none(args, attributes, monkeypatch):
    """Snowflake, Databricks, Redshift and SQL Server raise other errors than DB-API's for it."""
    module = ModuleType("a_driver")
    module.paramstyle = "qmark"
    module.Error = type("Error", (Exception,), {"__module__": "a_driver"})
    monkeypatch.setitem(sys.modules, "a_driver", module)
    error = type("ProgrammingError", (module.Error,), {"__module__": "a_driver", **attributes})
    raw = SimpleNamespace(cursor=lambda: None, close=lambda: None)
    database = HookDatabase(SimpleNamespace(conn_type="any", get_conn=lambda: raw))
    with pytest.raises(ConfigurationError, match=r"could not be read: ProgrammingError$"):  # noqa: SIM117
        with database.connected("be read"):
            raise error(*args)


def test_an_error_of_bigquery_about_a_value_quotes_none():
    """BigQuery's error has no place in the query then."""
    error = type("BadRequest", (Exception,), {"__module__": "google.api_core.exceptions"})
    raw = SimpleNamespace(cursor=lambda: None, close=lambda: None)
    database = HookDatabase(SimpleNamespace(conn_type="gcpbigquery", get_conn=lambda: raw))
    with pytest.raises(ConfigurationError, match=r"could not be read: BadRequest$"):  # noqa: SIM117
        with database.connected("be read"):
            raise error("400 Bad int64 value: Lovelace")


STYLES = [
    ("snowflake", "pyformat", "%s", "SELECT %(a)s", {"a": datetime(2026, 11, 3)}),
    ("redshift", "format", "%s", "SELECT %s", [datetime(2026, 11, 3)]),
    ("databricks", "named", "%s", "SELECT :a", {"a": datetime(2026, 11, 3)}),
    ("mssql", "pyformat", "%s", "SELECT %(a)s", {"a": datetime(2026, 11, 3)}),
    ("gcpbigquery", None, "%s", "SELECT %(a)s", {"a": "2026-11-03 00:00:00"}),
]


@pytest.mark.parametrize(("conn_type", "paramstyle", "placeholder", "sql", "given"), STYLES)
def test_parameters_have_the_drivers_style(
    conn_type, paramstyle, placeholder, sql, given, monkeypatch
):
    """Each driver gets the style that its module declares, and BigQuery dates as text."""
    module = ModuleType("a_driver")
    module.Error = Exception
    if paramstyle:
        module.paramstyle = paramstyle
    monkeypatch.setitem(sys.modules, "a_driver", module)
    raw = type("Connection", (), {"__module__": "a_driver", "cursor": lambda _: None})()
    connection = HookConnection(raw, conn_type, placeholder)
    assert connection.rendered(text("SELECT :a").bindparams(a=datetime(2026, 11, 3))) == (
        sql,
        given,
    )
