"""Response times of the page over a ledger of many rows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from statistics import median, quantiles
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

import httpx
from sqlalchemy import (
    DateTime,
    Insert,
    Text,
    case,
    cast,
    func,
    insert,
    literal,
    null,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSON

from airflow_kombo.ledger.run_calls import keep_calls
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.web import app as report
from airflow_kombo.web.database import Warehouse as Ledger
from airflow_kombo.web.pagination import PagePosition
from airflow_kombo.web.row_filter import RowFilter
from airflow_kombo.web.rows import Rows
from tools.bench.warehouse import DAY, Warehouse, name_of

if TYPE_CHECKING:
    from fastapi import FastAPI

_LOOKS: Final = 20
_INTEGRATIONS: Final = 40
_DAYS: Final = 90
_DRY_RUNS: Final = 25
_MONTH: Final = f"since={DAY - timedelta(days=29)}&until={DAY}"
_RUN: Final = "dag_id=kombo_result_links&dag_run_id=scheduled__7"


def timed(warehouse: Warehouse, rows: int) -> Mapping[str, tuple[float, float]]:
    """Return the median and the 90th percentile for each kind of request, in milliseconds."""
    tables = Tables.named()
    with warehouse.engine.begin() as connection:
        tables.links.metadata.drop_all(connection)
    tables.create(warehouse.engine)
    with warehouse.engine.begin() as connection:
        connection.execute(_filled(tables, rows))
        connection.execute(_called(tables))
        connection.execute(_nights(tables))
    tables.create_preview(warehouse.engine)
    with warehouse.engine.begin() as connection:
        connection.execute(_previewed(tables))
    with warehouse.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    for number in range(_DAYS):
        keep_calls(warehouse.engine, tables, str(number))
    ledger = Ledger(lambda: warehouse.engine, tables)
    with patch.object(report, "permission", lambda: lambda: None):  # not measured
        app = report.make_app(ledger)
    return {what: asyncio.run(_times(app, path)) for what, path in _paths(ledger).items()}


def _paths(ledger: Ledger) -> dict[str, str]:
    with ledger.reading() as connection:
        rows = Rows(connection, ledger.tables)
        middle = rows.page(RowFilter(day=DAY.replace(month=DAY.month - 1))).rows[25]
    some = PagePosition.of(middle)
    return {
        "overview": "/",
        "first page": "/rows",
        "a page in the middle": f"/rows?after={some.token}",
        "a page before the middle": f"/rows?before={some.token}",
        "by integration, in the middle": f"/rows?sort=integration&after={some.token}",
        "search: a result": f"/rows?q={some.key.result_id}",
        "search: a target": f"/rows?q={some.key.target_id}",
        "search: an integration": f"/rows?q={name_of(7)}",
        "search: nothing": "/rows?q=nothing",
        "filter: failed": "/rows?status=failed",
        "filter: unknown": "/rows?status=unknown",
        "filter: a day and a status": f"/rows?day={DAY}&status=invalid",
        "filter: a rare error code": "/rows?error_code=RARE",
        "filter: an integration and a status": f"/rows?integration={name_of(3)}&status=failed",
        "runs": "/runs",
        "runs of a period": f"/runs?since={DAY - timedelta(days=60)}&until={DAY}",
        "rows of a month and an integration": f"/rows?{_MONTH}&integration={name_of(3)}",
        "rows left out": f"/rows?{_MONTH}&left_out=yes",
        "a run": f"/run?{_RUN}",
        "calls of a month": f"/calls?{_MONTH}",
        "calls of an integration": f"/calls?integration={name_of(3)}",
        "dry runs": "/dry-runs",
        "a dry run": "/dry-run?run_id=dry-7",
        "a dry run, one action": "/dry-run?run_id=dry-7&action=invalid",
        "first page as JSON": "/rows.json",
        "1,000 rows as JSON": "/rows.json?limit=1000",
        "a row": f"/row?{httpx.QueryParams(some.key.columns)}",
    }


async def _times(app: FastAPI, path: str) -> tuple[float, float]:
    transport = httpx.ASGITransport(app)
    times = []
    async with httpx.AsyncClient(transport=transport, base_url="http://page") as client:
        for _ in range(_LOOKS + 1):
            began = perf_counter()
            (await client.get(path)).raise_for_status()
            times.append(1000 * (perf_counter() - began))
    return median(times[1:]), quantiles(times[1:], n=10)[-1]


def _called(tables: Tables) -> Insert:
    """Build an attempt for each row, within the hour of the night's run; 1 % are 429s."""
    links, number = tables.links.c, func.abs(func.hashtext(tables.links.c.result_id))
    columns = [*KEY, "run_id", "status", "error_code", "http_status"]
    began = cast(links.assessment_date + 1, DateTime(timezone=True))
    claimed = began + func.make_interval(0, 0, 0, 0, 0, 0, number % 3_600)
    values: dict[str, Any] = {
        **{name: links[name] for name in columns},
        "attempt": literal(1),
        "http_status": case((number % 100 == 0, 429), else_=200),
        "claimed_at": claimed,
        "answered_at": claimed,
        "milliseconds": 50 + number % 2_000,
    }
    return insert(tables.attempts).from_select(
        list(values), select(*values.values()).order_by(claimed)
    )


