"""The day of a run, from the parameter or from Airflow's dag run."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import TYPE_CHECKING

from airflow.sdk import timezone

from airflow_kombo.airflow_compat import partition_of
from airflow_kombo.exceptions import ConfigurationError

if TYPE_CHECKING:
    from airflow.sdk import Context


def day_of(context: Context, assessment_date: date | None = None) -> date:
    """Return the named day, else the run's partition, else the date of the logical date.

    :raises ConfigurationError: if the run has none of them, or its partition key is no day.
    """
    dag_run = context["dag_run"]
    if assessment_date:
        return assessment_date
    if partition_key := partition_of(dag_run):
        return _day_in(partition_key)
    if dag_run.logical_date is None:
        raise ConfigurationError(
            "This run has neither a partition key nor a logical date: set the parameter"
            " assessment_date."
        )
    moment: datetime = dag_run.logical_date
    typed: datetime = timezone.make_naive(moment)  # type: ignore[no-untyped-call]
    if typed.time() == time.min:  # the command line reads a date without a time as midnight
        return typed.date()
    return moment.astimezone(context["dag"].timezone).date()


def _day_in(partition_key: str) -> date:
    try:
        return date.fromisoformat(partition_key.strip())
    except ValueError:
        raise ConfigurationError(
            "The run's partition key is no day: correct it to one such as 2026-11-03."
        ) from None
