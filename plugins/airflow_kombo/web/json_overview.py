"""Answer of the JSON view with the counts of the overview."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import Field

from airflow_kombo.statuses import Status
from airflow_kombo.web.json_models import Answer, Explanation, Moment, RowKey, RunProgress

Number = Annotated[int, Field(ge=0)]
"""Number of rows, from 0."""


class DayCounts(Answer):
    """Rows of one day."""

    day: date = Field(description="The day.")
    rows: Number = Field(description="The number of rows.")
    statuses: dict[Status, Number] = Field(description="The rows by status, without zeros.")


class Reason(Answer):
    """Reason for undelivered rows of an integration."""

    status: Status = Field(description="The status of the rows.")
    error_code: str | None = Field(description="The error code of the rows.")
    http_status: int | None = Field(description="The highest HTTP status of the rows.")
    title: str | None = Field(description="The title of the error.")
    message: str | None = Field(description="Kombo's sentence about a blocked integration.")
    rows: Number = Field(description="The number of rows.")
    due: Number = Field(description="The rows whose day the next scheduled run delivers.")
    since: Moment | None = Field(description="The time of the first attempt of these rows.")
    log_url: str | None = Field(description="Kombo's log of one of these rows.")
    explanation: Explanation = Field(description="Meaning, turn and next step.")


class Undelivered(Answer):
    """Undelivered rows of one integration."""

    integration_id: str = Field(description="The id of the integration.")
    rows: Number = Field(description="The number of undelivered rows.")
    waiting: Number = Field(description="The rows for the next scheduled run to send again.")
    reasons: list[Reason] = Field(description="The reasons, those for a person first.")


class Warned(Answer):
    """Warning about delivered rows."""

    text: str = Field(description="The text of the warning.")
    rows: Number = Field(description="The number of rows.")


class UndecidedRow(RowKey):
    """Row for a person to decide about."""

    error_code: str | None = Field(description="The error code of the row.")
    log_url: str | None = Field(description="Kombo's log of the call. It is not always a URL.")
    sent_at: Moment = Field(description="The time of the last request.")
    days_left: int = Field(description="The whole days until Kombo deletes the log of the call.")


class Undecided(Answer):
    """Rows for a person to decide about, of all days."""

    total: Number = Field(description="The number of these rows.")
    statuses: dict[Status, Number] = Field(description="These rows by status.")
    rows: list[UndecidedRow] = Field(description="The rows with the least time left, at most 20.")


class Counts(Answer):
    """Counts of the overview."""

    read_at: Moment = Field(description="The time of the database.")
    run: RunProgress | None = Field(description="The latest run; null before the first one.")
    days: list[DayCounts] = Field(description="The days of the period, from first to last.")
    integrations: int = Field(description="The number of integrations of all rows.")
    undelivered: list[Undelivered] = Field(
        description="Undelivered rows of the period, the integrations with most waiting rows first."
    )
    left_out: Number = Field(
        description="The undelivered rows of the period that a person has left out."
    )
    waiting_until: str = Field(description="The next try of the waiting rows, for a person.")
    warnings: list[Warned] = Field(description="The most frequent warnings, at most 20.")
    warned: Number = Field(description="The number of rows that were read for `warnings`.")
    is_cut: bool = Field(description="True if more rows have warnings than were read.")
    undecided: Undecided = Field(description="Rows for a person to decide about.")
