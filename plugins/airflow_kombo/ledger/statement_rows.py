"""Parameters of the ledger's statements, by column."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.ledger.ledger_rows import LedgerRow
from airflow_kombo.ledger.outcomes import (
    MOVED_PREFIX,
    OUTCOME,
    AttemptOutcome,
    Claim,
    MovedRow,
    RowOutcome,
    UnsentRow,
    moved_warning,
)
from airflow_kombo.ledger.redaction import Redactor
from airflow_kombo.statuses import Status


def as_read(row: LedgerRow) -> dict[str, Any]:
    """Return the columns to find a status row, if unchanged since the ledger's read."""
    return {**LinkKey.of(row).columns, "status": row.status, "attempts": row.attempts}


def before_change(row: LedgerRow) -> dict[str, Any]:
    """Return the same as `as_read`, beside the new values of the row."""
    key = LinkKey.of(row).columns
    return {
        **{f"before_{name}": value for name, value in key.items()},
        "read_status": row.status,
        "read_attempts": row.attempts,
    }


def moved_warnings(moved: Iterable[MovedRow]) -> list[dict[str, Any]]:
    """Return new warnings of delivered rows with another target in the source."""
    rows = []
    for one in moved:
        if one.bound is None or one.bound.status == Status.SENDING.value:
            continue
        before = list(one.bound.warnings or ())
        others = [text for text in before if not str(text).startswith(MOVED_PREFIX)]
        warnings = [*others, moved_warning(one.request)]
        if warnings != before:
            rows.append({**as_read(one.bound), "warnings": warnings})
    return rows


def released(claim: Claim, outcome: RowOutcome) -> dict[str, Any]:
    """Return a claim with the restored values of the status row.

    :param outcome: The outcome of a row that had no status before.
    """
    request, before = claim.request, claim.before
    if before is None:
        values = {
            **outcome.values,
            "attempts": claim.attempt - 1,
            "request_hash": request.request_hash,
            "url_hash": request.url_hash,
            "assessment_date": request.assessment_date,
        }
        key, run_id = request.key, claim.run_id
    else:
        names = (*OUTCOME, "attempts", "request_hash", "url_hash", "assessment_date")
        values = {name: getattr(before, name) for name in names}
        key, run_id = LinkKey.of(before), before.run_id
    key_before = {f"before_{name}": value for name, value in key.columns.items()}
    return {**_attempt(claim), **values, **key_before, "before_run_id": run_id}


def claimed(claim: Claim, request: str | None) -> dict[str, Any]:
    """Return the status row of a claim.

    :param request: The request as the history stores it.
    """
    return {
        **claim.request.key.columns,
        "status": Status.SENDING.value,
        "assessment_date": claim.request.assessment_date,
        "attempts": claim.attempt,
        "request_hash": claim.request.request_hash,
        "url_hash": claim.request.url_hash,
        "run_id": claim.run_id,
        "request": request,
    }


def unsent(row: UnsentRow, run_id: str, attempts: int) -> dict[str, Any]:
    """Return the status row of an unsent result.

    :param attempts: The number of its attempts so far.
    """
    return {
        **row.key.columns,
        **row.outcome.values,
        "assessment_date": row.assessment_date,
        "attempts": attempts,
        "run_id": run_id,
    }


def recorded(outcomes: Sequence[AttemptOutcome], redact: Redactor) -> list[dict[str, Any]]:
    """Return attempts with their outcomes, in the order of their keys."""
    rows = []
    for one in sorted(outcomes, key=lambda one: one.claim.request.key):
        row = {**_attempt(one.claim), **one.outcome.values, "milliseconds": one.milliseconds}
        if response := redact.response(one.response, one.claim.request):
            row["response"] = response  # a plain success has none, and its row stays as small
        rows.append(row)
    return rows


def _attempt(claim: Claim) -> dict[str, Any]:
    return {**claim.request.key.columns, "run_id": claim.run_id, "attempt": claim.attempt}
