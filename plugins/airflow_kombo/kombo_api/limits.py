"""Read limits and pauses from a response's headers, each within bounds.

The response may be a proxy's, or of a server that does not count as Kombo documents. Whatever a
header holds, a sender waits for a bounded time only.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from math import inf
from typing import Final

from airflow_kombo.kombo_api.response import KomboResponse
from airflow_kombo.kombo_api.verdicts import Verdict

LONGEST_PAUSE_SECONDS: Final = 120.0
"""Seconds at most of any wait that a header asks for; then a request is sent again. It is twice as
long as Kombo's windows, which are of about a minute."""


def number_in(headers: Mapping[str, str], name: str) -> float | None:
    """Return a header's number, or None where the header is absent, a date or nonsense."""
    if (value := headers.get(name)) is None:
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if 0 <= number < inf else None


def seconds_in(headers: Mapping[str, str], name: str) -> float | None:
    """Return a header's number of seconds to wait, at most the longest pause."""
    number = number_in(headers, name)
    return None if number is None else min(number, LONGEST_PAUSE_SECONDS)


def retry_after_in(headers: Mapping[str, str]) -> float | None:
    """Return `Retry-After` in seconds, at most the longest pause.

    The header may hold a date (RFC 9110). A date is compared to the response's own `Date`, so that
    our clock does not matter.
    """
    if "Retry-After" not in headers:
        return None
    seconds = seconds_in(headers, "Retry-After")
    if seconds is not None or (until := _date_in(headers, "Retry-After")) is None:
        return seconds
    now = _date_in(headers, "Date") or datetime.now(timezone.utc)
    return min(max(0.0, (until - now).total_seconds()), LONGEST_PAUSE_SECONDS)


def _date_in(headers: Mapping[str, str], name: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(headers.get(name, ""))
    except (ValueError, TypeError, LookupError, ArithmeticError):  # by Python's version
        return None
    return date if date.tzinfo else date.replace(tzinfo=timezone.utc)  # HTTP's dates are all in UTC


_MAY_NAME_A_TIME: Final = frozenset({Verdict.WAIT, Verdict.RETRY})
"""Verdicts with a pause in the response; RETRY is a load balancer's 503, for example."""
LIMIT_PAUSE_SECONDS: Final = 1.0
"""Seconds to wait after a 429 that names no time."""


def pause_of(response: KomboResponse, usual: float = LIMIT_PAUSE_SECONDS) -> float:
    """Return the seconds to wait before the next request, as a response asks for.

    :param usual: Seconds to wait on average after a 429 that names no time.
    """
    if response.verdict not in _MAY_NAME_A_TIME:
        return 0.0
    asked = retry_after_in(response.headers)
    if response.verdict is Verdict.RETRY:
        return asked or 0.0
    is_spent = number_in(response.headers, "ratelimit-remaining") == 0
    reset = seconds_in(response.headers, "ratelimit-reset") if is_spent else None
    return asked or reset or random.uniform(0.5, 1.5) * usual  # noqa: S311 - jitter
