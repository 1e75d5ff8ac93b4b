"""Verdicts: the meaning of each result of a call, in one table.

The table's source is Kombo's documentation of its error codes and of retries, and its published
OpenAPI document. Only this module decides by an error code or an HTTP status what happens to a row.
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
    """Proof of a call's result about the row, and so the next step."""

    CREATED = "created"
    """The row was written."""
    WAIT = "wait"
    """Not written, because a limit was met: wait and send again. This costs no attempt."""
    RETRY = "retry"
    """Not written: send again, a bounded number of times."""
    REFUSED = "refused"
    """Not written, and the same request would be refused again."""
    BLOCKED = "blocked"
    """Not written, and this integration accepts no row now."""
    STOP = "stop"
    """Not written, and no integration accepts a row from this API key or this IP address."""
    UNKNOWN = "unknown"
    """Written or not, nobody knows: never send again without a decision."""


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
"""The code of a 429 for too many calls at once; any other 429 is not about their number."""

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
"""The published error codes of the ATS actions, each with its verdict."""

_GIVEN_UP: Final = frozenset({408, 499})
"""HTTP statuses of a middlebox that gave up; it may have passed the request on before."""


class Response(Protocol):
    """Response as far as the verdict depends on one."""

    @property
    def http_status(self) -> int:
        """Return the HTTP status."""

    @property
    def error_code(self) -> str | None:
        """Return Kombo's error code, where there is one."""

    @property
    def from_kombo(self) -> bool:
        """Return True if Kombo answered, and no load balancer, proxy or other server."""

    @property
    def succeeded(self) -> bool:
        """Return True if Kombo confirms the write."""

    @property
    def may_have_arrived(self) -> bool:
        """Return True if a middlebox reports a request as passed on and lost."""


def verdict_of(result: Response | TransportError) -> Verdict:
    """Return the verdict on a call's result: by the error code, the body or the HTTP status."""
    if isinstance(result, TransportError):
        return Verdict.RETRY if isinstance(result, NotSentError) else Verdict.UNKNOWN
    if result.error_code:
        return VERDICTS.get(result.error_code, Verdict.UNKNOWN)
    kind = result.http_status // 100
    if result.succeeded or kind == 2:  # noqa: PLR2004 - the class of 2xx
        # Body and status must agree: a success with another status contradicts itself.
        agrees = result.succeeded and kind == 2  # noqa: PLR2004
        return Verdict.CREATED if agrees else Verdict.UNKNOWN
    if kind == 3:  # noqa: PLR2004 - redirects: as a GET, one would "succeed" and create nothing
        return Verdict.RETRY
    return _verdict_of_kombos(result) if result.from_kombo else _verdict_of_foreign(result)


def _verdict_of_kombos(response: Response) -> Verdict:
    """Return the verdict on an error of Kombo's without a code."""
    if response.http_status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED}:
        return Verdict.STOP
    if response.http_status == HTTPStatus.TOO_MANY_REQUESTS:
        return Verdict.WAIT
    return Verdict.REFUSED if _is_client_error(response) else Verdict.UNKNOWN


def _verdict_of_foreign(response: Response) -> Verdict:
    """Return the verdict on another server's error."""
    if response.http_status == HTTPStatus.TOO_MANY_REQUESTS:
        return Verdict.WAIT
    if response.http_status == HTTPStatus.SERVICE_UNAVAILABLE:  # safe to retry, as Kombo documents
        return Verdict.UNKNOWN if response.may_have_arrived else Verdict.RETRY
    return Verdict.RETRY if _is_client_error(response) else Verdict.UNKNOWN


def _is_client_error(response: Response) -> bool:
    return response.http_status // 100 == 4 and response.http_status not in _GIVEN_UP  # noqa: PLR2004


def is_from_wrong_server(response: Response) -> bool:
    """Return True if a response suggests a wrong address.

    Load balancers in front of Kombo answer 5xx, 408, 429 and 499 themselves: these suggest nothing.
    """
    if response.from_kombo:
        return False
    return response.http_status // 100 in {2, 3} or (
        _is_client_error(response) and response.http_status != HTTPStatus.TOO_MANY_REQUESTS
    )
