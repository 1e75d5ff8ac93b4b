"""What each outcome of a call proves about the link, in one table, and the errors that we raise.

The table's source is Kombo's documentation of its error codes and of retries, and its published
OpenAPI document. Nothing outside this module looks at an error code or at an HTTP status.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final, Protocol

if sys.version_info >= (3, 11):
    from enum import StrEnum
else:
    from backports.strenum import StrEnum


class Verdict(StrEnum):
    """What an outcome proves about the link, and so what to do next."""

    CREATED = "created"
    """The link exists."""
    WAIT = "wait"
    """Not created, a limit was met: wait and send again; costs no attempt."""
    RETRY = "retry"
    """Not created: send again, a bounded number of times."""
    REFUSED = "refused"
    """Not created, and sending the same again would change nothing."""
    BLOCKED = "blocked"
    """Not created, and this integration takes none now."""
    STOP = "stop"
    """Not created, and no integration takes links from this key or this address."""
    UNKNOWN = "unknown"
    """Nobody knows whether it was created: never send it again unasked."""


class Status(StrEnum):
    """A row's fate, as the status table has it."""

    SENDING = "sending"
    SUCCESS = "success"
    RETRYABLE = "retryable"
    FAILED = "failed"
    INVALID = "invalid"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"


class Prospect(StrEnum):
    """What a run would do with a row, as a dry run says it."""

    SEND = "send"
    DELIVERED = "delivered"
    """Nothing: its link was made, from the same request."""
    CHANGED = "changed"
    """Nothing: its link was made, and the row would give another request now."""
    REFUSED = "refused"
    """Nothing: it was refused, and would give the same request again."""
    INVALID = "invalid"
    DUPLICATE = "duplicate"
    """Nothing: another row puts the same link on the same target."""
    MOVED = "moved"
    """Nothing: its link was made, or may have been, on another target than the row names now."""
    UNKNOWN = "unknown"
    """Nothing: a person decides about it."""
    SENDING = "sending"
    """Nothing: another run has it."""


class Decision(StrEnum):
    """What a person says about a row that is `unknown`."""

    CREATED = "created"
    NOT_CREATED = "not created"


class TargetType(StrEnum):
    """What a link is put on."""

    CANDIDATE = "candidate"
    APPLICATION = "application"


FINAL: Final = frozenset({Status.SUCCESS, Status.UNKNOWN})
"""Statuses that a later run leaves alone unless a person or `redeliver` says otherwise."""

BINDING: Final = FINAL | {Status.SENDING}
"""Statuses whose result stays with its target: its link is there, or may be."""

SENT_AGAIN: Final = frozenset({Status.RETRYABLE, Status.BLOCKED})
"""Statuses that the next run sends by itself."""

SENT_WHEN_CHANGED: Final = frozenset({Status.FAILED, Status.INVALID})
"""Statuses that the next run sends only when the row or the mapping gives another request."""

OWNERS: Final = BINDING | SENT_AGAIN
"""Statuses whose row keeps its link on its target: another row with it is a duplicate."""

DUPLICATE_RESULT_ID: Final = "duplicate_result_id"
"""The error code of rows that name one result and different targets."""

HELD: Final = "held"
"""Counts a row that somebody's open transaction holds. It is no status: the row keeps its own."""

CHANGED: Final = Prospect.CHANGED.value
"""What `redeliver` calls the successful rows that would give another request now."""

STATUS_OF: Final[Mapping[Verdict, Status]] = MappingProxyType(
    {
        Verdict.CREATED: Status.SUCCESS,
        Verdict.WAIT: Status.RETRYABLE,
        Verdict.RETRY: Status.RETRYABLE,
        Verdict.REFUSED: Status.FAILED,
        Verdict.BLOCKED: Status.BLOCKED,
        Verdict.STOP: Status.RETRYABLE,
        Verdict.UNKNOWN: Status.UNKNOWN,
    }
)

DECIDED: Final[Mapping[Decision, Status]] = MappingProxyType(
    {Decision.CREATED: Status.SUCCESS, Decision.NOT_CREATED: Status.RETRYABLE}
)
"""What a decision makes of a row."""

