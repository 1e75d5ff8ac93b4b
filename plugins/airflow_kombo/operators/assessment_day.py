"""Which day a run is about, by what Airflow says of the run."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import TYPE_CHECKING

from airflow.sdk import timezone

from airflow_kombo.exceptions import ConfigurationError

if TYPE_CHECKING:
    from airflow.sdk import Context


def day_of(context: Context, assessment_date: date | None = None) -> date:
    """Give the day that is named, else the run's partition, else the date of its logical date.

    :raises ConfigurationError: if the run has none of them, or it is no day.
    """
    dag_run = context["dag_run"]
    if assessment_date:
        return assessment_date
    if dag_run.partition_key:
        return _day_in(dag_run.partition_key)
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


def _day_in(partition_key: str) -> date:
    try:
        return date.fromisoformat(partition_key.strip())
    except ValueError:
        raise ConfigurationError(
            "A day must look like 2026-11-03: correct the run's partition key."
        ) from None
