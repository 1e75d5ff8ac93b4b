"""Kinds of warehouses for a table of ours: types of columns, and limits of a statement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import JSON, Date, DateTime, Integer, String, Text

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

_CREATE: Final = "CREATE TABLE IF NOT EXISTS {table} (\n{columns}\n)"
_CREATE_ON_SQL_SERVER: Final = (
    "IF OBJECT_ID(N'{table}', N'U') IS NULL CREATE TABLE {table} (\n{columns}\n)"
)


@dataclass(frozen=True)
class JsonOfKind:
    """SQL of a kind that reads rows from the parameter `:given`, an array in JSON.

    :param contains: The condition that a `{column}` has one of the array's texts.
    :param rows: The table of the array's objects, with the `{fields}` as columns.
    :param field: One of the fields, with its `{name}` and `{type}`.
    """

    contains: str
    rows: str
    field: str


_DATABRICKS: Final = JsonOfKind(
    contains="array_contains(from_json(:given, 'ARRAY<STRING>'), {column})",
    rows="inline(from_json(:given, 'ARRAY<STRUCT<{fields}>>'))",
    field="{name}: {type}",
)
_DUCKDB: Final = JsonOfKind(
    contains="{column} IN (SELECT unnest(from_json_strict(:given, '[\"VARCHAR\"]')))",
    rows="(SELECT unnest(from_json_strict(:given, '[{{{fields}}}]'), recursive := true))",
    field='"{name}":"{type}"',
)


@dataclass(frozen=True)
class WarehouseKind:
    """Peculiarities of a kind of warehouse.

    :param string: The type of a short text: `{characters}` at most, or `{octets}` in UTF-8.
        Its comparisons have to distinguish upper case from lower case.
    :param text: The type of a long text.
    :param moment: The type of a time with microseconds.
    :param has_zone: Whether this type keeps a time zone. All times are UTC in either case.
    :param most_parameters: Most parameters of a statement.
    :param json: How the kind reads rows from one parameter of JSON; None if they are given as one
        parameter for each value. Databricks takes no more than 255 parameters, and DuckDB takes ten
        times as long for them.
    :param create: The statement that creates a table unless there is one.
    """

    string: str = "VARCHAR({characters})"
    text: str = "VARCHAR"
    integer: str = "INTEGER"
    date: str = "DATE"
    moment: str = "TIMESTAMP"
    has_zone: bool = False
    most_parameters: int = 2_000  # SQL Server's driver for ODBC has the lowest limit: 2,100
    json: JsonOfKind | None = None
    create: str = _CREATE

    def type_of(self, kind: TypeEngine[Any]) -> str:
        """Return the type of a column of the ledger's."""
        if isinstance(kind, String) and kind.length:
            return self.string.format(characters=kind.length, octets=4 * kind.length)
        types: Mapping[type[TypeEngine[Any]], str] = {
            Text: self.text,
            JSON: self.text,
            Integer: self.integer,
            Date: self.date,
            DateTime: self.moment,
        }
        return types[type(kind)]


_OTHER: Final = WarehouseKind()
KINDS: Final[Mapping[str, WarehouseKind]] = {
    "bigquery": WarehouseKind(
        string="STRING", text="STRING", integer="INT64", has_zone=True, most_parameters=20_000
    ),
    "databricks": WarehouseKind(
        string="STRING", text="STRING", integer="INT", has_zone=True, json=_DATABRICKS
    ),
    "duckdb": WarehouseKind(string="VARCHAR", most_parameters=20_000, json=_DUCKDB),
    "mysql": WarehouseKind(
        string="VARCHAR({characters}) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        text="LONGTEXT CHARACTER SET utf8mb4",
        moment="DATETIME(6)",
        most_parameters=20_000,
    ),
    "postgres": WarehouseKind(
        text="TEXT", moment="TIMESTAMP WITH TIME ZONE", has_zone=True, most_parameters=20_000
    ),
    "redshift": WarehouseKind(  # its lengths are octets, and its TEXT is VARCHAR(256)
        string="VARCHAR({octets})",
        text="VARCHAR(65535)",
        moment="TIMESTAMP WITH TIME ZONE",
        has_zone=True,
        most_parameters=20_000,
    ),
    "snowflake": WarehouseKind(moment="TIMESTAMP_NTZ", most_parameters=20_000),
    "sqlite": WarehouseKind(text="TEXT", date="TEXT", moment="TEXT", most_parameters=20_000),
    "sqlserver": WarehouseKind(
        string="NVARCHAR({characters}) COLLATE Latin1_General_BIN2",
        text="NVARCHAR(MAX)",
        integer="INT",
        moment="DATETIME2(6)",
        create=_CREATE_ON_SQL_SERVER,
    ),
}
"""Kinds by a name for people. The drivers of those with 20,000 parameters take 32,766 or more."""
_BY_CONN_TYPE: Final = {"gcpbigquery": "bigquery", "mssql": "sqlserver"}
"""Names of the kinds whose Airflow connections have another type."""


def kind_of(conn_type: str) -> WarehouseKind:
    """Return the kind of the warehouse behind an Airflow connection.

    :param conn_type: The connection's type. One that is not known is asked for standard SQL.
    """
    return KINDS.get(_BY_CONN_TYPE.get(conn_type, conn_type), _OTHER)
