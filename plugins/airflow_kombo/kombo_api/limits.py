"""Read what an answer's headers say of limits, and believe none of it without a bound.

A proxy may have answered, or a server that counts otherwise than Kombo documents: whatever a header
holds, a sender waits for a bounded time only.
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
"""The longest time that a server may make us wait: it bounds every wait that a header asks for.
Kombo's windows are of about a minute, so this is twice as long. Then the server is asked again."""


def number_in(headers: Mapping[str, str], name: str) -> float | None:
    """Read a header that is a number, or None where it is absent, a date or nonsense."""
    if (value := headers.get(name)) is None:
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if 0 <= number < inf else None


def seconds_in(headers: Mapping[str, str], name: str) -> float | None:
    """Read a header that is a number of seconds to wait, at most the longest pause."""
    number = number_in(headers, name)
    return None if number is None else min(number, LONGEST_PAUSE_SECONDS)


def retry_after_in(headers: Mapping[str, str]) -> float | None:
    """Read `Retry-After` in seconds, at most the longest pause; it may be a date (RFC 9110).

    A date counts from the answer's own `Date`, so that it does not matter how our clock goes.
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


HEADROOM: Final = 2
"""Slots of an integration's limit that are left to the customer's other tools."""
_MAY_NAME_A_TIME: Final = frozenset({Verdict.WAIT, Verdict.RETRY})
"""Verdicts whose answer may say when to come back; RETRY is a load balancer's 503, for example."""
_LIMIT_PAUSE_SECONDS: Final = 1.0
"""Before sending again after a 429 that names no time."""


def pause_of(answer: KomboResponse) -> float:
    """Return the seconds that an answer asks to wait before the next request."""
    if answer.verdict not in _MAY_NAME_A_TIME:
        return 0.0
    asked = retry_after_in(answer.headers)
    if answer.verdict is Verdict.RETRY:
        return asked or 0.0
    is_spent = number_in(answer.headers, "ratelimit-remaining") == 0
    reset = seconds_in(answer.headers, "ratelimit-reset") if is_spent else None
    return asked or reset or random.uniform(0.5, 1.5) * _LIMIT_PAUSE_SECONDS  # noqa: S311 - jitter
