"""Keep the finished calls of one integration until their outcomes are durable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from airflow_kombo.delivery.held_outcomes import HeldOutcomes
from airflow_kombo.delivery.outcome_writer import OutcomeWriter
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.kombo_api.verdicts import Verdict
from airflow_kombo.ledger.outcomes import AttemptOutcome


@dataclass(frozen=True)
class FinishedCall:
    """One call with outcome and verdict."""

    attempt: AttemptOutcome
    verdict: Verdict

    @property
    def request(self) -> RowRequest:
        """Return the request of the call."""
        return self.attempt.claim.request

    @property
    def key(self) -> LinkKey:
        """Return the key of the row."""
        return self.attempt.claim.request.key


@dataclass(frozen=True)
class RecordingEnds:
    """Callbacks at the end of a recording.

    :param recorded: Called with each call whose outcome is in the status table.
    :param held: Called with calls of which only the attempts were written: others hold the rows.
    :param failed: Called with calls that could not be recorded, and the error.
    :param ended: Called after any of these.
    """

    recorded: Callable[[FinishedCall], None]
    held: Callable[[Sequence[FinishedCall]], None]
    failed: Callable[[Sequence[FinishedCall], BaseException], None]
    ended: Callable[[], None]


class Recording:
    """Calls of one integration in the process of being recorded.

    Rows that others hold are tried again later. Meanwhile they do not count as unrecorded, because
    their attempts have their outcome.
    """

    def __init__(
        self, writer: OutcomeWriter, held_outcomes: HeldOutcomes, ends: RecordingEnds
    ) -> None:
        self.unrecorded = 0
        """Number of calls whose outcome is not durable."""
        self.groups: dict[asyncio.Task[list[AttemptOutcome]], list[FinishedCall]] = {}
        self._writer = writer
        self._held_outcomes = held_outcomes
        self._ends = ends

    def record(self, call: FinishedCall) -> None:
        """Record the outcome of a call, together with others."""
        group = self._writer.record(call.attempt)
        if group not in self.groups:
            self.groups[group] = []
            group.add_done_callback(self._recorded)
        self.groups[group].append(call)
        self.unrecorded += 1

    def abandon(self) -> int:
        """Stop waiting for all groups; return the number of calls in them."""
        calls = sum(map(len, self.groups.values()))
        self.groups.clear()
        return calls

    def _recorded(self, group: asyncio.Task[list[AttemptOutcome]]) -> None:
        calls = self.groups.pop(group, [])  # empty if the group was abandoned
        self.unrecorded -= len(calls)
        if group.cancelled():
            return
        if error := group.exception():
            self._ends.failed(calls, error)
        elif held := self._end_but(group.result(), calls):
            attempts = [call.attempt for call in held]
            again = asyncio.create_task(self._held_outcomes.record(attempts))
            self.groups[again] = held
            again.add_done_callback(self._recorded_again)
        self._ends.ended()

    def _recorded_again(self, group: asyncio.Task[list[AttemptOutcome]]) -> None:
        calls = self.groups.pop(group, [])
        if group.cancelled():
            return
        if error := group.exception():
            self._ends.failed(calls, error)
        else:
            self._ends.held(self._end_but(group.result(), calls))
        self._ends.ended()

    def _end_but(
        self, held: Sequence[AttemptOutcome], calls: Sequence[FinishedCall]
    ) -> list[FinishedCall]:
        """End the calls with free rows; return the calls with held rows."""
        keys = {attempt.claim.request.key for attempt in held}
        left = [call for call in calls if call.key in keys] if keys else []
        for call in calls:
            if not keys or call.key not in keys:
                self._ends.recorded(call)
        return left
