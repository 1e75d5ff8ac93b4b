"""What a run would do with each row, found out without doing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import chain, islice
from typing import Final

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.kombo_api.request import InvalidRow, RowRequest
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.ledger_rows import LedgerRow
from airflow_kombo.ledger.outcomes import (
    ClaimResult,
    Duplicate,
    MovedRow,
    RowOutcome,
    Skipped,
    duplicate,
    moved_warning,
)
from airflow_kombo.planning.unmatched_ids import report_unmatched_ids
from airflow_kombo.rows.row_keys import Row
from airflow_kombo.rows.row_mapping import RowMapping
from airflow_kombo.rows.source import Selection, Source
from airflow_kombo.statuses import Action, Status

_STANDS: Final[Mapping[str, Action]] = {
    Status.SUCCESS: Action.CHANGED,
    Status.UNKNOWN: Action.UNKNOWN,
    Status.SENDING: Action.SENDING,
}
"""Statuses that stay what they are when the row cannot become a request any more."""
_LIMITED: Final = frozenset({Action.SEND, Action.DUPLICATE})
"""What counts for a limit: also a duplicate, which is sent if the other one is not reached."""
_LOOKED_UP: Final = 1_000
"""Rows that are looked up in the ledger at once: SQLite takes so many parameters and not more."""
_FIRST_ROWS: Final = 64
"""Rows that are looked up at once where the first that would be sent ends the search."""


@dataclass(frozen=True)
class PlannedRow:
    """A row, and what a run would do with it.

    :param status: Its status now, or None if it has none.
    :param delivery: Its request; None if it cannot become one.
    """

    key: LinkKey
    assessment_date: date | None
    action: Action
    status: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    delivery: RowRequest | None = None


@dataclass(frozen=True)
class Planner:
    """A run's parts, as far as they decide what becomes of a row.

    The source is planned once, so that its query runs once, however often it is asked.
    """

    source: Source
    mapping: RowMapping
    ledger: Ledger
    selection: Selection
    default_integration: str | None
    run_id: str = ""
    """The run that would send: what its dag run has sent on purpose, it does not send again."""

    def rows(self, at_once: int | None = None) -> Iterator[tuple[str, list[PlannedRow]]]:
        """Give each integration's rows, a page at a time, up to the limit; reads only.

        Of two rows with the same link on different pages, both are foreseen to be sent.

        :param at_once: The rows of a page; by default as many as can be looked up at once.
        """
        left = self.selection.limit
        for integration_id, planned in sorted(self._planned.items()):
            for page in self._pages(integration_id, planned, at_once):
                rows = self._plan_rows(page)
                if left is not None:
                    rows, left = _cut(rows, left)
                yield integration_id, rows
                if left == 0:
                    return

    def _pages(self, integration_id: str, planned: int, at_once: int | None) -> Iterator[list[Row]]:
        rows = chain.from_iterable(self.source.pages(integration_id, planned))
        while page := list(islice(rows, at_once or _LOOKED_UP)):
            yield page

    def plan(self) -> dict[str, int]:
        """Count the rows that a run has to look at, by integration.

        With a limit, those among which are so many rows to send: a row that is skipped or `invalid`
        whenever it is met must not use it up.

        :raises ConfigurationError: if the rows cannot be read, or none is of those asked for.
        """
        if self.selection.limit is None:
            return {name: rows for name, rows in sorted(self._planned.items()) if rows}
        return dict(+self._planned_within_limit[0])

    def sends_any(self) -> bool:
        """Return whether a run would send a row; looks no further than at the first of them."""
        return any(row.action == Action.SEND for _, rows in self.rows(_FIRST_ROWS) for row in rows)

    def sent(self) -> int:
        """Count the rows that a run would send."""
        return self._planned_within_limit[1]

    @cached_property
    def _planned(self) -> Mapping[str, int]:
        planned = self.source.plan()
        report_unmatched_ids(self.source.unmatched, self.selection, self.ledger)
        return planned

    @cached_property
    def _planned_within_limit(self) -> tuple[Counter[str], int]:
        """The rows up to the limit by integration, and how many of them would be sent."""
        counts, sent = Counter[str](), 0
        for integration_id, rows in self.rows():
            counts[integration_id] += len(rows)
            sent += sum(row.action is Action.SEND for row in rows)
        return counts, sent

    def _plan_rows(self, page: list[Row]) -> list[PlannedRow]:
        made = [self.mapping.deliveries([row], self.default_integration) for row in page]
        deliveries = [delivery for good, _ in made for delivery in good]
        wrong = [row.key for _, bad in made for row in bad]
        claims, known = self.ledger.look_up_claims(
            deliveries, self.selection.redeliver, wrong, self.run_id
        )
        won = {claim.key for claim in claims.won}
        results = iter(claims.results)  # in the order of the requests
        return [
            _of_invalid(one, known.standing(one.key))
            if isinstance(one, InvalidRow)
            else _planned(next(results), known.by_key, won)
            for good, bad in made
            for one in (*good, *bad)
        ]


def _cut(rows: list[PlannedRow], left: int) -> tuple[list[PlannedRow], int]:
    for place, row in enumerate(rows, start=1):
        left -= row.action in _LIMITED
        if left == 0:
            return rows[:place], 0
    return rows, left


def _planned(
    result: ClaimResult, seen: Mapping[LinkKey, LedgerRow], won: Collection[LinkKey]
) -> PlannedRow:
    """Return a row with the action for its result of a claim."""
    if isinstance(result, Duplicate):
        outcome = duplicate(result.request, result.owner).outcome
        return _of(result.request, Action.DUPLICATE, seen, outcome)
    if isinstance(result, MovedRow):
        return _moved(result)
    if isinstance(result, Skipped):
        return _skipped(result.request, seen, won)
    return _of(result.request, Action.SEND, seen)


def _moved(moved: MovedRow) -> PlannedRow:
    delivery = moved.request
    action = Action.SENDING if moved.status == Status.SENDING.value else Action.MOVED
    message = moved_warning(delivery) if action is Action.MOVED else None
    return PlannedRow(
        delivery.key,
        delivery.assessment_date,
        action,
        moved.status,
        error_message=message,
        delivery=delivery,
    )


def _skipped(
    delivery: RowRequest, seen: Mapping[LinkKey, LedgerRow], won: Collection[LinkKey]
) -> PlannedRow:
    if delivery.key in won:
        return duplicate_of(_of(delivery, Action.SEND, seen))
    known = seen[delivery.key]
    if known.status == Status.SUCCESS:
        same = known.request_hash == delivery.request_hash
        return _of(delivery, Action.DELIVERED if same else Action.CHANGED, seen)
    outcome = RowOutcome(Status(known.status), known.error_code, error_message=known.error_message)
    if known.status == Status.FAILED:
        return _of(delivery, Action.REFUSED, seen, outcome)
    return _of(delivery, Action(known.status), seen, outcome)


def duplicate_of(row: PlannedRow, owner: str | None = None) -> PlannedRow:
    """Give a row that was to be sent as the duplicate that it is.

    :param owner: The other row's result; by default the same, whose row comes twice.
    """
    delivery, code = row.delivery, "duplicate_of"
    message: str | None = "result_id: the same row comes twice, and is sent once"
    if delivery and owner:
        message = duplicate(delivery, owner).outcome.error_message
    return PlannedRow(
        row.key, row.assessment_date, Action.DUPLICATE, row.status, code, message, delivery
    )


def _of(
    delivery: RowRequest,
    action: Action,
    seen: Mapping[LinkKey, LedgerRow],
    outcome: RowOutcome | None = None,
) -> PlannedRow:
    known = seen.get(delivery.key)
    return PlannedRow(
        delivery.key,
        delivery.assessment_date,
        action,
        known.status if known else None,
        outcome.error_code if outcome else None,
        outcome.error_message if outcome else None,
        delivery,
    )


def _of_invalid(row: InvalidRow, known: LedgerRow | None) -> PlannedRow:
    status = known.status if known else None
    action = _STANDS.get(status or "", Action.INVALID)
    return PlannedRow(row.key, row.assessment_date, action, status, row.error.code, str(row.error))
