"""What becomes of a row: its outcome, and what the next run may do with a row that has one."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from airflow_kombo.errors import (
    CHANGED,
    SENT_AGAIN,
    STATUS_OF,
    AnswerLostError,
    LedgerError,
    Status,
    TransportError,
    Verdict,
)
from airflow_kombo.mapping import InvalidRow
from airflow_kombo.models import Answer, Delivery, LinkKey

Seen = Any
"""A row of the status table, as it was when we looked."""


@dataclass(frozen=True)
class Outcome:
    """A row's fate, as the columns of the status table and of the history name it."""

    status: Status
    error_code: str | None = None
    error_title: str | None = None
    error_message: str | None = None
    log_url: str | None = None
    http_status: int | None = None
    warnings: tuple[str, ...] = ()

    @property
    def values(self) -> dict[str, Any]:
        """The columns' values."""
        return {
            "status": self.status.value,
            "warnings": list(self.warnings) or None,
            "error_code": self.error_code,
            "error_title": self.error_title,
            "error_message": self.error_message,
            "log_url": self.log_url,
            "http_status": self.http_status,
        }


@dataclass(frozen=True)
class Claim:
    """A row that this run alone may send now, once."""

    delivery: Delivery
    run_id: str
    attempt: int


class UnheardClaimError(LedgerError):
    """A claim failed, and its COMMIT may have been done all the same.

    :param claims: Those that it may have made; none of them was sent.
    """

    def __init__(self, message: str, claims: tuple[Claim, ...] = ()) -> None:
        super().__init__(message)
        self.claims = claims


@dataclass(frozen=True)
class Recorded:
    """What became of a claim, and how long the answer took in milliseconds."""

    claim: Claim
    outcome: Outcome
    milliseconds: int | None = None


@dataclass(frozen=True)
class Unsent:
    """A row whose fate is known without a request: `invalid`, `blocked` or `retryable`."""

    key: LinkKey
    assessment_date: date | None
    outcome: Outcome


@dataclass(frozen=True)
class Claims:
    """What became of the rows that were to be claimed."""

    won: tuple[Claim, ...]
    duplicates: tuple[tuple[Delivery, str], ...]
    """Rows whose link another row has already, each with that row's result id."""
    skipped: tuple[Delivery, ...]
    """Rows that are done, in another run's hands, or unchanged since they were refused."""

    def of(self, deliveries: Iterable[Delivery]) -> Claims:
        """Give what became of these very rows: another lane may hold a row of the same key."""
        these = set(map(id, deliveries))
        return Claims(
            tuple(claim for claim in self.won if id(claim.delivery) in these),
            tuple(one for one in self.duplicates if id(one[0]) in these),
            tuple(one for one in self.skipped if id(one) in these),
        )


def may_be_sent(known: Seen | None, delivery: Delivery, redeliver: Collection[str]) -> bool:
    """Say whether a row may be claimed, by what the ledger holds of it."""
    if known is None or known.status in SENT_AGAIN or known.status in redeliver:
        return True
    if known.status == Status.FAILED or (known.status == Status.SUCCESS and CHANGED in redeliver):
        return bool(known.request_hash != delivery.request_hash)
    return bool(known.status == Status.INVALID)  # it has become a request: so it has changed


def may_be_noted(known: Seen | None, outcome: Outcome) -> bool:
    """Say whether a fate without a request may take the place of what the ledger holds."""
    if known is None or known.status in SENT_AGAIN:
        return True
    if outcome.status != Status.INVALID:
        return False
    if known.status == Status.INVALID:
        reason = (outcome.error_code, outcome.error_message)
        return (known.error_code, known.error_message) != reason
    return bool(known.status == Status.FAILED)


def outcome_of(verdict: Verdict, outcome: Answer | TransportError) -> Outcome:
    """Say what an answer, or the lack of one, makes of a row."""
    status = STATUS_OF[verdict]
    if isinstance(outcome, TransportError):
        code = "answer_lost" if isinstance(outcome, AnswerLostError) else "not_sent"
        return Outcome(status, code, error_message=str(outcome))
    return Outcome(
        status,
        error_code=outcome.error_code,
        error_title=outcome.error_title,
        error_message=outcome.error_message,
        log_url=outcome.log_url,
        http_status=outcome.http_status,
        warnings=outcome.warnings,
    )


def invalid(row: InvalidRow) -> Unsent:
    """Say what becomes of a row that cannot become a request."""
    outcome = Outcome(Status.INVALID, row.error.code, error_message=str(row.error))
    return Unsent(row.key, row.assessment_date, outcome)


def duplicate(delivery: Delivery, owner: str) -> Unsent:
    """Say what becomes of a row whose link another row has already."""
    write, target = delivery.write, delivery.key.target_type
    message = (
        f"{write.once}: the same {write.name.replace('_', ' ')} is on the same {target} as {owner}:"
        f" if these are two results, give each a {write.once} of its own"
    )
    outcome = Outcome(Status.INVALID, "duplicate_of", error_message=message)
    return Unsent(delivery.key, delivery.assessment_date, outcome)
