"""Name every status of a row, the groups that statuses form, and our own error codes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

if sys.version_info >= (3, 11):
    from enum import StrEnum
else:
    from backports.strenum import StrEnum


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

DECIDED: Final[Mapping[Decision, Status]] = MappingProxyType(
    {Decision.CREATED: Status.SUCCESS, Decision.NOT_CREATED: Status.RETRYABLE}
)
"""What a decision makes of a row."""

COUNTED: Final = (
    "success",
    "failed",
    "invalid",
    "blocked",
    "retryable",
    "unknown",
    "skipped",
    "held",
)
"""The columns of a run that add up to `planned`."""


NOT_DELIVERED: Final[tuple[str, ...]] = (
    Status.UNKNOWN,
    Status.BLOCKED,
    Status.RETRYABLE,
    HELD,
    Status.FAILED,
    Status.INVALID,
)
"""Counts that a policy may name: statuses, and the rows that others hold."""
