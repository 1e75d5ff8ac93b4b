"""Rows of the ledger's tables, as queries return them.

A row is SQLAlchemy's own object. These types name its columns and cost nothing at run time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Protocol

from airflow_kombo.delivery_key import KeyColumns


class OutcomeColumns(Protocol):
    """Columns of an outcome beside the status. See `RowOutcome`."""

    error_code: str | None
    error_title: str | None
    error_message: str | None
    log_url: str | None
    http_status: int | None
    warnings: Sequence[str] | None


class LedgerRow(KeyColumns, OutcomeColumns, Protocol):
    """A row of the status table, as read by the ledger."""

    status: str
    url_hash: str | None
    attempts: int
    request_hash: str | None
    run_id: str
    assessment_date: date | None
    left_out_at: datetime | None


def version_of(row: LedgerRow, own: int = 0) -> str:
    """Return status and attempts of a status row, such as `unknown 2`.

    Every claim and every outcome gives the row another version.

    :param own: The number of the newest attempts not to count.
    """
    return f"{row.status} {row.attempts - own}"


class AttemptRow(KeyColumns, OutcomeColumns, Protocol):
    """A row of the attempts' history.

    `status` is None while the attempt has no outcome. `resolution` is a person's decision.
    """

    attempt: int
    status: str | None
    resolution: str | None
