"""Decisions about unknown rows, for lack of a response, and about rows to leave out.

Only rows that are `unknown` at that moment are decided as created or not created. The history
keeps the decision beside the attempt. The attempt keeps the status `unknown` until its response
comes after all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial
from itertools import groupby
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Engine, and_, func, not_, select, true, tuple_

from airflow_kombo.database.sql import beyond, in_utc, utc_now
from airflow_kombo.database.transactions import in_race, transaction
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.ledger.decision_check import LeftLine, check_lines, parts_of
from airflow_kombo.ledger.decision_file import DecidedLine, UnknownRow
from airflow_kombo.ledger.decisions import DecisionBy, decide
from airflow_kombo.ledger.ledger_rows import LedgerRow
from airflow_kombo.ledger.left_out import leave_out, may_be_decided, why_not_decided
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.ledger.unknown_export import UnknownExport
from airflow_kombo.statuses import DECIDED, Decision

BATCH_ROWS: Final = 1_000
"""Rows that are decided in one transaction, and ids in one query."""
NOT_FOUND: Final = "not found"
"""Stands instead of a status, in the results of `UnknownRows.others`."""
_OF_UNKNOWN: Final = Decision.CREATED
"""A decision about unknown rows, for the methods about these alone."""


@dataclass(frozen=True)
class UnknownRowsFilter:
    """A filter of unknown rows. A row has to meet all conditions.

    :param result_ids: Only these results. Empty means all.
    :param integration_ids: Only these integrations. Empty means all.
    :param assessment_date: Only rows of this day.
    :param error_code: Only rows with this `error_code`, such as `run_died`.
    :param run_id: Only rows that this run sent, by the `run_id` of the tables.
    :param until: Only rows that were `unknown` at this time.
    """

    result_ids: tuple[str, ...] = ()
    integration_ids: tuple[str, ...] = ()
    assessment_date: date | None = None
    error_code: str | None = None
    run_id: str | None = None
    until: datetime | None = None

    @property
    def is_everything(self) -> bool:
        """Return True for a filter without a condition."""
        return replace(self, until=None) == UnknownRowsFilter()

    def is_met_by(self, row: LedgerRow) -> bool:
        """Return True if a row meets all conditions but the one on the time."""
        lists = ((self.result_ids, row.result_id), (self.integration_ids, row.integration_id))
        values = (
            (self.assessment_date, row.assessment_date),
            (self.error_code, row.error_code),
            (self.run_id, row.run_id),
        )
        return all(not wanted or value in wanted for wanted, value in lists) and all(
            wanted in {None, value} for wanted, value in values
        )


class UnknownRows:
    """The rows of the ledger for a person's decision, by default the unknown ones.

    `leave out` is about rows of any status but `sending`, and `take back` about those left out.
    """

    def __init__(self, engine: Engine, tables: Tables) -> None:
        self.engine = engine
        self.tables = tables

    def now(self) -> datetime:
        """Return the database's time."""
        with transaction(self.engine, "read its clock", reads_only=True) as connection:
            return in_utc(connection.execute(select(utc_now())).scalar_one())

    def count(self, choice: UnknownRowsFilter) -> dict[tuple[str, str | None], int]:
        """Count the unknown rows by integration and error code."""
        links = self.tables.links.c
        counts: dict[tuple[str, str | None], int] = {}
        for part in _parts(choice):
            query = (
                select(links.integration_id, links.error_code, func.count())
                .where(self._is_open(part))
                .group_by(links.integration_id, links.error_code)
            )
            with transaction(self.engine, "count rows", reads_only=True) as connection:
                for integration_id, code, rows in connection.execute(query):
                    counts[integration_id, code] = counts.get((integration_id, code), 0) + rows
        return counts

    def in_doubt(
        self, choice: UnknownRowsFilter, decision: Decision = _OF_UNKNOWN
    ) -> Iterator[list[str]]:
        """Yield the result ids of the rows open to a decision, in batches."""
        for part in _parts(choice):
            for page in self._pages(part, decision):
                yield [key.result_id for key in page]

    def decide(self, choice: UnknownRowsFilter, decision: DecisionBy) -> Iterator[int]:
        """Decide the rows open to the decision, and yield the number of each batch.

        A row that gets its response meanwhile is left as it is.

        :raises LedgerError: if a batch was not written. The batches before it were.
        """
        for part in _parts(choice):
            after: LinkKey | None = None
            for page in self._pages(part, decision.decision):
                last = page[-1]
                is_open = self._is_open(part, decision.decision)
                batch = and_(is_open, self._between(after, last))
                yield in_race(
                    self.engine, "decide about rows", partial(self._decide, batch, decision)
                )
                after = last

    def export(self, choice: UnknownRowsFilter) -> Iterator[list[UnknownRow]]:
        """Yield the unknown rows in batches, in the order of Kombo's log view."""
        result_ids = frozenset(choice.result_ids)
        # More ids than one statement takes are looked for here: parts would lose the order.
        is_read_whole = len(result_ids) > BATCH_ROWS
        part = replace(choice, result_ids=()) if is_read_whole else choice
        reading = partial(transaction, self.engine, "read unknown rows", reads_only=True)
        for rows in UnknownExport(self.tables, self._is_open(part)).batches(reading):
            yield [row for row in rows if not is_read_whole or row.result_id in result_ids]

    def check(self, choice: UnknownRowsFilter, lines: Sequence[DecidedLine]) -> list[LeftLine]:
        """Return the lines of a file whose rows cannot be decided now.

        :param choice: The conditions that the rows have to meet.
        """
        left: list[LeftLine] = []
        for part in parts_of(lines):
            with transaction(self.engine, "look rows up", reads_only=True) as connection:
                left += check_lines(connection, self.tables, part, choice.is_met_by)
        return left

    def decide_lines(self, lines: Iterable[DecidedLine], person: str) -> Iterator[int]:
        """Decide the rows of a file, and yield the number of each durable batch.

        A row that the decision cannot be about any more, or with another attempt, is left as it is.

        :param person: The name of the person who decided.
        :raises LedgerError: if a batch was not written. The batches before it were.
        """
        order = sorted(lines, key=lambda line: (line.decision, line.reason, line.key))
        for (word, reason), group in groupby(order, lambda line: (line.decision, line.reason)):
            decision = DecisionBy(word, reason, person)
            for part in parts_of(list(group)):
                named = tuple_(*self._key, self.tables.links.c.attempts)
                is_named = named.in_([(*line.key, line.attempt) for line in part])
                batch = and_(self._is_open(UnknownRowsFilter(), word), is_named)
                yield in_race(
                    self.engine, "decide about rows", partial(self._decide, batch, decision)
                )

    def others(
        self, choice: UnknownRowsFilter, decision: Decision = _OF_UNKNOWN
    ) -> Iterator[dict[str, list[str]]]:
        """Yield the named result ids not open to a decision, by reason, in batches.

        An id without a row is under `NOT_FOUND`.
        """
        links = self.tables.links.c
        for part in _parts(choice):
            query = select(links.result_id, links.status, links.left_out_at)
            query = query.where(self._is_chosen(part)).order_by(links.result_id)
            with transaction(self.engine, "look rows up", reads_only=True) as connection:
                found: Sequence[Any] = connection.execute(query).all()
            others: dict[str, list[str]] = {}
            for row in found:
                if why := why_not_decided(row, decision):
                    others.setdefault(why, []).append(row.result_id)
            if missing := sorted(set(part.result_ids) - {row.result_id for row in found}):
                others[NOT_FOUND] = missing
            yield others

    def _decide(
        self, batch: ColumnElement[bool], decision: DecisionBy, connection: Connection
    ) -> int:
        """Decide the rows of one batch, and return their number.

        :param batch: The condition on these rows.
        """
        links = self.tables.links.c
        # Runs lock rows in the order of their keys too, so there is no deadlock.
        query = select(*links).where(batch).order_by(*self._key).with_for_update()
        locked: Sequence[Any] = connection.execute(query).all()
        if not locked:
            return 0
        if decision.decision in DECIDED:
            decide(connection, self.tables, locked, decision)
        else:
            leave_out(connection, self.tables.links, locked, decision)
        return len(locked)

    def _pages(self, part: UnknownRowsFilter, decision: Decision) -> Iterator[list[LinkKey]]:
        after: LinkKey | None = None
        while True:
            is_open = self._is_open(part, decision)
            query = select(*self._key).where(is_open, self._between(after, None))
            with transaction(self.engine, "look rows up", reads_only=True) as connection:
                rows: Sequence[Any] = connection.execute(
                    query.order_by(*self._key).limit(BATCH_ROWS)
                ).all()
            if not rows:
                return
            page = [LinkKey.of(row) for row in rows]
            yield page
            after = page[-1]

    @property
    def _key(self) -> list[ColumnElement[str]]:
        return [self.tables.links.c[name] for name in KEY]

    def _between(self, after: LinkKey | None, last: LinkKey | None) -> ColumnElement[bool]:
        """Build the condition on keys beyond one, up to another. None is no bound."""
        lower = true() if after is None else beyond(self._key, after)
        return lower if last is None else and_(lower, not_(beyond(self._key, last)))

    def _is_open(
        self, part: UnknownRowsFilter, decision: Decision = _OF_UNKNOWN
    ) -> ColumnElement[bool]:
        links = self.tables.links
        by_then = true() if part.until is None else links.c.updated_at <= part.until
        return and_(may_be_decided(links, decision), by_then, self._is_chosen(part))

    def _is_chosen(self, part: UnknownRowsFilter) -> ColumnElement[bool]:
        links = self.tables.links.c
        lists = {"result_id": part.result_ids, "integration_id": part.integration_ids}
        values = {
            "assessment_date": part.assessment_date,
            "error_code": part.error_code,
            "run_id": part.run_id,
        }
        return and_(
            true(),
            *(links[name].in_(wanted) for name, wanted in lists.items() if wanted),
            *(links[name] == wanted for name, wanted in values.items() if wanted is not None),
        )


def _parts(choice: UnknownRowsFilter) -> Iterator[UnknownRowsFilter]:
    """Split a filter, because a database takes only so many ids in one statement."""
    if not choice.result_ids:
        yield choice
        return
    result_ids = sorted(set(choice.result_ids))
    for start in range(0, len(result_ids), BATCH_ROWS):
        yield replace(choice, result_ids=tuple(result_ids[start : start + BATCH_ROWS]))
