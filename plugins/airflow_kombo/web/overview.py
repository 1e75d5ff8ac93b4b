"""Overview: the latest run, 30 days by status, and rows for a person to decide about."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from sqlalchemy import Connection, Row, Select, Text, and_, cast, func, null, select

from airflow_kombo.database.sql import in_utc, utc_now
from airflow_kombo.ledger.run_scope import Days
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.ledger.time_limits import KOMBO_LOG_DAYS
from airflow_kombo.statuses import AWAITING_DECISION
from airflow_kombo.web.lookups import distinct_of, left_out_at
from airflow_kombo.web.next_try import Schedule, UnknownSchedule, waiting_until
from airflow_kombo.web.row_counts import has_status, rows_by_day
from airflow_kombo.web.row_filter import OptionalDay
from airflow_kombo.web.run_progress import Progress, progress_of
from airflow_kombo.web.undelivered import UndeliveredRows, left_out_rows, undelivered_rows

KOMBO_KEEPS: Final = timedelta(days=KOMBO_LOG_DAYS)
"""Time for which Kombo keeps the log of a call."""

_WARNED_ROWS: Final = 20_000
"""Most rows to read for their warnings, the newest first."""
_SHOWN: Final = 20
"""Most rows or warnings in a list of the overview."""


class Period(BaseModel):
    """Days of the chart and of the lists."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    days: Literal[7, 14, 30] = Field(30, description="The number of days.")
    until: OptionalDay = Field(
        None, description="The last day. Without it, the newest day of any row."
    )

    @field_validator("days", mode="before")
    @classmethod
    def _number(cls, days: object) -> object:
        """Read the text of an address: a literal takes no text for a number."""
        return int(days) if isinstance(days, str) and days in {"7", "14", "30"} else days

    def ending(self, newest: date | None) -> Days | None:
        """Return the days of the period; None if no row has a day.

        :param newest: The newest day of any row.
        """
        last = self.until or newest
        if newest is None or last is None:
            return None
        return Days(
            max(last, date.min + timedelta(days=self.days)) - timedelta(days=self.days - 1), last
        )


_NEWEST: Final = Period()


@dataclass(frozen=True)
class UndecidedRows:
    """Rows for a person to decide about.

    :param counts: All of these rows, by status.
    :param rows: The rows with the least time left, at most 20.
    :param now: The database's time.
    """

    counts: Counter[str]
    rows: Sequence[Row[Any]]
    now: datetime

    @property
    def total(self) -> int:
        """Number of all of these rows."""
        return self.counts.total()

    @property
    def log_days(self) -> int:
        """Number of days until Kombo deletes a log."""
        return KOMBO_KEEPS.days

    def sent_at(self, row: Row[Any]) -> datetime:
        """Return the time of a row's last request, as far as the tables have it."""
        return in_utc(row.claimed_at or row.first_sent_at or row.updated_at)

    def days_left(self, row: Row[Any]) -> int:
        """Return the whole days until Kombo deletes a row's logs; 0 if they are deleted."""
        return max(0, (self.sent_at(row) + KOMBO_KEEPS - self.now).days)


@dataclass(frozen=True)
class Overview:
    """All data of the overview.

    :param now: The database's time.
    :param days: Rows by day and status, of the period from `first_day` to `last_day`.
    :param integrations: The number of all integrations.
    :param left_out: The number of undelivered rows of the period that a person has left out.
    :param waiting_until: The time at which the waiting rows are sent again, as a sentence.
    :param warnings: Warnings with the number of their rows, the most frequent first.
    :param warned: The number of rows that were read for `warnings`.
    """

    now: datetime
    progress: Progress | None
    period: Period
    first_day: date | None
    last_day: date | None
    days: Mapping[date, Counter[str]]
    integrations: int
    undelivered: Sequence[UndeliveredRows]
    left_out: int
    waiting_until: str
    warnings: Sequence[tuple[str, int]]
    warned: int
    undecided: UndecidedRows

    @property
    def has_run_today(self) -> bool:
        """True if a run has started on this day, in UTC."""
        run = self.progress
        return run is not None and run.started_at.date() == self.now.date()

    @property
    def is_running(self) -> bool:
        """True while the newest run is alive."""
        run = self.progress
        return run is not None and run.ended_at is None and not run.is_silent

    @property
    def is_cut(self) -> bool:
        """True if more rows have warnings than were read."""
        return self.warned >= _WARNED_ROWS


