"""What becomes of a row: its outcome, and what the next run may do with a row that has one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.exceptions import LedgerError, ResponseLostError, TransportError
from airflow_kombo.kombo_api.request import InvalidRow, RowRequest
from airflow_kombo.kombo_api.response import KomboResponse
from airflow_kombo.kombo_api.verdicts import STATUS_OF, Verdict
from airflow_kombo.statuses import BINDING, CHANGED, FINAL, SENT_AGAIN, Decision, Status

LedgerRow = Any
"""A row of the status table, as it was when we looked."""


@dataclass(frozen=True)
class RowOutcome:
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
    """A row that this run alone may send now, once.

    :param before: The result's status row as it was before, which a release puts back; None if
        there was none.
    """

    delivery: RowRequest
    run_id: str
    attempt: int
    before: LedgerRow | None = None

    @property
    def was_to_be_sent(self) -> bool:
        """Return whether the next run sends the row by itself if the claim is given back."""
        return self.before is None or self.before.status in SENT_AGAIN


class UnconfirmedClaimError(LedgerError):
    """A claim failed, and its COMMIT may have been done all the same.

    :param claims: Those that it may have made; none of them was sent.
    """

    def __init__(self, message: str, claims: tuple[Claim, ...] = ()) -> None:
        super().__init__(message)
        self.claims = claims


@dataclass(frozen=True)
class AttemptOutcome:
    """What became of a claim, and how long the answer took in milliseconds."""

    claim: Claim
    outcome: RowOutcome
    milliseconds: int | None = None


@dataclass(frozen=True)
class UnsentRow:
    """A row whose fate is known without a request: `invalid`, `blocked` or `retryable`."""

    key: LinkKey
    assessment_date: date | None
    outcome: RowOutcome


@dataclass(frozen=True)
class MovedRow:
    """A row whose result is bound to another target: sent there, or being sent.

    :param bound: The result's status row; None if it is being claimed together with this one.
    """

    delivery: RowRequest
    bound: LedgerRow | None

    @property
    def status(self) -> str:
        """Return the result's status."""
        return self.bound.status if self.bound else Status.SENDING.value


@dataclass(frozen=True)
class Claims:
    """What became of the rows that were to be claimed."""

    won: tuple[Claim, ...]
    duplicates: tuple[tuple[RowRequest, str], ...]
    """Rows whose link another row has already, each with that row's result id."""
    skipped: tuple[RowRequest, ...]
    """Rows that are done, in another run's hands, or unchanged since they were refused."""
    moved: tuple[MovedRow, ...] = ()
    """Rows whose result was sent to another target than they name now."""
    held: tuple[RowRequest, ...] = ()
    """Rows that somebody else's open transaction holds: nothing was written of them."""

    @classmethod
    def together(cls, parts: Sequence[Claims], held: Iterable[RowRequest] = ()) -> Claims:
        """Return what became of rows that were claimed in parts.

        :param held: Rows that were in none of them.
        """
        return cls(
            tuple(one for part in parts for one in part.won),
            tuple(one for part in parts for one in part.duplicates),
            tuple(one for part in parts for one in part.skipped),
            tuple(one for part in parts for one in part.moved),
            tuple(held),
        )

    def of(self, deliveries: Iterable[RowRequest]) -> Claims:
        """Give what became of these very rows: another lane may hold a row of the same key."""
        these = set(map(id, deliveries))
        return Claims(
            tuple(claim for claim in self.won if id(claim.delivery) in these),
            tuple(one for one in self.duplicates if id(one[0]) in these),
            tuple(one for one in self.skipped if id(one) in these),
            tuple(one for one in self.moved if id(one.delivery) in these),
            tuple(one for one in self.held if id(one) in these),
        )


def may_be_sent(known: LedgerRow | None, delivery: RowRequest, redeliver: Collection[str]) -> bool:
    """Say whether a row may be claimed, by what the ledger holds of it."""
    if known is None or known.status in SENT_AGAIN or known.status in redeliver:
        return True
    if known.status == Status.FAILED or (known.status == Status.SUCCESS and CHANGED in redeliver):
        return bool(known.request_hash != delivery.request_hash)
    return bool(known.status == Status.INVALID)  # it has become a request: so it has changed


def may_follow(bound: LedgerRow | None, redeliver: Collection[str]) -> bool:
    """Return whether a result may go to another target than the one that its row is on."""
    if bound is None or bound.status not in BINDING:
        return True
    return bound.status != Status.SENDING.value and bool({CHANGED, bound.status} & set(redeliver))


