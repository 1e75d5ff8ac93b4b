"""Every status of a row, its meaning in one table, and our own error codes.

SQL, planner, failure policy, page and chart derive from `MEANINGS` whatever depends on a status.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import Final, NamedTuple

if sys.version_info >= (3, 11):
    from enum import StrEnum
else:
    from backports.strenum import StrEnum


class Status(StrEnum):
    """The status of a row, as the status table holds it, from best to worst."""

    SUCCESS = "success"
    SENDING = "sending"
    RETRYABLE = "retryable"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"
    INVALID = "invalid"
    FAILED = "failed"


class Link(Enum):
    """Knowledge of a row's link that comes with a status."""

    MADE = auto()
    MAY_EXIST = auto()
    NOT_MADE = auto()


class NextRun(Enum):
    """Treatment of a row by the next run, without an order from a person."""

    LEAVES_IT = auto()
    SENDS_IT = auto()
    SENDS_WHEN_CHANGED = auto()
    """Sends it when the row or the mapping gives another request."""


class Action(StrEnum):
    """Action of a run for one row, as a dry run shows the action."""

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
    LEFT_OUT = "left out"
    """Nothing: a person has left it out."""


class Meaning(NamedTuple):
    """Meaning of a status: everything else about the status follows."""

    link: Link
    """Knowledge of the row's link."""
    next_run: NextRun
    """Treatment of the row by the next run."""
    action: Action
    """Action for the row, in a dry run, while it gives the same request."""
    needs_person: bool
    """True if only a person can bring the row further."""
    is_counted: bool
    """True if a run may leave a row in this status, and so counts the row."""
    colour: str
    """Colour on the page, in CSS."""


MEANINGS: Final[Mapping[Status, Meaning]] = MappingProxyType(
    {
        Status.SUCCESS: Meaning(
            link=Link.MADE,
            next_run=NextRun.LEAVES_IT,
            action=Action.DELIVERED,
            needs_person=False,
            is_counted=True,
            colour="#2e8b4f",
        ),
        Status.SENDING: Meaning(
            link=Link.MAY_EXIST,
            next_run=NextRun.LEAVES_IT,
            action=Action.SENDING,
            needs_person=False,
            is_counted=False,
            colour="#4a7fd0",
        ),
        Status.RETRYABLE: Meaning(
            link=Link.NOT_MADE,
            next_run=NextRun.SENDS_IT,
            action=Action.SEND,
            needs_person=False,
            is_counted=True,
            colour="#8f7ad6",
        ),
        Status.BLOCKED: Meaning(
            link=Link.NOT_MADE,
            next_run=NextRun.SENDS_IT,
            action=Action.SEND,
            needs_person=True,
            is_counted=True,
            colour="#d98a1f",
        ),
        Status.UNKNOWN: Meaning(
            link=Link.MAY_EXIST,
            next_run=NextRun.LEAVES_IT,
            action=Action.UNKNOWN,
            needs_person=True,
            is_counted=True,
            colour="#7d8794",
        ),
        Status.INVALID: Meaning(
            link=Link.NOT_MADE,
            next_run=NextRun.SENDS_WHEN_CHANGED,
            action=Action.SEND,  # it had no request, so each request is a new one
            needs_person=True,
            is_counted=True,
            colour="#c25fa3",
        ),
        Status.FAILED: Meaning(
            link=Link.NOT_MADE,
            next_run=NextRun.SENDS_WHEN_CHANGED,
            action=Action.REFUSED,
            needs_person=True,
            is_counted=True,
            colour="#cc3b3b",
        ),
    }
)
"""A status without a line here fails at import: the groups below are made of all statuses."""


def _all(condition: Callable[[Meaning], bool]) -> tuple[Status, ...]:
    return tuple(status for status in Status if condition(MEANINGS[status]))


BINDING: Final = frozenset(_all(lambda one: one.link is not Link.NOT_MADE))
"""Statuses whose result stays with its target: its link is there, or may be."""

