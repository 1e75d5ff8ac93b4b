"""Undelivered rows of each integration, by reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, false, func, select

from airflow_kombo.kombo_api.explained_codes import Explanation
from airflow_kombo.kombo_api.explanations import Cause
from airflow_kombo.ledger.run_scope import Days
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.statuses import MEANINGS, SENT_AGAIN, UNDELIVERED, Status
from airflow_kombo.web.lookups import left_out_at
from airflow_kombo.web.next_try import Schedule, UnknownSchedule
from airflow_kombo.web.row_counts import has_status


@dataclass(frozen=True)
class Reason:
    """One reason for undelivered rows of an integration.

    :param message: Kombo's sentence about the integration, if the integration is blocked.
    :param rows: Number of the rows.
    :param due: Number of the rows whose day the next scheduled run delivers.
    :param since: The time of the first attempt among these rows.
    :param log_url: Kombo's log of one of these rows.
    """

    status: Status
    error_code: str | None
    http_status: int | None
    title: str | None
    message: str | None
    rows: int
    due: int
    since: datetime | None
    log_url: str | None

    @property
    def explanation(self) -> Explanation:
        """Meaning of the reason, turn and next step."""
        return Cause(self.status, self.error_code, self.http_status).explanation


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
        """Number of rows for the next scheduled run to send again."""
        return sum(reason.due for reason in self.reasons if reason.status in SENT_AGAIN)


def undelivered_rows(
    connection: Connection, tables: Tables, days: Days, schedule: Schedule | UnknownSchedule
) -> list[UndeliveredRows]:
    """Return the integrations with undelivered rows of some days, the most waiting rows first.

    :param connection: A connection that reads the warehouse.
    :param tables: The tables of the write that is shown.
    :param schedule: The schedule of the dag that delivers the rows.
    """
    links = tables.links.c
    is_blocked = links.status == Status.BLOCKED.value
    query = (
        select(
            links.integration_id,
            links.status,
            links.error_code,
            func.max(links.http_status),
            func.max(links.error_title),
            # Only the sentence about a blocked integration is about all of its rows.
            func.max(case((is_blocked, links.error_message), else_=None)),
            func.count(),
            func.sum(case((_is_due(links.assessment_date, schedule), 1), else_=0)),
            func.min(func.coalesce(links.first_sent_at, links.updated_at)),
            func.max(links.log_url),
        )
        .where(
            links.assessment_date.between(days.first, days.last),
            has_status(connection, tables, UNDELIVERED),
            left_out_at(connection, tables).is_(None),
        )
        .group_by(links.integration_id, links.status, links.error_code)
    )
    reasons: dict[str, list[Reason]] = {}
    for integration_id, status, *values in connection.execute(query):
        code, http_status, title, message, rows, due, *rest = values
        reason = Reason(Status(status), code, http_status, title, message, rows, int(due), *rest)
        reasons.setdefault(integration_id, []).append(reason)
    undelivered = [
        UndeliveredRows(name, sorted(found, key=_urgency)) for name, found in reasons.items()
    ]
    return sorted(undelivered, key=lambda one: (-one.waiting, -one.rows, one.integration_id))


def left_out_rows(connection: Connection, tables: Tables, days: Days) -> int:
    """Return the number of undelivered rows of some days that a person has left out."""
    links = tables.links.c
    query = select(func.count()).where(
        links.assessment_date.between(days.first, days.last),
        has_status(connection, tables, UNDELIVERED),
        left_out_at(connection, tables).is_not(None),
    )
    return int(connection.execute(query).scalar_one())


def _is_due(day: ColumnElement[Any], schedule: Schedule | UnknownSchedule) -> ColumnElement[bool]:
    """Build the condition for the days of the next scheduled run; all days if none is known."""
    if isinstance(schedule, UnknownSchedule):
        return day.is_not(None)
    return day.between(*schedule.next_days) if schedule.next_days else false()


def _urgency(reason: Reason) -> tuple[bool, int]:
    """Return a sort key: reasons for a person come first."""
    return not MEANINGS[reason.status].needs_person, UNDELIVERED.index(reason.status)
