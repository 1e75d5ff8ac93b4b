"""Answers of the JSON views. Times are in UTC, and each member is always present."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from airflow_kombo.database.sql import in_utc
from airflow_kombo.kombo_api.explained_codes import Turn
from airflow_kombo.statuses import COUNTED, Status


def _moment(value: object) -> object:
    return in_utc(value).astimezone(timezone.utc) if isinstance(value, datetime) else value


Moment = Annotated[datetime, BeforeValidator(_moment)]
"""Time in UTC: SQLite stores no zone, and PostgreSQL may answer in another one."""
Texts = Annotated[list[str], BeforeValidator(lambda value: value or [])]
"""Texts of a column that may be empty."""
Counts = Annotated[
    dict[str, int],
    Field(json_schema_extra={"propertyNames": {"enum": list(COUNTED)}, "required": list(COUNTED)}),
]
"""Rows of a run by outcome."""


class Answer(BaseModel):
    """Part of an answer."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class Explanation(Answer):
    """Explanation of a row's outcome, in the words of the page."""

    turn: Turn = Field(description="The party with the next step: a person of it, or nobody.")
    meaning: str = Field(description="The meaning of the outcome, in sentences.")
    to_do: str = Field(description="The next step, in sentences.")


class NextTry(Answer):
    """Next try of a row without an order from a person."""

    at: Moment | None = Field(description="The time; null if there is none, or none is known.")
    text: str = Field(description="The time or `never`, with the condition, for a person.")


class Outcome(Answer):
    """Outcome of a row or of an attempt."""

    status: Status = Field(description="The status.")
    error_code: str | None = Field(description="Kombo's error code, or one of docs/errors.md.")
    error_title: str | None = Field(description="The title of the error.")
    error_message: str | None = Field(description="The message of the error.")
    warnings: Texts = Field(description="Kombo's warnings about a delivered row.")
    http_status: int | None = Field(description="The HTTP status of Kombo's response.")
    log_url: str | None = Field(description="Kombo's log of the call. It is not always a URL.")


class RowKey(Answer):
    """Key of a row: the parameters of `row.json`."""

    integration_id: str = Field(description="The id of the integration.")
    target_type: str = Field(description="The type of the target: `application` or `candidate`.")
    target_id: str = Field(description="The id of the target.")
    result_id: str = Field(description="The id of the result.")


class Row(Outcome, RowKey):
    """Row of the status table with an explanation."""

    assessment_date: date | None = Field(description="The day of the row.")
    attempts: int = Field(description="The number of attempts.")
    first_sent_at: Moment | None = Field(description="The time of the first request.")
    updated_at: Moment = Field(description="The time of the last change.")
    run_id: str = Field(description="Our own id of the run that wrote the row last.")
    left_out_by: str | None = Field(description="The person who left the row out.")
    left_out_at: Moment | None = Field(description="The time since which no run sends the row.")
    left_out_reason: str | None = Field(description="The person's reason.")
    explanation: Explanation = Field(description="Meaning, turn and next step.")
    next_try: NextTry = Field(description="The next try.")


class Rows(Answer):
    """Page of rows."""

    rows: list[Row] = Field(description="The rows, in the order of `sort`.")
    next: str | None = Field(
        description="The value of `after` for the next page; null on the last page."
    )
    previous: str | None = Field(
        description="The value of `before` for the page before; null on the first page."
    )


class Attempt(Outcome):
    """Attempt to send a row."""

    attempt: int = Field(description="The number of the attempt, from 1.")
    claimed_at: Moment = Field(description="The time of the request.")
    answered_at: Moment | None = Field(description="The time of the response.")
    milliseconds: int | None = Field(description="The response time, in milliseconds.")
    request: str | None = Field(
        description="The body as stored: null without `store_request`, and with its masks."
    )
    response: str | None = Field(
        description="The response as stored, a JSON text; null for a plain success and an old one."
    )
    resolution: str | None = Field(description="The decision about an unknown attempt.")
    resolved_by: str | None = Field(description="The person who decided.")
    resolved_at: Moment | None = Field(description="The time of the decision.")
    resolution_reason: str | None = Field(description="The person's reason.")
    evidence: str | None = Field(description="The finding of the last look into the ATS.")
    evidence_at: Moment | None = Field(description="The time of that look.")
    run_id: str = Field(description="Our own id of the run.")
    dag_id: str | None = Field(description="The dag of the task that sent the request.")
    dag_run_id: str | None = Field(description="The dag run of that task.")
    task_id: str | None = Field(description="The id of that task.")
    map_index: int | None = Field(description="The index of that task; -1 if it is not mapped.")
    try_number: int | None = Field(description="The try of that task, from 1.")


