"""Actions of a person on rows, and the rows open to each of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from airflow_kombo.ledger.left_out import IS_LEFT_OUT, why_not_decided
from airflow_kombo.statuses import AWAITING_DECISION, MEANINGS, Decision, Link, Status

DELIVERED: Final = "delivered already"
NO_DAY: Final = "without a day: no run of a day reads them"
"""Reasons why a plan leaves rows out, beside those of the ledger."""


@dataclass(frozen=True)
class PageAction:
    """An action on rows.

    :param name: The name in addresses.
    :param title: The words on the page.
    :param explanation: The effect, in one or two sentences.
    :param decision: The decision for the deciding dag; None for a run of the delivering dag.
    :param is_dry_run: True if the run only shows what a run would do.
    """

    name: str
    title: str
    explanation: str
    decision: Decision | None = None
    is_dry_run: bool = False

    @property
    def sends(self) -> bool:
        """True if requests leave."""
        return self.decision is None and not self.is_dry_run


SEND_AGAIN: Final = PageAction(
    "send-again",
    "Send again",
    "A run of each day sends these rows, each once. A row that changes before the run claims the"
    " row is not sent on purpose: of two people who confirm the same rows, one sends them.",
)
CREATED: Final = PageAction(
    "created",
    "It was created",
    "The rows become success, and no run sends them again. Look the calls up in Kombo's logs"
    " first.",
    Decision.CREATED,
)
NOT_CREATED: Final = PageAction(
    "not-created",
    "It was not created",
    "The rows become retryable, and the next run of their day sends them. Look the calls up in"
    " Kombo's logs first.",
    Decision.NOT_CREATED,
)
DRY_RUN: Final = PageAction(
    "dry-run",
    "Try what a run would do",
    "A dry run of each day writes the action for each row to the preview table. Nothing is sent,"
    " and no status changes.",
    is_dry_run=True,
)
LEAVE_OUT: Final = PageAction(
    "leave-out",
    "Leave it out for good",
    "No run sends the rows, not even on purpose, until somebody takes this back. They keep their"
    " status.",
    Decision.LEAVE_OUT,
)
TAKE_BACK: Final = PageAction(
    "take-back",
    "Take it back",
    "The rows are no longer left out: runs treat them by their status again.",
    Decision.TAKE_BACK,
)
ACTIONS: Final = {
    one.name: one for one in (SEND_AGAIN, CREATED, NOT_CREATED, DRY_RUN, LEAVE_OUT, TAKE_BACK)
}
"""Actions by name, in the order of the page."""


def why_left(action: PageAction, row: Any, *, may_repeat: bool) -> str | None:
    """Return the reason why a plan leaves a row alone; None for a row of the plan.

    :param may_repeat: True if the person chose delivered rows, so that they are sent again, too.
    """
    if action.decision:
        return why_not_decided(row, action.decision)
    if row.assessment_date is None:
        return NO_DAY
    if action.is_dry_run:
        return None
    if row.left_out_at is not None:
        return IS_LEFT_OUT
    if row.status == Status.SENDING:
        return str(row.status)
    is_made = MEANINGS[Status(row.status)].link is Link.MADE
    return DELIVERED if is_made and not may_repeat else None


def actions_on_row(row: Any) -> list[PageAction]:
    """Return the possible actions on a row."""
    return [action for action in ACTIONS.values() if why_left(action, row, may_repeat=True) is None]


def actions_on_list(status: Status | None, left_out: str | None) -> Iterable[PageAction]:
    """Return the possible actions on a filtered list.

    :param status: The status of all rows of the list; None for any.
    :param left_out: `yes` or `no` if all rows of the list are left out, or none is.
    """
    for action in ACTIONS.values():
        if action is TAKE_BACK and left_out != "yes":
            continue
        if action in {SEND_AGAIN, LEAVE_OUT} and (left_out == "yes" or status is Status.SENDING):
            continue
        if action in {CREATED, NOT_CREATED} and status not in {None, *AWAITING_DECISION}:
            continue
        yield action
