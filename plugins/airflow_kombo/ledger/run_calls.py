"""Calls of a run by integration: response times, success rate and 429s.

A run keeps them in its own row when it ends: to count the calls of many runs, their attempts would
have to be read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from http import HTTPStatus
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Subquery,
    case,
    distinct,
    func,
    select,
    update,
)

from airflow_kombo.database.transactions import transaction
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.statuses import Status


@dataclass(frozen=True)
class IntegrationCalls:
    """Calls of one integration in one run.

    :param rows: Number of the results that were sent.
    :param calls: Number of the calls.
    :param confirmed: Number of the calls that Kombo confirmed.
    :param limited: Number of the calls with a 429.
    :param median: The median of the response times, in milliseconds; None without a response.
    :param slowest: The 95th percentile of the response times, in milliseconds.
    """

    integration_id: str
    rows: int
    calls: int
    confirmed: int
    limited: int
    median: int | None
    slowest: int | None

    @property
    def success_rate(self) -> float | None:
        """Share of confirmed calls among all but the 429s; None if there are no others."""
        counted = self.calls - self.limited
        return self.confirmed / counted if counted else None


def keep_calls(engine: Engine, tables: Tables, run_id: str) -> None:
    """Write the calls of a run into the run's row.

    :raises LedgerError: if they cannot be read or written.
    """
    runs = tables.runs
    mine = runs.c.run_id == run_id
    # Two transactions: on SQLite nobody else could write while the calls are counted.
    with transaction(engine, "count the calls of a run", reads_only=True) as connection:
        run = connection.execute(select(runs.c.run_id).where(mine)).all()
        if not run:  # a run that could not start has no row
            return
        kept = json.dumps([astuple(one) for one in calls_of(connection, tables, run)])
    with transaction(engine, "keep the calls of a run") as connection:
        connection.execute(update(runs).where(mine).values(calls=kept))


def kept_calls(calls: str | None) -> list[IntegrationCalls] | None:
    """Return the calls that a run has kept.

    :param calls: The column `calls` of the run's row.
    :returns: None for a run that has not ended, that died, or of an older version.
    """
    return [IntegrationCalls(*one) for one in json.loads(calls)] if calls else None


def calls_of(connection: Connection, tables: Tables, runs: Sequence[Any]) -> list[IntegrationCalls]:
    """Return the calls of a run's tasks by integration, the lowest success rate first.

    :param connection: A connection that reads the warehouse.
    :param tables: The tables of the write that is shown.
    :param runs: The rows of the runs table of all tries of all tasks.
    """
    attempts = tables.attempts.c
    ranked = _ranked(tables, attempts.run_id.in_([run.run_id for run in runs]))
    query = select(
        ranked.c.integration_id,
        func.count(distinct(ranked.c.result_id)),
        func.count(),
        _number(ranked.c.status == Status.SUCCESS.value),
        _number(ranked.c.http_status == HTTPStatus.TOO_MANY_REQUESTS.value),
        _percentile(ranked, 50),
        _percentile(ranked, 95),
    ).group_by(ranked.c.integration_id)
    found = [
        IntegrationCalls(name, rows, calls, int(confirmed), int(limited), median, slowest)
        for name, rows, calls, confirmed, limited, median, slowest in connection.execute(query)
    ]
    return sorted(
        found, key=lambda one: (one.success_rate is None, one.success_rate, one.integration_id)
    )


def _number(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


def _ranked(tables: Tables, mine: ColumnElement[bool]) -> Subquery:
    """Select calls with the place of their response time among those of their integration.

    Not every database has a function for percentiles; all have window functions.
    """
    attempts = tables.attempts.c
    name, milliseconds = attempts.integration_id, attempts.milliseconds
    last_without_time = case((milliseconds.is_(None), 1), else_=0)
    place = func.row_number().over(partition_by=name, order_by=[last_without_time, milliseconds])
    timed = func.count(milliseconds).over(partition_by=name)
    return (
        select(
            name,
            attempts.result_id,
            attempts.status,
            attempts.http_status,
            milliseconds,
            place.label("place"),
            timed.label("timed"),
        )
        .where(mine)
        .subquery()
    )


def _percentile(ranked: Subquery, percent: int) -> ColumnElement[int | None]:
    """Build the response time of the nearest rank."""
    is_above = ranked.c.place * 100 >= ranked.c.timed * percent
    return func.min(case((is_above, ranked.c.milliseconds), else_=None))
