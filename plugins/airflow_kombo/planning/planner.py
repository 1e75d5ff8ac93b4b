"""Planner of a run: one action for each row, without a request and without a claim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import chain, islice
from typing import Final

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.kombo_api.request import InvalidRow, MappedRow, RowRequest
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.known_rows import KnownRows
from airflow_kombo.ledger.ledger_rows import LedgerRow
from airflow_kombo.ledger.outcomes import (
    ClaimResult,
    Duplicate,
    LeftOut,
    MovedRow,
    RowOutcome,
    Skipped,
    duplicate,
    moved_warning,
)
from airflow_kombo.planning.unmatched_ids import report_unmatched_ids
from airflow_kombo.rows.mapped_rows import MappedRows
from airflow_kombo.rows.source import Selection
from airflow_kombo.statuses import BINDING, MEANINGS, Action, ErrorCode, Status

_LIMITED: Final = frozenset({Action.SEND, Action.DUPLICATE})
"""Actions that count towards `limit`. A run sends a duplicate if it stops before the other row."""
_LOOKUP_ROWS: Final = 1_000
"""Rows of one lookup in the ledger: SQLite allows no more parameters in a statement."""
_FIRST_LOOKUP_ROWS: Final = 4
"""Rows of the first lookup where the search ends at the first row to send: mostly the first row."""


@dataclass(frozen=True)
class PlannedRow:
    """A row and the action of a run for it.

    :param status: The row's status now, or None if it has none.
    :param request: The row's request, or None if the row cannot become one.
    """

    key: LinkKey
    assessment_date: date | None
    action: Action
    status: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    request: RowRequest | None = None


@dataclass(frozen=True)
class Planner:
    """Parts of a run for the decisions about rows.

    The source is planned once: its query runs once, however often the planner is asked.
    """

    mapped: MappedRows
    ledger: Ledger
    selection: Selection
    run_id: str = ""
    """The run that would send. With `redeliver`, rows that its dag run has sent are left out."""

    def rows(self, first_page: int | None = None) -> Iterator[tuple[str, list[PlannedRow]]]:
        """Plan each integration's rows in pages, up to the limit, and write nothing.

        Two rows with the same link on different pages are both planned to be sent.

        :param first_page: The rows of the first page. Each further page has four times as many as
            the page before it, up to what one lookup allows. By default all have as many.
        """
        left = self.selection.limit
        for integration_id, page in self._pages(first_page or _LOOKUP_ROWS):
            rows = self._plan_rows(page)
            if left is not None:
                rows, left = _cut(rows, left)
            yield integration_id, rows
            if left == 0:
                return

    def _pages(self, size: int) -> Iterator[tuple[str, list[MappedRow]]]:
        for integration_id, planned in sorted(self._planned.items()):
            rows = chain.from_iterable(self.mapped.pages(integration_id, planned))
            while page := list(islice(rows, size)):
                yield integration_id, page
                size = min(4 * size, _LOOKUP_ROWS)

    def plan(self) -> dict[str, int]:
        """Count the rows for a run to read, by integration.

        With a limit, the count ends at the last row that the limit allows to be sent. Skipped and
        `invalid` rows before it do not use up the limit.

        :raises ConfigurationError: if the rows cannot be read, or if none of the ids that the run
            was asked for is known.
        """
        if self.selection.limit is None:
            return {name: rows for name, rows in sorted(self._planned.items()) if rows}
        return dict(+self._planned_within_limit[0])

    def sends_any(self) -> bool:
        """Return whether a run would send a row. The search ends at the first such row."""
        pages = self.rows(_FIRST_LOOKUP_ROWS)
        return any(row.action is Action.SEND for _, rows in pages for row in rows)

    def sent(self) -> Mapping[str, int]:
        """Count the rows to send, by integration."""
        return self._planned_within_limit[1]

    @cached_property
    def _planned(self) -> Mapping[str, int]:
        planned = self.mapped.plan()
        if self.selection.shard.is_whole:  # a shard has only some of the ids
            report_unmatched_ids(self.mapped.unmatched, self.selection, self.ledger)
        return planned

    @cached_property
    def _planned_within_limit(self) -> tuple[Counter[str], Counter[str]]:
        """Count the rows up to the limit, and the rows to send among them, by integration."""
        counts, sent = Counter[str](), Counter[str]()
        for integration_id, rows in self.rows():
            counts[integration_id] += len(rows)
            sent[integration_id] += sum(row.action is Action.SEND for row in rows)
        return counts, sent

    def _plan_rows(self, page: Sequence[MappedRow]) -> list[PlannedRow]:
        requests = [one for one in page if isinstance(one, RowRequest)]
        invalid_keys = [one.key for one in page if isinstance(one, InvalidRow)]
        claims, known = self.ledger.look_up_claims(
            requests, self.selection.redeliver, invalid_keys, self.run_id
        )
        won = {claim.key for claim in claims.won}
        results = iter(claims.results)  # in the order of the requests
        return [
            _plan_invalid(one, known)
            if isinstance(one, InvalidRow)
            else _plan(next(results), known.by_key, won)
            for one in page
        ]


def _cut(rows: list[PlannedRow], left: int) -> tuple[list[PlannedRow], int]:
    """Return the rows up to the limit, and the rest of the limit."""
    for place, row in enumerate(rows, start=1):
        left -= row.action in _LIMITED
        if left == 0:
            return rows[:place], 0
    return rows, left


def _plan(
    result: ClaimResult, known: Mapping[LinkKey, LedgerRow], won: Collection[LinkKey]
) -> PlannedRow:
    """Return a row with the action for its result of a claim."""
    if isinstance(result, Duplicate):
        outcome = duplicate(result.request, result.owner).outcome
        return _planned(result.request, Action.DUPLICATE, known, outcome)
    if isinstance(result, MovedRow):
        return _plan_moved(result)
    if isinstance(result, LeftOut):
        return _planned(result.request, Action.LEFT_OUT, known)
    if isinstance(result, Skipped):
        return _plan_skipped(result.request, known, won)
    return _planned(result.request, Action.SEND, known)


def _plan_moved(moved: MovedRow) -> PlannedRow:
    request = moved.request
    action = Action.SENDING if moved.status == Status.SENDING.value else Action.MOVED
    message = moved_warning(request) if action is Action.MOVED else None
    return PlannedRow(
        request.key,
        request.assessment_date,
        action,
        moved.status,
        error_message=message,
        request=request,
    )


def _plan_skipped(
    request: RowRequest, known: Mapping[LinkKey, LedgerRow], won: Collection[LinkKey]
) -> PlannedRow:
    if request.key in won:
        return duplicate_of(_planned(request, Action.SEND, known))
    row = known[request.key]
    status = Status(row.status)
    if status is Status.SUCCESS:
        is_same = row.request_hash == request.request_hash
        return _planned(request, MEANINGS[status].action if is_same else Action.CHANGED, known)
    outcome = RowOutcome(status, row.error_code, error_message=row.error_message)
    return _planned(request, MEANINGS[status].action, known, outcome)


def duplicate_of(row: PlannedRow, owner: str | None = None) -> PlannedRow:
    """Return a planned row as a duplicate of another one.

    :param owner: The result id of the other row. By default the source has the same row twice.
    """
    message: str | None = "result_id: the same row comes twice, and is sent once"
    if row.request and owner:
        message = duplicate(row.request, owner).outcome.error_message
    return PlannedRow(
        row.key,
        row.assessment_date,
        Action.DUPLICATE,
        row.status,
        ErrorCode.DUPLICATE_OF.value,
        message,
        row.request,
    )


def _planned(
    request: RowRequest,
    action: Action,
    known: Mapping[LinkKey, LedgerRow],
    outcome: RowOutcome | None = None,
) -> PlannedRow:
    row = known.get(request.key)
    return PlannedRow(
        request.key,
        request.assessment_date,
        action,
        row.status if row else None,
        outcome.error_code if outcome else None,
        outcome.error_message if outcome else None,
        request,
    )


def _plan_invalid(row: InvalidRow, known: KnownRows) -> PlannedRow:
    standing = known.standing(row.key)
    status = standing.status if standing else None
    action = Action.INVALID
    if known.is_left_out(row.key.result_id):
        action = Action.LEFT_OUT
    elif status in BINDING:  # it keeps its status although it can no longer become a request
        is_made = status == Status.SUCCESS
        action = Action.CHANGED if is_made else MEANINGS[Status(status)].action
    return PlannedRow(row.key, row.assessment_date, action, status, row.error.code, str(row.error))
