"""Which day a run is about, by what Airflow says of the run."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import TYPE_CHECKING

from airflow.sdk import timezone

from airflow_kombo.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.sdk import Context


def day_of(context: Context, assessment_date: str | None = None) -> date:
    """Give the day that is named, else the run's partition, else the date of its logical date.

    :raises ConfigurationError: if the run has none of them, or it is no day.
    """
    dag_run = context["dag_run"]
    named = assessment_date or dag_run.partition_key
    if named:
        return day_in("assessment_date" if assessment_date else "the run's partition key", named)
    if dag_run.logical_date is None:
        raise ConfigurationError(
            "This run has neither a partition key nor a logical date: give the parameter"
            " assessment_date."
        )
    moment: datetime = dag_run.logical_date
    typed: datetime = timezone.make_naive(moment)  # type: ignore[no-untyped-call]
    if typed.time() == time.min:  # a date without a time, as the command line reads it
        return typed.date()
    return moment.astimezone(context["dag"].timezone).date()


def day_in(where: str, text: object) -> date:
    """Read a day.

    :raises ConfigurationError: if it is none, naming `where` to correct it.
    """
    try:
        return date.fromisoformat(str(text).strip())
    except ValueError:
        raise ConfigurationError(f"A day must look like 2026-11-03: correct {where}.") from None
