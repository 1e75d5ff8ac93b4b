"""Outcomes of rows, and results of claims."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from functools import cached_property
from typing import Any, Final, NamedTuple, TypeVar

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.exceptions import LedgerError, ResponseLostError, TransportError
from airflow_kombo.kombo_api.request import InvalidRow, RowRequest
from airflow_kombo.kombo_api.response import KomboResponse
from airflow_kombo.kombo_api.verdicts import STATUS_OF, Verdict
from airflow_kombo.ledger.ledger_rows import LedgerRow
from airflow_kombo.statuses import SENT_AGAIN, ErrorCode, Status


@dataclass(frozen=True)
class RowOutcome:
    """The outcome of a row or of an attempt.

    Each field is a column of the status table and of the attempts' history: see `OUTCOME`.
    """

    status: Status
    error_code: str | None = None
    error_title: str | None = None
    error_message: str | None = None
    log_url: str | None = None
    http_status: int | None = None
    warnings: tuple[str, ...] = ()

    @property
    def values(self) -> dict[str, Any]:
        """Return the values by column, as the tables store them."""
        stored = {"status": self.status.value, "warnings": list(self.warnings) or None}
        return {**vars(self), **stored}


OUTCOME: Final = tuple(field.name for field in fields(RowOutcome))
"""Columns of an outcome. Tables and statements derive from this."""


@dataclass(frozen=True)
class Claim:
    """The right of one run to send one request once.

    :param before: The result's status row before the claim. A release puts it back. None if there
        was no row.
    """

    request: RowRequest
    run_id: str
    attempt: int
    before: LedgerRow | None = None

    @property
    def key(self) -> LinkKey:
        """Return the key of the request."""
        return self.request.key

    @property
    def was_to_be_sent(self) -> bool:
        """Return True if the next run sends the row by itself after a release."""
        return self.before is None or self.before.status in SENT_AGAIN


class Duplicate(NamedTuple):
    """A request with the link of another row of the same target.

    :param owner: The result id of the other row.
    """

    request: RowRequest
    owner: str


class Skipped(NamedTuple):
    """A request of a row already done, claimed by another run, or refused and unchanged."""

    request: RowRequest


class LeftOut(NamedTuple):
    """A request of a result left out by a person."""

    request: RowRequest


class Held(NamedTuple):
    """A request of a row held by another transaction. Nothing was written."""

    request: RowRequest


class MovedRow(NamedTuple):
    """A request of a result already sent to another target, or being sent there.

    :param bound: The result's status row. None if the other target is claimed in the same batch.
    """

    request: RowRequest
    bound: LedgerRow | None

    @property
    def key(self) -> LinkKey:
        """Return the key of the request."""
        return self.request.key

    @property
    def status(self) -> str:
        """Return the result's status."""
        return str(self.bound.status) if self.bound else Status.SENDING.value


ClaimResult = Claim | Duplicate | Skipped | MovedRow | LeftOut | Held
"""The answer to one request of a claim."""

_Kind = TypeVar("_Kind", Claim, Duplicate, Skipped, MovedRow, LeftOut, Held)


@dataclass(frozen=True)
class Claims:
    """The results of one claim, one for each request, in the order of the requests."""

    results: Sequence[ClaimResult] = ()

    def part(self, start: int, requests: int) -> Claims:
        """Return the results of some requests, side by side.

        :param start: The place of the first of them.
        :param requests: The number of requests.
        """
        return Claims(self.results[start : start + requests])

    @property
    def won(self) -> tuple[Claim, ...]:
        """Return the successful claims."""
        return self._all(Claim)

    @property
    def duplicates(self) -> tuple[Duplicate, ...]:
        """Return the requests with the link of another row."""
        return self._all(Duplicate)

    @property
    def skipped(self) -> tuple[RowRequest, ...]:
        """Return the requests of unchanged rows."""
        return tuple(one.request for one in self._all(Skipped))

    @property
    def moved(self) -> tuple[MovedRow, ...]:
        """Return the requests of results on another target."""
        return self._all(MovedRow)

    @property
    def left_out(self) -> tuple[RowRequest, ...]:
        """Return the requests of results left out by a person."""
        return tuple(one.request for one in self._all(LeftOut))

    @property
    def held(self) -> tuple[RowRequest, ...]:
        """Return the requests of held rows."""
        return tuple(one.request for one in self._all(Held))

    def _all(self, kind: type[_Kind]) -> tuple[_Kind, ...]:
        return tuple(self._by_kind.get(kind, ()))

    @cached_property
    def _by_kind(self) -> Mapping[type, list[Any]]:
        by_kind = defaultdict[type, list[Any]](list)
        for one in self.results:
            by_kind[type(one)].append(one)
        return by_kind


