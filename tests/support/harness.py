"""Rows, requests, and whole runs without Airflow, for several test modules."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import date, timedelta
from math import isfinite
from pathlib import Path
from uuid import uuid4

from sqlalchemy import (
    Column,
    Date,
    DateTime,
    Float,
    Integer,
    MetaData,
    Table,
    Text,
    insert,
    select,
    update,
)

from airflow_kombo.database.sql import in_utc, utc_now
from airflow_kombo.delivery.run import DeliveryRun
from airflow_kombo.delivery.run_context import RunParts, Settings
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.hooks.kombo import KomboHook
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.rows.frames import frame_of_records
from airflow_kombo.rows.mapped_rows import MappedRows
from airflow_kombo.rows.query_source import QuerySource, parameters_of
from airflow_kombo.rows.result_link_mapping import ResultLinkMapping
from airflow_kombo.rows.row_keys import keys_of
from airflow_kombo.rows.source import Selection

ROOT = Path(__file__).resolve().parents[2]
DAY = date(2026, 11, 3)
MAPPING = ROOT / "include" / "result_link_mapping.yaml"
SQL = (ROOT / "include" / "sql" / "assessment_results.sql").read_text()
KEY = "ks_dev_standin"


def connect(monkeypatch, url, *, password=KEY, **extra):
    """Define the connection to Kombo in the environment, as a deployment does."""
    connection = {"conn_type": "http", "host": url, "password": password, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_KOMBO_DEFAULT", json.dumps(connection))


def make_source_table(engine):
    """Make the table of assessment results with the contract's columns."""
    table = Table(
        "assessment_results",
        MetaData(),
        Column("result_id", Text),
        Column("assessment_date", Date),
        Column("completed_at", DateTime),
        *(
            Column(name, Text)
            for name in (
                "integration_id",
                "candidate_id",
                "application_id",
                "assessment_name",
                "result_url",
            )
        ),
        Column("score", Float),
        Column("max_score", Float),
        Column("duration_seconds", Integer),
        Column("remote_fields", Text),
    )
    table.create(engine)
    return table


def row(result_id, **changes):
    """Return a valid row of assessment results, with some columns changed."""
    return {
        "result_id": result_id,
        "assessment_date": DAY,
        "completed_at": None,
        "integration_id": "workday:one",
        "candidate_id": f"candidate-{result_id}",
        "application_id": None,
        "assessment_name": "Coding",
        "result_url": f"https://results.example/{result_id}",
        "score": 95.0,
        "max_score": 100.0,
        "duration_seconds": 9000,
        "remote_fields": None,
    } | changes


def fill(engine, table, rows):
    """Write rows into the table of assessment results."""
    with engine.begin() as connection:
        connection.execute(insert(table), list(rows))


def can_store(engine, values):
    """Return False for values beyond a database: MySQL has no infinite number."""
    floats = [value for value in values.values() if isinstance(value, float)]
    return engine.dialect.name != "mysql" or all(map(isfinite, floats))


def delivery(result_id="r1", *, integration_id="workday:one", target_id="c1", **changes):
    """Return the request of a row."""
    key = LinkKey(integration_id, changes.pop("target_type", "candidate"), target_id, result_id)
    url = changes.pop("url", f"https://results.example/{result_id}")
    return RowRequest(key, DAY, url, changes.pop("body", b'{"label": "Coding"}'))


def make_run(
    engine,
    tables,
    *,
    source=None,
    mapping=None,
    default=None,
    settings=None,
    guard=None,
    dead_after=60.0,
    day=DAY,
    lookback_days=0,
    run=None,
    **selected,
):
    """Return a coroutine function for a run over a day, built as the operator builds one."""
    hook = KomboHook()
    selection = Selection(**selected)

    async def start():
        await hook.config()
        rows = source or QuerySource(
            engine,
            tables,
            SQL,
            parameters_of(day, lookback_days),
            selection=selection,
            default_integration=hook.default_integration,
        )
        parts = RunParts(
            run or Run(str(uuid4()), assessment_date=day),
            mapped=MappedRows(
                rows,
                mapping or ResultLinkMapping.load(MAPPING),
                selection,
                hook.default_integration if default is None else default,
                first_day=day - timedelta(days=lookback_days),
            ),
            selection=selection,
            hook=hook,
            ledger=Ledger(engine, tables),
            runs=Runs(engine, tables, dead_after=dead_after),
            settings=settings or Settings(first_retry=0.01),
            guard=guard,
        )
        return DeliveryRun(parts)

    return start


def requests_of(mapping, records, default=None):
    """Return the requests of dictionaries, and the invalid rows."""
    frame = frame_of_records(records)
    made = mapping.requests(frame, keys_of(frame, default, mapping.write))
    requests = [one for one in made if isinstance(one, RowRequest)]
    return requests, [one for one in made if not isinstance(one, RowRequest)]


def mapped_rows(source, selection=None, default=None, *, mapping=None, **options):
    """Return the rows of a source as requests, by default of the shipped mapping."""
    mapping = mapping or ResultLinkMapping.load(MAPPING)
    return MappedRows(source, mapping, selection or Selection(), default, **options)


def run_day(engine, tables, **options):
    """Deliver the day, and return the report."""

    async def deliver():
        run = await make_run(engine, tables, **options)()
        return await run.deliver()

    return asyncio.run(deliver())


def all_of(engine, table):
    """Return a table's rows."""
    with engine.connect() as connection:
        return connection.execute(select(table)).all()


def but_for_its_time(row):
    """Return a row's values without the time of the last change."""
    return {**row._mapping, "updated_at": None}


def by_result(engine, tables):
    """Return the rows of the status table by result id."""
    return {row.result_id: row for row in all_of(engine, tables.links)}


def statuses(engine, tables):
    """Count the rows of the status table by status."""
    return Counter(row.status for row in all_of(engine, tables.links))


async def until_received(standin):
    """Wait until the stand-in has received a request."""
    while not (await asyncio.to_thread(standin.stats))["received"]:  # noqa: ASYNC110 - its word
        await asyncio.sleep(0)


def silence(runs, run_id, seconds):
    """Move a run's last heartbeat back, by the database's clock."""
    table = runs.tables.runs
    with runs.engine.begin() as connection:
        now = connection.execute(select(utc_now())).scalar_one()
        moved = update(table).where(table.c.run_id == run_id)
        connection.execute(moved.values(heartbeat_at=in_utc(now) - timedelta(seconds=seconds)))