def overview(
    connection: Connection,
    tables: Tables,
    schedule: Schedule | UnknownSchedule,
    period: Period = _NEWEST,
) -> Overview:
    """Read all data of the overview.

    :param connection: A connection that reads the warehouse.
    :param tables: The tables of the write that is shown.
    :param schedule: The schedule of the dag that delivers the rows.
    """
    now = in_utc(_now(connection))
    days = period.ending(_last_day(connection, tables, now))
    warnings, warned = _warnings(connection, tables, days)
    return Overview(
        now=now,
        progress=progress_of(connection, tables, now),
        period=period,
        first_day=days.first if days else None,
        last_day=days.last if days else None,
        days=rows_by_day(connection, tables, days) if days else {},
        integrations=len(distinct_of(connection, tables.links.c.integration_id)),
        undelivered=undelivered_rows(connection, tables, days, schedule) if days else [],
        left_out=left_out_rows(connection, tables, days) if days else 0,
        waiting_until=waiting_until(schedule),
        warnings=warnings,
        warned=warned,
        undecided=_undecided(connection, tables, now),
    )


def _now(connection: Connection) -> datetime:
    moment: datetime = connection.execute(select(utc_now())).scalar_one()
    return moment


def _last_day(connection: Connection, tables: Tables, now: datetime) -> date | None:
    """Return the newest day of any row; days after tomorrow are typing errors."""
    day = tables.links.c.assessment_date
    tomorrow = now.date() + timedelta(days=1)
    return connection.execute(select(func.max(day)).where(day <= tomorrow)).scalar()


def _warnings(
    connection: Connection, tables: Tables, days: Days | None
) -> tuple[list[tuple[str, int]], int]:
    """Count the warnings of the newest rows by text, the most frequent first."""
    if days is None:
        return [], 0
    links = tables.links.c
    newest = (
        select(cast(links.warnings, Text).label("warnings"))
        .where(links.warnings.is_not(null()), links.assessment_date.between(days.first, days.last))
        .order_by(links.assessment_date.desc())
        .limit(_WARNED_ROWS)
        .subquery()
    )
    texts = select(newest.c.warnings, func.count()).group_by(newest.c.warnings)
    found, warned = Counter[str](), 0
    for warnings, rows in connection.execute(texts):
        warned += rows
        for text in set(json.loads(warnings)):
            found[text] += rows
    return found.most_common(_SHOWN), warned


def _undecided(connection: Connection, tables: Tables, now: datetime) -> UndecidedRows:
    links, attempts = tables.links, tables.attempts
    is_undecided = and_(
        has_status(connection, tables, AWAITING_DECISION),
        left_out_at(connection, tables).is_(None),
    )
    counts = Counter[str]()
    by_status = select(links.c.status, func.count()).where(is_undecided).group_by(links.c.status)
    for status, rows in connection.execute(by_status):
        counts[status] = rows
    last_try = and_(
        attempts.c.attempt == links.c.attempts,
        *(attempts.c[name] == links.c[name] for name in KEY),
    )
    query: Select[Any] = (
        select(
            *(links.c[name] for name in KEY),
            links.c.error_code,
            links.c.log_url,
            links.c.first_sent_at,
            links.c.updated_at,
            attempts.c.claimed_at,
        )
        .select_from(links.outerjoin(attempts, last_try))
        .where(is_undecided)
        .order_by(func.coalesce(attempts.c.claimed_at, links.c.updated_at), links.c.result_id)
        .limit(_SHOWN)
    )
    return UndecidedRows(counts, connection.execute(query).all(), now)
