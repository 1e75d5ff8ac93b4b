"""Attempts as the page shows them: sent, answered, and the link, in sentences that agree.

Every sentence about an attempt is chosen here, by one look at the attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from airflow_kombo.statuses import MEANINGS, ErrorCode, Link, Status

_UNSENT: Final = {ErrorCode.NOT_SENT, ErrorCode.INTEGRATION_FAILING, ErrorCode.RUN_STOPPED}


class Exchange(Enum):
    """Knowledge of an attempt's request and response."""

    UNDER_WAY = auto()
    """A run has the attempt, and has recorded nothing yet."""
    NOT_SENT = auto()
    ANSWERED = auto()
    ANSWER_LOST = auto()
    """The request left, or may have left, and no response arrived."""
    UNRECORDED = auto()
    """The run died before it recorded anything."""


class StoredResponse(BaseModel):
    """Response as the history keeps it.

    :param body: The body up to 8 KB, masked as the deployment wants; None without a body.
    :param is_cut: True if the body was longer.
    :param body_left_out: The reason why the body is not kept.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    status: int
    headers: dict[str, str] = {}
    body: str | None = None
    is_cut: bool = False
    body_left_out: str | None = None


@dataclass(frozen=True)
class ShownAttempt:
    """Attempt of a row.

    :param row: The attempt's row in the history, with the task of its run.
    :param is_under_way: True if a run has the attempt now.
    """

    row: Any
    is_under_way: bool = False

    @property
    def status(self) -> Status:
        """Status of the attempt: an attempt without an outcome, and without a run, is in doubt."""
        status = Status(self.row.status)
        is_left = status is Status.SENDING and not self.is_under_way
        return Status.UNKNOWN if is_left else status

    @property
    def exchange(self) -> Exchange:
        """Knowledge of the request and the response."""
        row = self.row
        if self.is_under_way:
            return Exchange.UNDER_WAY
        if row.status == Status.SENDING or row.error_code == ErrorCode.RUN_DIED:
            return Exchange.UNRECORDED
        if row.http_status is not None or self.status is Status.SUCCESS:
            return Exchange.ANSWERED
        if self.status is Status.UNKNOWN or row.error_code == ErrorCode.ANSWER_LOST:
            return Exchange.ANSWER_LOST
        return Exchange.NOT_SENT if row.error_code in _UNSENT else Exchange.ANSWERED

    @property
    def link(self) -> Link:
        """Knowledge of the link after the attempt, without decisions."""
        return MEANINGS[self.status].link

    @property
    def is_in_doubt(self) -> bool:
        """True if nobody knows or has decided whether the link was made."""
        is_known = self.is_under_way or self.row.resolution
        return self.link is Link.MAY_EXIST and not is_known

    @property
    def is_overruled(self) -> bool:
        """True if the response came after a decision: the response counts."""
        return bool(self.row.resolution) and self.status is not Status.UNKNOWN

    @property
    def response(self) -> StoredResponse | None:
        """Stored response; None if there is none."""
        if not self.row.response:
            return None
        try:
            return StoredResponse.model_validate_json(self.row.response)
        except ValidationError:  # it was written by another program
            return None

    @property
    def why_no_response(self) -> str:
        """Reason why there is no response to show."""
        if self.exchange is not Exchange.ANSWERED:
            return "No response was recorded."
        if self.status is Status.SUCCESS and not self.row.warnings:
            return "A plain success is kept as its status alone."
        return "The response is not kept, or not any more (keep_responses_days)."


def shown_attempts(row: Any, attempts: Sequence[Any]) -> list[ShownAttempt]:
    """Return the attempts of a row as the page shows them.

    :param row: The row of the status table.
    """
    is_sending = row.status == Status.SENDING

    def is_under_way(one: Any) -> bool:
        has_outcome = one.status != Status.SENDING or one.resolution
        return is_sending and one.attempt == row.attempts and not has_outcome

    return [ShownAttempt(one, is_under_way(one)) for one in attempts]
