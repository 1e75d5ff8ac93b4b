"""Keep the answered rows of one integration until their outcomes are durable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from airflow_kombo.delivery.held_outcomes import HeldOutcomes
from airflow_kombo.delivery.outcome_writer import OutcomeWriter
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.kombo_api.verdicts import Verdict
from airflow_kombo.ledger.outcomes import AttemptOutcome


@dataclass(frozen=True)
class Answered:
    """A row with what its answer proves."""

    recorded: AttemptOutcome
    verdict: Verdict

    @property
    def key(self) -> LinkKey:
        """Return the row's key."""
        return self.recorded.claim.delivery.key


@dataclass(frozen=True)
class Ends:
    """What is called when the recording of rows has ended.

    :param recorded: With each row whose outcome is in the status table.
    :param held: With rows of which only the attempts were written: others hold the rows.
    :param failed: With rows that could not be recorded, and why.
    :param ended: After any of these.
    """

    recorded: Callable[[Answered], None]
    held: Callable[[Sequence[Answered]], None]
    failed: Callable[[Sequence[Answered], BaseException], None]
    ended: Callable[[], None]


class Recording:
    """What is being recorded, by the group of rows that it is in.

    Rows that others hold are tried again later, and meanwhile do not count as unrecorded: their
    attempts have their outcome.
    """

    def __init__(self, recorder: OutcomeWriter, held_outcomes: HeldOutcomes, ends: Ends) -> None:
        self.unrecorded = 0
        """Rows whose outcome is not durable."""
        self.groups: dict[asyncio.Task[list[AttemptOutcome]], list[Answered]] = {}
        self._recorder = recorder
        self._held_outcomes = held_outcomes
        self._ends = ends

    def record(self, answered: Answered) -> None:
        """Record a row's outcome, together with others."""
        group = self._recorder.record(answered.recorded)
        if group not in self.groups:
            self.groups[group] = []
            group.add_done_callback(self._recorded)
        self.groups[group].append(answered)
        self.unrecorded += 1

    def abandon(self) -> int:
        """Wait for nothing any more; return how many rows were waited for."""
        rows = sum(map(len, self.groups.values()))
        self.groups.clear()
        return rows

    def _recorded(self, group: asyncio.Task[list[AttemptOutcome]]) -> None:
        rows = self.groups.pop(group, [])  # none if nobody waits for it any more
        self.unrecorded -= len(rows)
        if group.cancelled():
            return
        if error := group.exception():
            self._ends.failed(rows, error)
        elif held := self._go_on_but(group.result(), rows):
            recorded = [row.recorded for row in held]
            again = asyncio.create_task(self._held_outcomes.record(recorded))
            self.groups[again] = held
            again.add_done_callback(self._recorded_again)
        self._ends.ended()

    def _recorded_again(self, group: asyncio.Task[list[AttemptOutcome]]) -> None:
        rows = self.groups.pop(group, [])
        if group.cancelled():
            return
        if error := group.exception():
            self._ends.failed(rows, error)
        else:
            self._ends.held(self._go_on_but(group.result(), rows))
        self._ends.ended()

    def _go_on_but(
        self, held: Sequence[AttemptOutcome], rows: Sequence[Answered]
    ) -> list[Answered]:
        """Go on with the rows that are not held, and return the others."""
        keys = {one.claim.delivery.key for one in held}
        for row in rows:
            if row.key not in keys:
                self._ends.recorded(row)
        return [row for row in rows if row.key in keys] if keys else []
