"""Warehouses behind real Airflow hooks, and rows of a ledger to write back to them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

from airflow.sdk import BaseHook
from sqlalchemy import create_engine, delete, insert, make_url, text
from support.harness import DAY

from airflow_kombo.database.hook_database import HookDatabase
from airflow_kombo.database.warehouse_table import moment_of

START = datetime(2026, 11, 4, 2, tzinfo=timezone.utc)


def hook_database(monkeypatch, conn_type, **connection):
    """Define a connection in the environment, and return the database behind its hook."""
    conn_id = f"{conn_type}_warehouse"
    value = json.dumps({"conn_type": conn_type, **connection})
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", value)
    return HookDatabase(BaseHook.get_hook(conn_id))


def postgres_database(monkeypatch, url, schema):
    """Return the database behind PostgreSQL's hook, with a new schema as the default."""
    parsed = make_url(url)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {schema}"))
    engine.dispose()
    return hook_database(
        monkeypatch,
        "postgres",
        host=parsed.query.get("host") or parsed.host,
        port=parsed.port,
        login=parsed.username,
        password=parsed.password,
        schema=parsed.database,
        extra={"options": f"-c search_path={schema}"},
    )


def at(seconds):
    """Return a time so many seconds after the start of a night."""
    return START + timedelta(seconds=seconds)


def ledger_row(result_id, updated_at, **changes):
    """Return a row of the status table."""
    return {
        "integration_id": "workday:one",
        "target_type": "candidate",
        "target_id": f"candidate-{result_id}",
        "result_id": result_id,
        "assessment_date": DAY,
        "attempts": 1,
        "request_hash": "0" * 64,
        "url_hash": None,
        "run_id": "run",
        "first_sent_at": START,
        "status": "success",
        "error_code": None,
        "error_title": None,
        "error_message": None,
        "log_url": "https://app.kombo.example/logs/1",
        "http_status": 200,
        "warnings": None,
        "updated_at": updated_at,
        "left_out_by": None,
        "left_out_at": None,
        "left_out_reason": None,
    } | changes


def put(engine, tables, *rows):
    """Replace all rows of some results in the ledger."""
    links = tables.links
    with engine.begin() as connection:
        gone = links.c.result_id.in_([row["result_id"] for row in rows])
        connection.execute(delete(links).where(gone))
        connection.execute(insert(links), list(rows))


def written(database, name="kombo_result_links"):
    """Return the rows of the warehouse's table, with times and JSON as Python has them."""
    with database.connected("be read") as connection:
        names = connection.execute(text(f"SELECT * FROM {name}"))  # noqa: S608 - a test's name
        rows = connection.rows(1_000_000)
    return sorted((_plain(dict(zip(names, row, strict=True))) for row in rows), key=_by_key)


def _plain(row):
    moments = [name for name in ("updated_at", "first_sent_at", "left_out_at") if name in row]
    return {
        **row,
        **{name: row[name] and moment_of(row[name]) for name in moments},
        "assessment_date": str(row["assessment_date"]),
        "warnings": row["warnings"] and json.loads(row["warnings"]),
    }


def expected(rows):
    """Return rows of the ledger as the warehouse has them."""
    return sorted(
        ({**row, "assessment_date": str(row["assessment_date"])} for row in rows), key=_by_key
    )


def _by_key(row):
    return [row[name] for name in ("result_id", "target_type", "target_id", "integration_id")]
