"""Build the rows that the ledger's statements take, as its columns name them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.ledger.outcomes import (
    MOVED_PREFIX,
    AttemptOutcome,
    Claim,
    LedgerRow,
    MovedRow,
    RowOutcome,
    UnsentRow,
    moved_warning,
)
from airflow_kombo.statuses import Status


def as_seen(row: LedgerRow) -> dict[str, Any]:
    """Return what finds a status row that is still as it was seen."""
    key = LinkKey(*row[:4]).columns
    return {**key, "status": row.status, "attempts": row.attempts}


def as_before(row: LedgerRow) -> dict[str, Any]:
    """Return what finds a status row that is still as it was seen, to be changed."""
    key = LinkKey(*row[:4]).columns
    return {
        **{f"before_{name}": value for name, value in key.items()},
        "seen_status": row.status,
        "seen_attempts": row.attempts,
    }


def warned(moved: Iterable[MovedRow]) -> list[dict[str, Any]]:
    """Return the warnings of delivered rows whose source names another target, where new."""
    rows = []
    for one in moved:
        if one.bound is None or one.bound.status == Status.SENDING.value:
            continue
        before = list(one.bound.warnings or ())
        others = [text for text in before if not str(text).startswith(MOVED_PREFIX)]
        warnings = [*others, moved_warning(one.delivery)]
        if warnings != before:
            rows.append({**as_seen(one.bound), "warnings": warnings})
    return rows


def released(claim: Claim, outcome: RowOutcome) -> dict[str, Any]:
    """Return a claim's row with what the status table gets back."""
    delivery, before = claim.delivery, claim.before
    if before is None:
        was = {
            **outcome.values,
            "attempts": claim.attempt - 1,
            "request_hash": delivery.request_hash,
            "url_hash": delivery.url_hash,
            "assessment_date": delivery.assessment_date,
        }
        key, run_id = delivery.key, claim.run_id
    else:
        names = (*RowOutcome(Status.SENDING).values, "attempts", "request_hash", "url_hash")
        was = {name: getattr(before, name) for name in (*names, "assessment_date")}
        key, run_id = LinkKey(*before[:4]), before.run_id
    back = {f"before_{name}": value for name, value in key.columns.items()}
    return {**_attempt(claim), **was, **back, "before_run_id": run_id}


def claimed(claim: Claim, request: str | None) -> dict[str, Any]:
    """Return a claim's row.

    :param request: What the history keeps of its request.
    """
    delivery = claim.delivery
    return {
        **delivery.key.columns,
        "status": Status.SENDING.value,
        "assessment_date": delivery.assessment_date,
        "attempts": claim.attempt,
        "request_hash": delivery.request_hash,
        "url_hash": delivery.url_hash,
        "run_id": claim.run_id,
        "request": request,
    }


def unsent(row: UnsentRow, run_id: str, attempts: int) -> dict[str, Any]:
    """Return the row of a result that is not sent.

    :param attempts: How often it was sent before.
    """
    return {
        **row.key.columns,
        **row.outcome.values,
        "assessment_date": row.assessment_date,
        "attempts": attempts,
        "run_id": run_id,
    }


def _attempt(claim: Claim) -> dict[str, Any]:
    return {**claim.delivery.key.columns, "run_id": claim.run_id, "attempt": claim.attempt}


def answered(recorded: Sequence[AttemptOutcome]) -> list[dict[str, Any]]:
    """Return the attempts of claims with what became of them, in the order of their keys."""
    return [
        {**_attempt(one.claim), **one.outcome.values, "milliseconds": one.milliseconds}
        for one in sorted(recorded, key=lambda one: one.claim.delivery.key)
    ]