def _nights(tables: Tables) -> Insert:
    """Build the runs of all nights, each with one task."""
    number = func.generate_series(0, _DAYS - 1).column_valued("number")
    began = cast(literal(DAY) - number + 1, DateTime(timezone=True))
    name = cast(number, Text)
    values: dict[str, Any] = {
        "run_id": name,
        "dag_id": literal("kombo_result_links"),
        "dag_run_id": literal("scheduled__") + name,
        "task_id": literal("deliver.shard"),
        "map_index": literal(0),
        "try_number": literal(1),
        "assessment_date": literal(DAY) - number,
        "started_at": began,
        "heartbeat_at": began,
        "ended_at": began + func.make_interval(0, 0, 0, 0, 1),
        "settled_at": began + func.make_interval(0, 0, 0, 0, 1),
        "planned": literal(10_000),
        "success": literal(10_000),
    }
    return insert(tables.runs).from_select(list(values), select(*values.values()))


def _previewed(tables: Tables) -> Insert:
    """Build dry runs, each of the rows of one day."""
    links = tables.links.c
    day = literal(DAY) - links.assessment_date
    number = func.row_number().over(partition_by=links.assessment_date, order_by=links.result_id)
    values: dict[str, Any] = {
        **{name: links[name] for name in (*KEY, "assessment_date", "error_code", "status")},
        "run_id": literal("dry-") + cast(day, Text),
        "number": number - 1,
        "action": case(
            (links.status == "success", "delivered"),
            (links.status == "failed", "refused"),
            (links.status == "blocked", "send"),
            else_=links.status,
        ),
        "dag_id": literal("kombo_result_links"),
        "dag_run_id": literal("manual__") + cast(day, Text),
        "task_id": literal("deliver.shard"),
        "run_date": links.assessment_date,
        "previewed_at": cast(links.assessment_date + 1, DateTime(timezone=True)),
    }
    rows = select(*values.values()).where(day < _DRY_RUNS)
    return insert(tables.preview).from_select(list(values), rows)


def _filled(tables: Tables, rows: int) -> Insert:
    """Build rows of three months: 2 % not delivered, 1 % with one of 20 warnings."""
    number = func.generate_series(0, rows - 1).column_valued("number")

    def digest(of: str, length: int) -> Any:
        return func.substr(func.md5(literal(of) + cast(number, Text)), 1, length)

    tick = number % 1_000
    status = case(
        (tick < 12, "failed"),  # noqa: PLR2004 - per mille
        (tick < 16, "invalid"),  # noqa: PLR2004
        (tick < 19, "blocked"),  # noqa: PLR2004
        (number % 10_007 == 0, "unknown"),
        else_="success",
    )
    moment = cast(literal(DAY), DateTime(timezone=True))
    values: dict[str, Any] = {
        "integration_id": literal("workday:")
        + func.lpad(cast(number % _INTEGRATIONS, Text), 24, "0"),
        "target_type": case((number % 2 == 0, "application"), else_="candidate"),
        "target_id": digest("target", 24),
        "result_id": digest("result", 32),
        "assessment_date": literal(DAY) - number % _DAYS,
        "status": status,
        "error_code": case(
            (number % 500_009 == 5, "RARE"),  # noqa: PLR2004
            (status != "success", "ATS.JOB_CLOSED"),
            else_=null(),
        ),
        "warnings": case(
            (
                tick > 989,  # noqa: PLR2004 - the last per cent
                func.json_build_array(literal("A warning, number ") + cast(number % 20, Text)),
            ),
            else_=cast(null(), JSON),
        ),
        "attempts": literal(1),
        "run_id": func.substr(cast(number % 90, Text), 1, 36),
        "url_hash": func.concat(digest("url", 32), digest("more", 32)),
        "first_sent_at": moment,
        "updated_at": moment,
    }
    return insert(tables.links).from_select(list(values), select(*values.values()))