CONCURRENCY_LIMIT: Final = "PLATFORM.CONCURRENCY_LIMIT_EXCEEDED"
"""The code of a 429 for too many calls at once; any other 429 says nothing of their number."""

VERDICTS: Final[Mapping[str, Verdict]] = MappingProxyType(
    {
        "PLATFORM.RATE_LIMIT_EXCEEDED": Verdict.WAIT,
        CONCURRENCY_LIMIT: Verdict.WAIT,
        "REMOTE.RATE_LIMIT_EXCEEDED": Verdict.RETRY,
        "REMOTE.SERVICE_UNAVAILABLE": Verdict.RETRY,
        "PLATFORM.INPUT_INVALID": Verdict.REFUSED,
        "REMOTE.INPUT_INVALID": Verdict.REFUSED,
        "ATS.JOB_CLOSED": Verdict.REFUSED,
        "ATS.APPLICATION_ALREADY_EXISTS": Verdict.REFUSED,
        "PLATFORM.INTEGRATION_NOT_FOUND": Verdict.BLOCKED,
        "INTEGRATION.PERMISSION_MISSING": Verdict.BLOCKED,
        "INTEGRATION.AUTHENTICATION_INVALID": Verdict.BLOCKED,
        "INTEGRATION.QA_FAILED": Verdict.BLOCKED,
        "INTEGRATION.SETUP_SYNC_PENDING": Verdict.BLOCKED,
        "INTEGRATION.SETUP_INCOMPLETE": Verdict.BLOCKED,
        "INTEGRATION.INACTIVE": Verdict.BLOCKED,
        "INTEGRATION.MODEL_NOT_AVAILABLE": Verdict.BLOCKED,
        "INTEGRATION.MODEL_DISABLED": Verdict.BLOCKED,
        "INTEGRATION.ACTION_NOT_AVAILABLE": Verdict.BLOCKED,
        "INTEGRATION.ACTION_DISABLED": Verdict.BLOCKED,
        "PLATFORM.AUTHENTICATION_INVALID": Verdict.STOP,
        "PLATFORM.IP_NOT_WHITELISTED": Verdict.STOP,
        "PLATFORM.TASK_TIMED_OUT": Verdict.UNKNOWN,
        "PLATFORM.UNKNOWN_ERROR": Verdict.UNKNOWN,
        "REMOTE.UNKNOWN_HTTP_ERROR": Verdict.UNKNOWN,
    }
)
"""The published error codes of the ATS actions, each with what it proves."""

_GIVEN_UP: Final = frozenset({408, 499})
"""A middlebox's word on a request that it passed on, or did not, and gave up."""


class KomboError(Exception):
    """The root of what this package raises on purpose."""


class ConfigurationError(KomboError):
    """A connection, the mapping or a table is not as it must be: a person has to change it."""


class NoConnectionError(ConfigurationError):
    """Airflow knows no connection of that name."""

    def __init__(self, conn_id: str) -> None:
        super().__init__(conn_id)
        self.conn_id = conn_id

    def __str__(self) -> str:
        return (
            f"Airflow has no connection {self.conn_id}: add it to its connections or its secrets"
            f" backend, set AIRFLOW_CONN_{self.conn_id.upper()}, or name another in the operator."
        )


class MappingError(ConfigurationError):
    """The mapping cannot be used, or names a column that the query does not have."""


class LedgerError(KomboError):
    """The ledger cannot be written now, so nothing may be sent."""


class DeclaredDeadError(LedgerError):
    """Others have declared the run dead, so it may not send any more."""


class UnreachableError(KomboError):
    """Kombo could not be asked before the first row was sent; that may pass by itself."""


class RowsHeldError(LedgerError):
    """Somebody else's open transaction holds a row, or a table, for longer than we wait for it."""


class RunStoppedError(KomboError):
    """The run was told to end before it had tried every row; the next one goes on."""


class TooManyRefusedError(KomboError):
    """Every row was tried, and more of them ended badly than the task's policy allows."""


