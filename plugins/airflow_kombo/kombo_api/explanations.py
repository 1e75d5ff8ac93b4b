"""Explain an outcome by error code, else by HTTP status and status.

Page and log take their sentences from here. The table of codes is in `explained_codes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, NamedTuple

from airflow_kombo.kombo_api.explained_codes import (
    DECIDE,
    KOMBOS,
    OURS,
    STATUS_OF_CODE,
    Explanation,
    Turn,
)
from airflow_kombo.statuses import MEANINGS, Link, NextRun, Status

_EXPLANATIONS: Final[Mapping[str, Explanation]] = {
    **KOMBOS,
    **{code.value: one for code, (_, one) in OURS.items()},
}


class Cause(NamedTuple):
    """Cause of an outcome, as far as an explanation depends on one."""

    status: Status
    error_code: str | None = None
    http_status: int | None = None

    @property
    def explanation(self) -> Explanation:
        """Explanation of the outcome."""
        return explain(*self)


def explain(
    status: Status, error_code: str | None = None, http_status: int | None = None
) -> Explanation:
    """Return the explanation of a row's or an attempt's outcome.

    A code explains only rows of its own status. To a row in doubt, the advice of a refusal, to
    correct the row, would be wrong.
    """
    if error_code and STATUS_OF_CODE.get(error_code) is status:
        return _EXPLANATIONS[error_code]
    meaning = MEANINGS[status]
    if meaning.link is Link.MADE:
        return Explanation(Turn.NOBODY, "Kombo confirmed the write.", "Nothing.")
    if meaning.link is Link.MAY_EXIST:
        return _in_doubt(error_code, http_status) if meaning.needs_person else _SENDING
    if meaning.next_run is NextRun.SENDS_WHEN_CHANGED:
        return _REFUSED
    return _BLOCKED if meaning.needs_person else _to_be_retried(http_status)


_SENDING: Final = Explanation(
    Turn.NOBODY,
    "A run has claimed the row, and sends it.",
    "Nothing. If the run is dead, the next run settles the row.",
)
_REFUSED: Final = Explanation(
    Turn.US,
    "The row was refused, without an error code that this version knows. Nothing was written.",
    "Correct the row or the mapping. The message names the reason.",
)
_BLOCKED: Final = Explanation(
    Turn.US,
    "The integration takes no rows now, and the reason has no error code that this version knows."
    " Nothing was written.",
    "Look at Kombo's message, and at the integration in Kombo's dashboard.",
)


def _in_doubt(error_code: str | None, http_status: int | None) -> Explanation:
    if error_code and error_code not in _EXPLANATIONS:
        meaning = "Kombo answered with an error code that this version does not know."
    elif http_status is None:
        meaning = "No response proves the outcome."
    elif http_status < HTTPStatus.MULTIPLE_CHOICES:
        meaning = f"HTTP {http_status} came, but no confirmation of Kombo's with it."
    else:
        meaning = f"HTTP {http_status} came from Kombo or a server before it, and proves nothing."
    return Explanation(Turn.US, f"{meaning} The row may have been written.", DECIDE)


def _to_be_retried(http_status: int | None) -> Explanation:
    if http_status is None:
        meaning = "The cause may pass by itself."
    elif http_status == HTTPStatus.TOO_MANY_REQUESTS:
        meaning = "Too many requests were sent in a short time."
    elif http_status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        meaning = f"HTTP {http_status} came from a server before Kombo, which took no requests."
    else:
        return Explanation(
            Turn.US,
            f"HTTP {http_status} came: the API key is wrong, or another server than Kombo"
            " answered. Nothing was written.",
            "Check host and password of the connection to Kombo, and the proxy.",
        )
    return Explanation(Turn.NOBODY, f"{meaning} Nothing was written.", "Nothing.")