class UnconfirmedClaimError(LedgerError):
    """A claim failed, but the database may have committed it.

    :param claims: The claims that may exist. None of them was sent.
    """

    def __init__(self, message: str, claims: tuple[Claim, ...] = ()) -> None:
        super().__init__(message)
        self.claims = claims


@dataclass(frozen=True)
class AttemptOutcome:
    """The outcome of a claim's attempt.

    :param milliseconds: The time of the call. None if there was no call.
    :param response: The response. None if there was none.
    """

    claim: Claim
    outcome: RowOutcome
    milliseconds: int | None = None
    response: KomboResponse | None = None

    @property
    def key(self) -> LinkKey:
        """Return the key of the claim."""
        return self.claim.request.key


@dataclass(frozen=True)
class UnsentRow:
    """A row with an outcome without a request: `invalid`, `blocked` or `retryable`."""

    key: LinkKey
    assessment_date: date | None
    outcome: RowOutcome


class UnwrittenRows(NamedTuple):
    """Keys of rows without their new outcome.

    :param left: Rows that are final, refused, or sent by another run.
    :param left_out: Rows of results that a person has left out.
    """

    left: list[LinkKey]
    left_out: list[LinkKey]


def outcome_of(verdict: Verdict, result: KomboResponse | TransportError) -> RowOutcome:
    """Return the outcome of a row after a call.

    :param result: The response, or the transport error that came instead of it.
    """
    status = STATUS_OF[verdict]
    if isinstance(result, TransportError):
        lost = isinstance(result, ResponseLostError)
        code = ErrorCode.ANSWER_LOST if lost else ErrorCode.NOT_SENT
        return RowOutcome(status, code.value, error_message=str(result))
    return RowOutcome(
        status,
        error_code=result.error_code,
        error_title=result.error_title,
        error_message=result.error_message,
        log_url=result.log_url,
        http_status=result.http_status,
        warnings=result.warnings,
    )


def invalid(row: InvalidRow) -> UnsentRow:
    """Return the outcome of an invalid row."""
    outcome = RowOutcome(Status.INVALID, row.error.code, error_message=str(row.error))
    return UnsentRow(row.key, row.assessment_date, outcome)


def duplicate(request: RowRequest, owner: str) -> UnsentRow:
    """Return the outcome of a row with the link of another row.

    :param owner: The result id of the other row.
    """
    write, target = request.write, request.key.target_type
    message = (
        f"{write.once}: the same {write.name.replace('_', ' ')} is on the same {target} as {owner}:"
        f" if these are two results, give each a {write.once} of its own"
    )
    outcome = RowOutcome(Status.INVALID, ErrorCode.DUPLICATE_OF.value, error_message=message)
    return UnsentRow(request.key, request.assessment_date, outcome)


MOVED_PREFIX: Final = "The source names another target now:"
"""The beginning of the warning of a row whose source names another target."""


def moved_warning(request: RowRequest) -> str:
    """Return the warning of a delivered row with another target in the source."""
    key = request.key
    return (
        f"{MOVED_PREFIX} {key.target_type} {key.target_id} of {key.integration_id}. It was not sent"
        " there. To send it there as a second link, start a run with redeliver: changed."
    )
