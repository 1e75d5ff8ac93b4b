"""Overview: the latest run, 30 days by status, and rows for a person to decide about."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, Text, and_, cast, func, null, select

from airflow_kombo.database.sql import in_utc, utc_now
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.ledger.time_limits import KOMBO_LOG_DAYS
from airflow_kombo.statuses import AWAITING_DECISION, MEANINGS, SENT_AGAIN, UNDELIVERED, Status
from airflow_kombo.web.lookups import distinct_of, left_out_at
from airflow_kombo.web.run_progress import Progress, progress_of

DAYS: Final = 30
"""Days in the chart and in the lists."""
KOMBO_KEEPS: Final = timedelta(days=KOMBO_LOG_DAYS)
"""Time for which Kombo keeps the log of a call."""

_WARNED_ROWS: Final = 20_000
"""Most rows to read for their warnings, the newest first."""
_SHOWN: Final = 20
"""Most rows or warnings in a list of the overview."""


@dataclass(frozen=True)
class Reason:
    """One reason for undelivered rows of an integration.

    :param since: The time of the first attempt among these rows.
    :param log_url: Kombo's log of one of these rows.
    """

    status: Status
    error_code: str | None
    title: str | None
    rows: int
    since: datetime | None
    log_url: str | None


@dataclass(frozen=True)
class UndeliveredRows:
    """Undelivered rows of one integration, by reason."""

    integration_id: str
    reasons: Sequence[Reason]

    @property
    def rows(self) -> int:
        """Number of undelivered rows."""
        return sum(reason.rows for reason in self.reasons)

    @property
    def waiting(self) -> int:
        """Number of rows for the next run to send again."""
        return sum(reason.rows for reason in self.reasons if reason.status in SENT_AGAIN)


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

    def days_left(self, row: Row[Any]) -> int:
        """Return the whole days until Kombo deletes a row's logs; 0 if they are deleted."""
        sent = row.claimed_at or row.first_sent_at or row.updated_at
        return max(0, (in_utc(sent) + KOMBO_KEEPS - self.now).days)


@dataclass(frozen=True)
class Overview:
    """All data of the overview.

    :param now: The database's time.
    :param days: Rows by day and status, of the 30 days that end with `last_day`.
    :param integrations: The number of all integrations.
    :param warnings: Warnings with the number of their rows, the most frequent first.
    :param warned: The number of rows that were read for `warnings`.
    """

    now: datetime
    progress: Progress | None
    last_day: date | None
    days: Mapping[date, Counter[str]]
    integrations: int
    undelivered: Sequence[UndeliveredRows]
    warnings: Sequence[tuple[str, int]]
    warned: int
    undecided: UndecidedRows

    @property
    def has_run_today(self) -> bool:
        """True if a run has started on this day, in UTC."""
        run = self.progress
        return run is not None and run.started_at.date() == self.now.date()

    @property
    def is_cut(self) -> bool:
        """True if more rows have warnings than were read."""
        return self.warned >= _WARNED_ROWS


def overview(connection: Connection, tables: Tables) -> Overview:
    """Read all data of the overview.

    :param connection: A connection that reads the warehouse.
    :param tables: The tables of the write that is shown.
    """
    now = in_utc(_now(connection))
    last = _last_day(connection, tables, now)
    warnings, warned = _warnings(connection, tables, last)
    return Overview(
        now=now,
        progress=progress_of(connection, tables, now),
        last_day=last,
        days=_days(connection, tables, last) if last else {},
        integrations=len(distinct_of(connection, tables.links.c.integration_id)),
        undelivered=_undelivered(connection, tables, last),
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


def _days(connection: Connection, tables: Tables, last: date) -> dict[date, Counter[str]]:
    links = tables.links.c
    query = (
        select(links.assessment_date, links.status, func.count())
        .where(links.assessment_date.between(_first(last), last))
        .group_by(links.assessment_date, links.status)
    )
    days = {_first(last) + timedelta(days=number): Counter[str]() for number in range(DAYS)}
    for day, status, rows in connection.execute(query):
        days[day][status] = rows
    return days


def _first(last: date) -> date:
    return max(last, date.min + timedelta(days=DAYS)) - timedelta(days=DAYS - 1)


def _undelivered(
    connection: Connection, tables: Tables, last: date | None
) -> list[UndeliveredRows]:
    """Return the integrations with undelivered rows, the most waiting rows first."""
    if last is None:
        return []
    links = tables.links.c
    rows = func.count().label("rows")
    query = (
        select(
            links.integration_id,
            links.status,
            links.error_code,
            func.max(links.error_title).label("title"),
            rows,
            func.min(func.coalesce(links.first_sent_at, links.updated_at)).label("since"),
            func.max(links.log_url).label("log_url"),
        )
        .where(
            links.assessment_date.between(_first(last), last),
            links.status.in_([status.value for status in UNDELIVERED]),
            left_out_at(connection, tables).is_(None),
        )
        .group_by(links.integration_id, links.status, links.error_code)
    )
    reasons: dict[str, list[Reason]] = {}
    for integration_id, status, *values in connection.execute(query):
        reasons.setdefault(integration_id, []).append(Reason(Status(status), *values))
    undelivered = [
        UndeliveredRows(name, sorted(found, key=_urgency)) for name, found in reasons.items()
    ]
    return sorted(undelivered, key=lambda one: (-one.waiting, -one.rows, one.integration_id))


def _urgency(reason: Reason) -> tuple[bool, int]:
    """Return a sort key: reasons for a person come first."""
    return not MEANINGS[reason.status].needs_person, UNDELIVERED.index(reason.status)


def _warnings(
    connection: Connection, tables: Tables, last: date | None
) -> tuple[list[tuple[str, int]], int]:
    """Count the warnings of the newest rows by text, the most frequent first."""
    if last is None:
        return [], 0
    links = tables.links.c
    newest = (
        select(cast(links.warnings, Text).label("warnings"))
        .where(links.warnings.is_not(null()), links.assessment_date.between(_first(last), last))
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
        links.c.status.in_([status.value for status in AWAITING_DECISION]),
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
