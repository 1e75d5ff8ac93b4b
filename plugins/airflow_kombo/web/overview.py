"""What the overview tells: how the last run goes, 30 days by status, and what needs a person."""

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
from airflow_kombo.statuses import MEANINGS, SENT_AGAIN, UNDELIVERED, Status
from airflow_kombo.web.rows import distinct_of
from airflow_kombo.web.run_progress import Progress, progress_of

DAYS: Final = 30
KOMBO_KEEPS: Final = timedelta(days=KOMBO_LOG_DAYS)
"""How long Kombo's logs say what became of a call."""

_WARNED_ROWS: Final = 20_000
"""Rows that are looked at for warnings: the newest that have some."""
_SHOWN: Final = 20


@dataclass(frozen=True)
class Reason:
    """Why rows of an integration did not arrive.

    :param since: When the first of them was tried.
    :param log_url: Kombo's log of one of them.
    """

    status: Status
    error_code: str | None
    title: str | None
    rows: int
    since: datetime | None
    log_url: str | None


@dataclass(frozen=True)
class Trouble:
    """An integration with rows that did not arrive.

    :param waiting: Rows that the next run sends by itself.
    """

    integration_id: str
    reasons: Sequence[Reason]

    @property
    def rows(self) -> int:
        """How many rows did not arrive."""
        return sum(reason.rows for reason in self.reasons)

    @property
    def waiting(self) -> int:
        """How many of them the next run sends by itself."""
        return sum(reason.rows for reason in self.reasons if reason.status in SENT_AGAIN)


@dataclass(frozen=True)
class Unknown:
    """Rows of which nobody knows whether they arrived.

    :param rows: Those that have to be looked up first.
    """

    total: int
    rows: Sequence[Row[Any]]
    now: datetime

    @property
    def log_days(self) -> int:
        """Return the days for which Kombo keeps the log of a call."""
        return KOMBO_KEEPS.days

    def days_left(self, row: Row[Any]) -> int:
        """Give the whole days in which Kombo's logs can still tell; 0 if they are gone."""
        sent = row.claimed_at or row.first_sent_at or row.updated_at
        return max(0, (in_utc(sent) + KOMBO_KEEPS - self.now).days)


@dataclass(frozen=True)
class Overview:
    """Everything on the overview.

    :param days: Rows by day and status, of the 30 days that end with `last_day`.
    :param warned: Rows that were looked at for `warnings`.
    """

    now: datetime
    progress: Progress | None
    last_day: date | None
    days: Mapping[date, Counter[str]]
    integrations: int
    troubles: Sequence[Trouble]
    warnings: Sequence[tuple[str, int]]
    warned: int
    unknown: Unknown

    @property
    def has_run_today(self) -> bool:
        """Whether a run has begun on this day, in UTC."""
        run = self.progress
        return run is not None and run.started_at.date() == self.now.date()

    @property
    def is_cut(self) -> bool:
        """Whether there were more rows with warnings than were looked at."""
        return self.warned >= _WARNED_ROWS


def overview(connection: Connection, tables: Tables) -> Overview:
    """Look at everything."""
    now = in_utc(_now(connection))
    last = _last_day(connection, tables, now)
    troubles = _troubles(connection, tables, last)
    warnings, warned = _warnings(connection, tables, last)
    return Overview(
        now=now,
        progress=progress_of(connection, tables, now),
        last_day=last,
        days=_days(connection, tables, last) if last else {},
        integrations=len(distinct_of(connection, tables.links.c.integration_id)),
        troubles=troubles,
        warnings=warnings,
        warned=warned,
        unknown=_unknown(connection, tables, now),
    )


def _now(connection: Connection) -> datetime:
    moment: datetime = connection.execute(select(utc_now())).scalar_one()
    return moment


def _last_day(connection: Connection, tables: Tables, now: datetime) -> date | None:
    """Give the newest day that has rows, but no typing error in the far future."""
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


def _troubles(connection: Connection, tables: Tables, last: date | None) -> list[Trouble]:
    """Give the integrations of which rows did not arrive, the most held back first."""
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
        )
        .group_by(links.integration_id, links.status, links.error_code)
    )
    reasons: dict[str, list[Reason]] = {}
    for integration_id, status, *told in connection.execute(query):
        reasons.setdefault(integration_id, []).append(Reason(Status(status), *told))
    troubles = [Trouble(name, sorted(found, key=_urgency)) for name, found in reasons.items()]
    return sorted(troubles, key=lambda one: (-one.waiting, -one.rows, one.integration_id))


def _urgency(reason: Reason) -> tuple[bool, int]:
    """Return a sort key: what needs a person comes first."""
    return not MEANINGS[reason.status].needs_person, UNDELIVERED.index(reason.status)


def _warnings(
    connection: Connection, tables: Tables, last: date | None
) -> tuple[list[tuple[str, int]], int]:
    """Give the warnings of the newest rows that have some, by text, the most frequent first."""
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
    found, looked_at = Counter[str](), 0
    for said, rows in connection.execute(texts):
        looked_at += rows
        for text in set(json.loads(said)):
            found[text] += rows
    return found.most_common(_SHOWN), looked_at


def _unknown(connection: Connection, tables: Tables, now: datetime) -> Unknown:
    links, attempts = tables.links, tables.attempts
    is_unknown = links.c.status == Status.UNKNOWN.value
    total = connection.execute(select(func.count()).select_from(links).where(is_unknown)).scalar()
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
        .where(is_unknown)
        .order_by(func.coalesce(attempts.c.claimed_at, links.c.updated_at), links.c.result_id)
        .limit(_SHOWN)
    )
    return Unknown(total or 0, connection.execute(query).all(), now)