FINAL: Final = frozenset(_all(lambda one: one.is_counted)) & BINDING
"""Statuses that a later run leaves alone unless a person or `redeliver` says otherwise."""

SENT_AGAIN: Final = frozenset(_all(lambda one: one.next_run is NextRun.SENDS_IT))
"""Statuses that the next run sends by itself."""

PASSING: Final = frozenset(
    _all(lambda one: one.next_run is NextRun.SENDS_IT and not one.needs_person)
)
"""Statuses of rows whose cause may pass by itself, so that another try may deliver them."""

SENT_WHEN_CHANGED: Final = frozenset(_all(lambda one: one.next_run is NextRun.SENDS_WHEN_CHANGED))
"""Statuses that the next run sends only when the row or the mapping gives another request."""

OWNERS: Final = BINDING | SENT_AGAIN
"""Statuses whose row keeps its link on its target: another row with it is a duplicate."""

UNDELIVERED: Final = _all(lambda one: one.is_counted and one.link is not Link.MADE)
"""Statuses of rows that a run could not deliver, in the order in which they are shown."""

AWAITING_DECISION: Final = _all(lambda one: one.link is Link.MAY_EXIST and one.needs_person)
"""Statuses of rows about which only a person, or evidence, can decide."""

SKIPPED: Final = "skipped"
"""The count of rows that a run leaves as they are: done, unchanged, or another run's."""

HELD: Final = "held"
"""The count of rows that a run leaves to the next one: another transaction holds them."""

LEFT_OUT: Final = "left_out"
"""The count of rows that a run does not send because a person has left them out."""

COUNTED: Final[tuple[str, ...]] = (*_all(lambda one: one.is_counted), SKIPPED, HELD, LEFT_OUT)
"""The columns of a run that add up to `planned`."""

NOT_DELIVERED: Final[tuple[str, ...]] = (HELD, *UNDELIVERED)
"""Counts that a failure policy may name."""


class Decision(StrEnum):
    """Decision about a row, of a person or by evidence."""

    CREATED = "created"
    NOT_CREATED = "not created"
    LEAVE_OUT = "leave out"
    """No run sends the row. The row keeps its status."""
    TAKE_BACK = "take back"
    """Runs send the row again, as its status says."""


class ErrorCode(StrEnum):
    """Our own error codes, in the column `error_code`. Kombo's are in `kombo_api/verdicts.py`."""

    MISSING_FIELD = "missing_field"
    """A column is empty, and the request needs its value."""
    INVALID_FIELD = "invalid_field"
    """A value cannot be sent; `error_message` names the field and the fix."""
    DUPLICATE_RESULT_ID = "duplicate_result_id"
    """Another row has the same result id and another target."""
    DUPLICATE_OF = "duplicate_of"
    """Another result has the same link on the same target."""
    NOT_SENT = "not_sent"
    """No server can have read the request."""
    ANSWER_LOST = "answer_lost"
    """The request left, or may have left, and no response arrived."""
    INTEGRATION_FAILING = "integration_failing"
    """The integration kept failing, so the run gave it up before this row."""
    RUN_STOPPED = "run_stopped"
    """The run ended before this row."""
    RUN_DIED = "run_died"
    """The run died while the request was in flight, or may have been."""
    DECIDED_NOT_CREATED = "decided_not_created"
    """A person decided that the link was not created."""
    PROVED_NOT_CREATED = "proved_not_created"
    """A look into the applicant tracking system proved that the link was not created."""


CHANGED: Final = Action.CHANGED.value
"""Word of `redeliver` for delivered rows with another request now."""

REDELIVERABLE: Final[tuple[str, ...]] = (
    *(status.value for status in Status if status is not Status.SENDING),
    CHANGED,
)
"""Words that `redeliver` takes. A `sending` row is another run's, and is never sent again."""

DECIDED: Final[Mapping[Decision, Status]] = MappingProxyType(
    {Decision.CREATED: Status.SUCCESS, Decision.NOT_CREATED: Status.RETRYABLE}
)
"""Status of a row after a decision about its link. The other decisions change no status."""