class Delivery(Answer):
    """Delivery of a row."""

    at: Moment | None = Field(
        description="The time of Kombo's response or, for a decided row, of the request."
    )
    decided_at: Moment | None = Field(
        description="The time of the decision that the request was carried out."
    )


class RowHistory(Answer):
    """One row with every attempt."""

    row: Row = Field(description="The row.")
    delivery: Delivery | None = Field(description="The delivery; null for an undelivered row.")
    history: list[Attempt] = Field(description="The attempts, newest first.")


class RunProgress(Answer):
    """Run with counts: a dag run with all its shards, each by its last try."""

    dag_id: str | None = Field(description="The dag.")
    dag_run_id: str | None = Field(description="The dag run in Airflow.")
    run_id: str | None = Field(description="Our own id of a run without a dag run.")
    assessment_date: date | None = Field(description="The day of the run's first task.")
    started_at: Moment = Field(description="The start.")
    ended_at: Moment | None = Field(description="The end of the last task; null before.")
    expected_at: Moment | None = Field(description="The expected end; null without an estimate.")
    is_silent: bool = Field(description="True if a running task sends no heartbeat any more.")
    planned: int | None = Field(description="The number of planned rows; null before the plan.")
    done: int = Field(description="The number of rows with an outcome.")
    counts: Counts = Field(description="The rows by outcome.")
    errors: list[str] = Field(description="The errors of the tasks.")


class Run(RunProgress):
    """Run of the list."""

    started_by: str = Field(description="The starter, for a person.")
    seconds: float | None = Field(
        description="Seconds from the first start to the last end; null while a task runs."
    )
    sent: int | None = Field(
        description="The number of results that were sent, of all tries; null until the run ends."
    )
    limited: int = Field(description="The number of calls with a 429, of all tries.")


class Runs(Answer):
    """Page of runs."""

    runs: list[Run] = Field(description="The runs, newest first.")
    next: str | None = Field(
        description="The value of `after` for the next page; null on the last page."
    )


class Task(Answer):
    """Try of a task of a run."""

    run_id: str = Field(description="Our own id of the try.")
    task_id: str | None = Field(description="The task in Airflow.")
    map_index: int | None = Field(description="The index of the task; -1 if it is not mapped.")
    try_number: int | None = Field(description="The try, from 1.")
    started_at: Moment = Field(description="The start.")
    heartbeat_at: Moment = Field(description="The last heartbeat.")
    ended_at: Moment | None = Field(description="The end.")
    planned: int | None = Field(description="The number of planned rows.")
    counts: Counts = Field(description="The rows by outcome.")
    error: str | None = Field(description="The error that ended the try.")


class Calls(Answer):
    """Calls of one integration in one run."""

    integration_id: str = Field(description="The id of the integration.")
    sent: int = Field(description="The number of results that were sent.")
    calls: int = Field(description="The number of calls.")
    confirmed: int = Field(description="The number of calls that Kombo confirmed.")
    limited: int = Field(description="The number of calls with a 429.")
    success_rate: float | None = Field(
        description="The share of confirmed calls among all but the 429s, from 0 to 1."
    )
    milliseconds_p50: int | None = Field(
        description="The median of the response times, in milliseconds."
    )
    milliseconds_p95: int | None = Field(
        description="The 95th percentile of the response times, in milliseconds."
    )


class CallsOfDay(Calls):
    """Calls of one integration in the runs that started on one day.

    Of several runs, the response times are those of the run with the most calls.
    """

    day: date = Field(description="The day on which the runs started, in UTC.")


class CallsOfDays(Answer):
    """Calls by integration and day."""

    calls: list[CallsOfDay] = Field(
        description="The newest day first; within a day the lowest success rate first."
    )
    is_cut: bool = Field(description="True if only the newest runs of the period were counted.")


class RunTasks(Answer):
    """One run with tasks and calls."""

    run: Run = Field(description="The run.")
    calls: list[Calls] = Field(
        description="The calls by integration, the lowest success rate first."
    )
    tasks: list[Task] = Field(description="All tries of all tasks, by their start.")
