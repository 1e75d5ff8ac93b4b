"""Warehouses of the demo: SQLite with the ledger in it, DuckDB with one beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from sqlalchemy import make_url
from sqlalchemy.schema import CreateTable

from tools.demo.rows import RESULTS, fill, rows

CONNECTION: Final = "AIRFLOW_CONN_WAREHOUSE_DEFAULT"
_LEDGER: Final = "ledger"

Environment = dict[str, str]
"""Airflow's connections and settings, by environment variable."""


def sqlite(folder: Path) -> tuple[str, Environment]:
    """Fill a SQLite file, and return a sentence about it with Airflow's connection.

    :param folder: The folder of the demo's files.
    """
    file = folder / "warehouse.db"
    sentence = f"{file} with {fill(file)} assessment results"
    return sentence, {CONNECTION: _connection("sqlite", file)}


def duckdb(folder: Path) -> tuple[str, Environment]:
    """Fill a DuckDB file, and return a sentence about it with Airflow's connections.

    A column store cannot hold the ledger, so the ledger is in a SQLite file beside it.

    :param folder: The folder of the demo's files.
    """
    file, ledger = folder / "warehouse.duckdb", folder / "ledger.db"
    sentence = f"{file} with {_fill_duckdb(file)} assessment results; the ledger: {ledger}"
    return sentence, {
        CONNECTION: _connection("duckdb", file),
        f"AIRFLOW_CONN_{_LEDGER.upper()}": _connection("sqlite", ledger),
        "AIRFLOW__KOMBO__LEDGER_CONN_ID": _LEDGER,
    }


WAREHOUSES: Final[Mapping[str, Callable[[Path], tuple[str, Environment]]]] = {
    "sqlite": sqlite,
    "duckdb": duckdb,
}


def _connection(kind: str, file: Path) -> str:
    return json.dumps({"conn_type": kind, "host": str(file)})


def _fill_duckdb(file: Path) -> int:
    from duckdb import connect  # noqa: PLC0415 - only this warehouse's demo installs it

    dialect = make_url("postgresql://").get_dialect()()  # DuckDB takes PostgreSQL's types
    create = str(CreateTable(RESULTS).compile(dialect=dialect))
    columns = [column.name for column in RESULTS.columns]
    with connect(str(file)) as database:
        database.execute(create.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS"))
        ((filled,),) = database.execute("SELECT count(*) FROM assessment_results").fetchall()
        if not filled:
            marks = ", ".join("?" * len(columns))
            made = [[row[name] for name in columns] for row in rows()]
            insert = f"INSERT INTO assessment_results VALUES ({marks})"  # noqa: S608 - marks only
            database.executemany(insert, made)
            filled = len(made)
    return int(filled)
