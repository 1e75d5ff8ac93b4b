"""What is written of rows that a run did not reach."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from airflow_kombo.exceptions import KomboError
from airflow_kombo.kombo_api.request import InvalidRow
from airflow_kombo.kombo_api.writes import Write
from airflow_kombo.ledger.outcomes import RowOutcome, UnsentRow, invalid
from airflow_kombo.rows.row_keys import Row, assessment_date_of, key_of
from airflow_kombo.statuses import Status


def unreached(
    rows: Iterable[Row], default_integration: str | None, write: Write, reason: RowOutcome
) -> tuple[list[UnsentRow], list[UnsentRow]]:
    """Return rows that were not sent for a reason of the run's, and those that never could be.

    :param reason: Why the run did not reach them.
    """
    waiting, wrong = [], []
    for row in rows:
        key, error = key_of(row, default_integration, write)
        day = assessment_date_of(row)
        if error:
            wrong.append(invalid(InvalidRow(key, day, error)))
        else:
            waiting.append(UnsentRow(key, day, reason))
    return waiting, wrong


def reason_of(
    blocked: RowOutcome | None, failing: str | None, stopped: KomboError | None
) -> RowOutcome:
    """Return why an integration's rows were not sent.

    :param blocked: What the row became whose answer blocked the integration.
    :param failing: What the integration kept failing with until it was given up.
    :param stopped: What the run ended with; None stands for an error in this program.
    """
    if blocked:
        # The text and the log are about the one row that was asked for.
        return replace(blocked, error_message=None, log_url=None, http_status=None)
    if failing:
        message = f"Not sent, its integration kept failing, at last with {failing}"
        return RowOutcome(Status.RETRYABLE, "integration_failing", error_message=message)
    message = f"Not sent, the run ended before it: {stopped or 'an error in this program'}"
    return RowOutcome(Status.RETRYABLE, "run_stopped", error_message=message)
