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

from airflow_kombo.exceptions import NotSentError, TransportError
from airflow_kombo.statuses import Status


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


def is_from_wrong_server(outcome: Answered) -> bool:
    """Return whether an answer suggests that the request went to somebody who is not Kombo.

    Load balancers in front of Kombo answer 5xx, 408, 429 and 499 by themselves: those say nothing.
    """
    if outcome.from_kombo:
        return False
    return outcome.http_status // 100 in {2, 3} or (
        _is_client_error(outcome) and outcome.http_status != HTTPStatus.TOO_MANY_REQUESTS
    )
