"""Calls by integration and day, from what each run has kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, timezone
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Connection, select

from airflow_kombo.database.sql import in_utc
from airflow_kombo.ledger.run_calls import IntegrationCalls, kept_calls
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.web.lookups import columns_of
from airflow_kombo.web.row_filter import OptionalDay, OptionalText

MOST_TASKS: Final = 500
"""Most tasks of runs to read, the newest first: 100 nights in five shards."""


class RunDays(BaseModel):
    """Days on which runs started."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    since: OptionalDay = Field(None, description="The first day on which the runs started, in UTC.")
    until: OptionalDay = Field(None, description="The last day on which the runs started, in UTC.")

    def within(self, started: ColumnElement[Any]) -> list[ColumnElement[bool]]:
        """Build the conditions for runs that started on these days."""
        found = []
        if self.since:
            found.append(started >= _midnight(self.since))
        if self.until and self.until < date.max:
            found.append(started < _midnight(self.until + timedelta(days=1)))
        return found


class CallFilter(RunDays):
    """Conditions for the calls to show."""

    integration: OptionalText = Field(None, description="The id of the integration.")


@dataclass(frozen=True)
class CallsOfDay:
    """Calls of one integration in the runs that started on one day.

    :param day: The day in UTC.
    """

    day: date
    calls: IntegrationCalls


@dataclass(frozen=True)
class CallsView:
    """Calls by day and integration.

    :param days: The newest day first, and within a day the lowest success rate first.
    :param is_cut: True if there are more runs than were read.
    """

    days: Sequence[CallsOfDay]
    is_cut: bool


def calls_by_day(connection: Connection, tables: Tables, chosen: CallFilter) -> CallsView:
    """Return the calls by integration and day.

    :param connection: A connection that reads the warehouse.
    :param tables: The tables of the write that is shown.
    """
    runs = {column.name: column for column in columns_of(connection, tables.runs)}
    started = tables.runs.c.started_at
    query = (
        select(started, runs["calls"])
        .where(runs["calls"].is_not(None), *chosen.within(started))
        .order_by(started.desc())
        .limit(MOST_TASKS + 1)
    )
    found = connection.execute(query).all()
    merged: dict[tuple[date, str], IntegrationCalls] = {}
    for run in found[:MOST_TASKS]:
        day = in_utc(run.started_at).date()
        for one in kept_calls(run.calls) or ():
            if chosen.integration in {None, one.integration_id}:
                key = (day, one.integration_id)
                merged[key] = _both(merged[key], one) if key in merged else one
    days = [CallsOfDay(day, calls) for (day, _), calls in merged.items()]
    return CallsView(sorted(days, key=_order), is_cut=len(found) > MOST_TASKS)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), timezone.utc)


def _both(one: IntegrationCalls, other: IntegrationCalls) -> IntegrationCalls:
    """Return the calls of two runs; the response times are those of the run with more calls."""
    larger = max(one, other, key=lambda calls: calls.calls)
    return replace(
        larger,
        rows=one.rows + other.rows,
        calls=one.calls + other.calls,
        confirmed=one.confirmed + other.confirmed,
        limited=one.limited + other.limited,
    )


def _order(one: CallsOfDay) -> tuple[int, float, str]:
    rate = one.calls.success_rate
    return -one.day.toordinal(), 2.0 if rate is None else rate, one.calls.integration_id