def may_be_recorded_unsent(known: LedgerRow | None, outcome: RowOutcome) -> bool:
    """Say whether a fate without a request may take the place of what the ledger holds."""
    if known is None or known.status in SENT_AGAIN:
        return True
    if known.status in BINDING or outcome.status != Status.INVALID:
        return False
    if known.status == Status.INVALID:
        reason = (outcome.error_code, outcome.error_message)
        return (known.error_code, known.error_message) != reason
    return bool(known.status == Status.FAILED)


def with_history(outcome: RowOutcome, attempt: int, earlier: Sequence[Any]) -> RowOutcome:
    """Return what a row becomes when an attempt ended so, and earlier ones ended as they did.

    A row that has a link, or may have one, is not sent again by itself, whatever became of a later
    attempt: it keeps the status that says so.

    :param attempt: The number of the attempt that ended.
    :param earlier: The result's other attempts, oldest first.
    """
    if outcome.status in FINAL:
        return outcome
    why = outcome.error_code or (f"HTTP {outcome.http_status}" if outcome.http_status else "no try")
    if made := [one for one in earlier if _was_created(one)]:
        told = f"Attempt {attempt} made no link ({why}); the one of attempt {made[-1].attempt} is"
        return _of_attempt(made[-1], Status.SUCCESS, warnings=(f"{told} there.",))
    if doubtful := [one for one in earlier if may_have_been_created(one)]:
        told = f"Attempt {attempt} made no link ({why}); attempt {doubtful[-1].attempt} may have."
        return _of_attempt(doubtful[-1], Status.UNKNOWN, error_message=told)
    return outcome


def outcome_of_history(attempts: Sequence[Any]) -> RowOutcome:
    """Return what a row that was `unknown` is by its attempts, oldest first."""
    *earlier, newest = attempts
    if _was_created(newest):
        status = Status.SUCCESS
    elif may_have_been_created(newest):
        status = Status.UNKNOWN
    else:  # of one that is still `unknown`, a person has decided that it made no link
        known = Status(newest.status)
        status = Status.RETRYABLE if known is Status.UNKNOWN else known
    return with_history(_of_attempt(newest, status), newest.attempt, earlier)


def may_have_been_created(attempt: Any) -> bool:
    """Return whether nobody knows of an attempt, nor has decided, whether it made a link."""
    return attempt.status in {None, Status.UNKNOWN.value} and attempt.resolution is None


def _was_created(attempt: Any) -> bool:
    in_doubt = attempt.status == Status.UNKNOWN.value
    decided = in_doubt and attempt.resolution == Decision.CREATED.value
    return decided or bool(attempt.status == Status.SUCCESS.value)


def _of_attempt(
    attempt: Any,
    status: Status,
    *,
    warnings: tuple[str, ...] = (),
    error_message: str | None = None,
) -> RowOutcome:
    """Return the outcome of an attempt in the history, with something more to say."""
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


def moved_warning(delivery: RowRequest) -> str:
    """Return what a delivered row says once the source names another target for its result."""
    key = delivery.key
    return (
        f"{MOVED_PREFIX} {key.target_type} {key.target_id} of {key.integration_id}. It was not sent"
        " there: redeliver with changed does so, as a second link."
    )


MOVED_PREFIX: Final = "The source names another target now:"


def outcome_of(verdict: Verdict, outcome: KomboResponse | TransportError) -> RowOutcome:
    """Say what an answer, or the lack of one, makes of a row."""
    status = STATUS_OF[verdict]
    if isinstance(outcome, TransportError):
        code = "answer_lost" if isinstance(outcome, ResponseLostError) else "not_sent"
        return RowOutcome(status, code, error_message=str(outcome))
    return RowOutcome(
        status,
        error_code=outcome.error_code,
        error_title=outcome.error_title,
        error_message=outcome.error_message,
        log_url=outcome.log_url,
        http_status=outcome.http_status,
        warnings=outcome.warnings,
    )


def invalid(row: InvalidRow) -> UnsentRow:
    """Say what becomes of a row that cannot become a request."""
    outcome = RowOutcome(Status.INVALID, row.error.code, error_message=str(row.error))
    return UnsentRow(row.key, row.assessment_date, outcome)


def duplicate(delivery: RowRequest, owner: str) -> UnsentRow:
    """Say what becomes of a row whose link another row has already."""
    write, target = delivery.write, delivery.key.target_type
    message = (
        f"{write.once}: the same {write.name.replace('_', ' ')} is on the same {target} as {owner}:"
        f" if these are two results, give each a {write.once} of its own"
    )
    outcome = RowOutcome(Status.INVALID, "duplicate_of", error_message=message)
    return UnsentRow(delivery.key, delivery.assessment_date, outcome)