class RowError(KomboError):
    """A row cannot become a request.

    `code` is the status row's `error_code`; the message names the field, the reason and the fix,
    and never quotes the value, which may be a person's.
    """

    def __init__(self, code: str, field: str, reason: str) -> None:
        super().__init__(code, field, reason)  # all of them, so that it survives pickling
        self.code = code
        self.field = field
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


class TransportError(KomboError):
    """A call brought no answer; the message is a cause without any data of the call."""


class NotSentError(TransportError):
    """No server can have read the request: no connection, no TLS, no proxy, no body.

    :param lasting: Whether only a person can mend the cause, such as a certificate.
    """

    def __init__(self, message: str, *, lasting: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting


class AnswerLostError(TransportError):
    """The request left, or may have left, and no answer came: timed out or disconnected."""


class Answered(Protocol):
    """What of an answer decides the verdict."""

    @property
    def http_status(self) -> int:
        """Return the HTTP status."""

    @property
    def error_code(self) -> str | None:
        """Return Kombo's error code, where there is one."""

    @property
    def from_kombo(self) -> bool:
        """Tell Kombo's answers from those of a load balancer, a proxy or another server."""

    @property
    def succeeded(self) -> bool:
        """Return whether Kombo says that the link was written."""

    @property
    def may_have_arrived(self) -> bool:
        """Return whether a middlebox says that it lost a request which it had passed on."""


def verdict_of(outcome: Answered | TransportError) -> Verdict:
    """Return what an outcome proves: by Kombo's error code, else by its word or the HTTP status."""
    if isinstance(outcome, TransportError):
        return Verdict.RETRY if isinstance(outcome, NotSentError) else Verdict.UNKNOWN
    if outcome.error_code:
        return VERDICTS.get(outcome.error_code, Verdict.UNKNOWN)
    kind = outcome.http_status // 100
    if outcome.succeeded or kind == 2:  # noqa: PLR2004 - the class of 2xx
        # Only a 2xx that is Kombo's is its word; a success with another status contradicts itself.
        agrees = outcome.succeeded and kind == 2  # noqa: PLR2004
        return Verdict.CREATED if agrees else Verdict.UNKNOWN
    if kind == 3:  # noqa: PLR2004 - redirects: as a GET, one would "succeed" and create nothing
        return Verdict.RETRY
    return _verdict_of_kombos(outcome) if outcome.from_kombo else _verdict_of_foreign(outcome)


def _verdict_of_kombos(outcome: Answered) -> Verdict:
    """Return what an error of Kombo's without a code proves."""
    if outcome.http_status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED}:
        return Verdict.STOP
    if outcome.http_status == HTTPStatus.TOO_MANY_REQUESTS:
        return Verdict.WAIT
    return Verdict.REFUSED if _is_client_error(outcome) else Verdict.UNKNOWN


def _verdict_of_foreign(outcome: Answered) -> Verdict:
    """Return what an error that is not Kombo's proves: nothing of the row, at most of its way."""
    if outcome.http_status == HTTPStatus.TOO_MANY_REQUESTS:
        return Verdict.WAIT
    if outcome.http_status == HTTPStatus.SERVICE_UNAVAILABLE:  # safe to retry, as Kombo documents
        return Verdict.UNKNOWN if outcome.may_have_arrived else Verdict.RETRY
    return Verdict.RETRY if _is_client_error(outcome) else Verdict.UNKNOWN


def _is_client_error(outcome: Answered) -> bool:
    return outcome.http_status // 100 == 4 and outcome.http_status not in _GIVEN_UP  # noqa: PLR2004


def is_misdirected(outcome: Answered) -> bool:
    """Return whether an answer suggests that the request went to somebody who is not Kombo.

    Load balancers in front of Kombo answer 5xx, 408, 429 and 499 by themselves: those say nothing.
    """
    if outcome.from_kombo:
        return False
    return outcome.http_status // 100 in {2, 3} or (
        _is_client_error(outcome) and outcome.http_status != HTTPStatus.TOO_MANY_REQUESTS
    )
