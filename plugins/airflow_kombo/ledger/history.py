"""The attempts of a result, and the outcome of a row by all of them.

A row that has a link, or may have one, keeps the status for that. A later attempt that made no
link changes nothing about it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import Connection, select

from airflow_kombo.ledger.ledger_rows import AttemptRow
from airflow_kombo.ledger.outcomes import OUTCOME, RowOutcome
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.statuses import FINAL, Decision, Status

_COLUMNS: Final = (*KEY, "attempt", *OUTCOME, "resolution")


def history(
    connection: Connection, tables: Tables, result_ids: Collection[str]
) -> dict[str, list[AttemptRow]]:
    """Return the attempts of results by result id, oldest first.

    A result without attempts gets an empty list.
    """
    attempts = tables.attempts.c
    found: dict[str, list[Any]] = {result_id: [] for result_id in sorted(set(result_ids))}
    query = select(*(attempts[name] for name in _COLUMNS))
    query = query.where(attempts.result_id.in_(list(found)))
    for row in connection.execute(query.order_by(attempts.attempt, attempts.claimed_at)):
        found[row.result_id].append(row)
    return found


def with_history(outcome: RowOutcome, attempt: int, earlier: Sequence[AttemptRow]) -> RowOutcome:
    """Return the outcome of a row after an attempt, with regard to the other attempts.

    :param outcome: The outcome of the attempt.
    :param attempt: The number of the attempt.
    :param earlier: The result's other attempts, oldest first.
    """
    if outcome.status in FINAL:
        return outcome
    reason = outcome.error_code or _http(outcome.http_status)
    if made := [one for one in earlier if _was_created(one)]:
        warning = (
            f"Attempt {attempt} made no link ({reason}). The link of attempt {made[-1].attempt}"
            " exists."
        )
        return _of_attempt(made[-1], Status.SUCCESS, warnings=(warning,))
    if in_doubt := [one for one in earlier if may_have_been_created(one)]:
        message = (
            f"Attempt {attempt} made no link ({reason}). Attempt {in_doubt[-1].attempt} may have"
            " made one."
        )
        return _of_attempt(in_doubt[-1], Status.UNKNOWN, error_message=message)
    return outcome


def outcome_of_history(attempts: Sequence[AttemptRow]) -> RowOutcome:
    """Return the outcome of an unknown row by the attempts.

    :param attempts: All attempts of the result, oldest first; at least one.
    """
    *earlier, newest = attempts
    if _was_created(newest):
        status = Status.SUCCESS
    elif may_have_been_created(newest):
        status = Status.UNKNOWN
    else:
        # An attempt without an outcome comes here only if a person decided that it made no link.
        known = Status(newest.status or Status.UNKNOWN)
        status = Status.RETRYABLE if known is Status.UNKNOWN else known
    return with_history(_of_attempt(newest, status), newest.attempt, earlier)


def may_have_been_created(attempt: AttemptRow) -> bool:
    """Return True if nobody knows or has decided about the link of an attempt."""
    return attempt.status in {None, Status.UNKNOWN.value} and attempt.resolution is None


def may_have_link(attempt: AttemptRow) -> bool:
    """Return True if an attempt made a link, or may have made one."""
    return _was_created(attempt) or may_have_been_created(attempt)


def _was_created(attempt: AttemptRow) -> bool:
    in_doubt = attempt.status == Status.UNKNOWN.value
    decided = in_doubt and attempt.resolution == Decision.CREATED.value
    return decided or attempt.status == Status.SUCCESS.value


def _http(http_status: int | None) -> str:
    return f"HTTP {http_status}" if http_status else "not sent"


def _of_attempt(
    attempt: AttemptRow,
    status: Status,
    *,
    warnings: tuple[str, ...] = (),
    error_message: str | None = None,
) -> RowOutcome:
    """Return the outcome of an attempt in the history.

    :param warnings: Warnings beside those of the attempt.
    :param error_message: A message instead of the attempt's.
    """
    is_made = status is Status.SUCCESS
    return RowOutcome(
        status,
        error_code=None if is_made else attempt.error_code,
        error_title=None if is_made else attempt.error_title,
        error_message=None if is_made else error_message or attempt.error_message,
        log_url=attempt.log_url,
        http_status=attempt.http_status,
        warnings=(*(attempt.warnings or ()), *warnings),
    )
