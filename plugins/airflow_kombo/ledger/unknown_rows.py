"""Deciding the unknown: a person says what became of rows whose answer nobody heard.

Only rows that are `unknown` at that moment are touched. The decision stands in the history beside
the attempt that it is about, whose own status stays `unknown` until its answer comes after all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Table,
    and_,
    bindparam,
    func,
    not_,
    select,
    true,
    update,
)

from airflow_kombo.database.sql import beyond, in_utc, utc_now
from airflow_kombo.database.transactions import RaceLostError, in_race, transaction
from airflow_kombo.exceptions import LedgerError
from airflow_kombo.ledger.known_rows import history
from airflow_kombo.ledger.outcomes import RowOutcome, may_have_been_created, with_history
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.statuses import DECIDED, Decision, Status

_BOUND: Final = tuple(f"of_{name}" for name in (*KEY, "attempt"))
BATCH_ROWS: Final = 1_000
"""Rows that are decided in one transaction, and ids that are asked for at once."""
NOT_FOUND: Final = "not found"
"""What `others` says instead of a status."""

_FATES: Final[Mapping[Decision, Mapping[str, Any]]] = {
    Decision.CREATED: {
        "warnings": ["No answer was heard: a person decided that the link was created."],
        "error_code": None,
        "error_message": None,
    },
    Decision.NOT_CREATED: {
        "warnings": None,
        "error_code": "decided_not_created",
        "error_message": "No answer was heard: a person decided that the link was not created.",
    },
}
"""What a decided row says of itself. What Kombo said, if it said anything, stays in the others."""


_NOT_MADE: Final = RowOutcome(Status.RETRYABLE, "decided_not_created")


@dataclass(frozen=True)
class UnknownRowsFilter:
    """Which rows a person decides about; all conditions that are given have to hold.

    :param result_ids: Only these results; none means all.
    :param integration_ids: Only these integrations; none means all.
    :param assessment_date: Only rows of this day.
    :param error_code: Only rows with this `error_code`, such as `run_died`.
    :param run_id: Only rows that this run sent, by the `run_id` of the tables.
    :param until: Only rows that were `unknown` by then.
    """

    result_ids: tuple[str, ...] = ()
    integration_ids: tuple[str, ...] = ()
    assessment_date: date | None = None
    error_code: str | None = None
    run_id: str | None = None
    until: datetime | None = None

    @property
    def is_everything(self) -> bool:
        """Whether no condition is given."""
        return replace(self, until=None) == UnknownRowsFilter()


@dataclass(frozen=True)
class DecisionBy:
    """A person's decision.

    :param by: The person's name in Airflow.
    """

    decision: Decision
    reason: str
    by: str


class UnknownRows:
    """The rows in doubt, and their end."""

    def __init__(self, engine: Engine, tables: Tables) -> None:
        self.engine = engine
        self.tables = tables

    def now(self) -> datetime:
        """Give the database's time."""
        with transaction(self.engine, "read its clock", reads_only=True) as connection:
            return in_utc(connection.execute(select(utc_now())).scalar_one())

    def count(self, choice: UnknownRowsFilter) -> dict[tuple[str, str | None], int]:
        """Count the rows in doubt by integration and error code."""
        links = self.tables.links.c
        counts: dict[tuple[str, str | None], int] = {}
        for part in _parts(choice):
            query = (
                select(links.integration_id, links.error_code, func.count())
                .where(self._in_doubt(part))
                .group_by(links.integration_id, links.error_code)
            )
            with transaction(self.engine, "count rows", reads_only=True) as connection:
                for integration_id, code, rows in connection.execute(query):
                    counts[integration_id, code] = counts.get((integration_id, code), 0) + rows
        return counts

    def in_doubt(self, choice: UnknownRowsFilter) -> Iterator[list[str]]:
        """Give the result ids of the rows in doubt, in batches."""
        for part in _parts(choice):
            for page in self._pages(part):
                yield [row.result_id for row in page]

    def decide(self, choice: UnknownRowsFilter, judgement: DecisionBy) -> Iterator[int]:
        """Decide the rows in doubt, and give the number of each batch when it is durable.

        A row whose answer comes meanwhile is left to its answer.

        :raises LedgerError: if a batch was not written; those before it were.
        """
        for part in _parts(choice):
            after: tuple[str, ...] | None = None
            for page in self._pages(part):
                last = tuple(page[-1])
                batch = and_(self._in_doubt(part), self._between(after, last))
                yield in_race(
                    self.engine, "decide about rows", partial(self._decide, batch, judgement)
                )
                after = last

    def others(self, choice: UnknownRowsFilter) -> Iterator[dict[str, list[str]]]:
        """Give those of the named result ids that are not in doubt, by status, in batches.

        An id that no row has among those that are chosen is under `NOT_FOUND`.
        """
        links = self.tables.links.c
        for part in _parts(choice):
            query = select(links.result_id, links.status).where(self._chosen(part))
            with transaction(self.engine, "look rows up", reads_only=True) as connection:
                found = connection.execute(query.order_by(links.result_id)).all()
            others: dict[str, list[str]] = {}
            for result_id, status in found:
                if status != Status.UNKNOWN.value:
                    others.setdefault(status, []).append(result_id)
            if lost := sorted(set(part.result_ids) - {row.result_id for row in found}):
                others[NOT_FOUND] = lost
            yield others

    def _decide(
        self, batch: ColumnElement[bool], judgement: DecisionBy, connection: Connection
    ) -> int:
        links, attempts = self.tables.links, self.tables.attempts
        # Locked in the order of their keys, as runs lock them: so nobody deadlocks.
        query = select(*self._key, links.c.attempts.label("attempt")).where(batch)
        locked = connection.execute(query.order_by(*self._key).with_for_update()).all()
        if not locked:
            return 0
        known = history(connection, self.tables, [row.result_id for row in locked])
        made, doubtful = _by_history(known, locked, attempts.fullname)
        decided = update(links).where(*_is_bound(links, "attempts"))
        decided = decided.where(links.c.status == Status.UNKNOWN.value)
        decided = decided.values(error_title=None, updated_at=utc_now())
        fate = {"status": DECIDED[judgement.decision].value, **_FATES[judgement.decision]}
        rows = [_bound(row) for row in locked]
        changed = connection.execute(decided.values(**fate), rows)
        if changed.rowcount != len(rows):  # on a database that knows no FOR UPDATE
            raise RaceLostError
        if judgement.decision is Decision.NOT_CREATED and made:
            _keep_made(connection, links, made)
        connection.execute(
            update(attempts)
            .where(*_is_bound(attempts, "attempt"))
            .values(
                resolution=judgement.decision.value,
                resolved_by=judgement.by,
                resolved_at=utc_now(),
                resolution_reason=judgement.reason,
            ),
            [_bound((*one[:4], one.attempt)) for one in doubtful],
        )
        return len(rows)

    def _pages(self, part: UnknownRowsFilter) -> Iterator[Sequence[Any]]:
        after: tuple[str, ...] | None = None
        while True:
            query = select(*self._key).where(self._in_doubt(part), self._between(after, None))
            with transaction(self.engine, "look rows up", reads_only=True) as connection:
                page = connection.execute(query.order_by(*self._key).limit(BATCH_ROWS)).all()
            if not page:
                return
            yield page
            after = tuple(page[-1])

    @property
    def _key(self) -> list[ColumnElement[str]]:
        return [self.tables.links.c[name] for name in KEY]

    def _between(
        self, after: Sequence[str] | None, last: Sequence[str] | None
    ) -> ColumnElement[bool]:
        lower = true() if after is None else beyond(self._key, after)
        return lower if last is None else and_(lower, not_(beyond(self._key, last)))

    def _in_doubt(self, part: UnknownRowsFilter) -> ColumnElement[bool]:
        links = self.tables.links.c
        by_then = true() if part.until is None else links.updated_at <= part.until
        return and_(links.status == Status.UNKNOWN.value, by_then, self._chosen(part))

    def _chosen(self, part: UnknownRowsFilter) -> ColumnElement[bool]:
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


def _by_history(
    attempts: Mapping[str, Sequence[Any]], locked: Sequence[Any], table: str
) -> tuple[list[tuple[Any, RowOutcome]], list[Any]]:
    """Return the rows that have a link from another attempt, and the attempts that are in doubt.

    :raises LedgerError: if a row has no attempt in doubt, where the decision would be kept.
    """
    made, doubtful, lost = [], [], 0
    for row in locked:
        of_row = attempts[row.result_id]
        in_doubt = [one for one in of_row if may_have_been_created(one)]
        lost += not in_doubt
        doubtful += in_doubt
        others = [one for one in of_row if one not in in_doubt]
        kept = with_history(_NOT_MADE, row.attempt, others)
        if kept.status is Status.SUCCESS:
            made.append((row, kept))
    if lost:
        raise LedgerError(
            f"{lost} rows have lost their attempt in {table}, where the decision would be kept:"
            " their batch was not decided."
        )
    return made, doubtful


def _keep_made(
    connection: Connection, links: Table, made: Sequence[tuple[Any, RowOutcome]]
) -> None:
    """Have rows say `success` that have a link from another attempt than those in doubt."""
    names = tuple(_NOT_MADE.values)
    rows = [
        _bound(row) | {f"new_{name}": kept.values[name] for name in names} for row, kept in made
    ]
    values = {name: bindparam(f"new_{name}", type_=links.c[name].type) for name in names}
    connection.execute(update(links).where(*_is_bound(links, "attempts")).values(values), rows)


def _bound(row: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(_BOUND, row, strict=True))


def _parts(choice: UnknownRowsFilter) -> Iterator[UnknownRowsFilter]:
    """Cut a choice so that no statement gets more ids than a database takes."""
    if not choice.result_ids:
        yield choice
        return
    result_ids = sorted(set(choice.result_ids))
    for start in range(0, len(result_ids), BATCH_ROWS):
        yield replace(choice, result_ids=tuple(result_ids[start : start + BATCH_ROWS]))


def _is_bound(table: Table, attempt: str) -> list[ColumnElement[bool]]:
    columns = (*KEY, attempt)
    return [table.c[name] == bindparam(bound) for name, bound in zip(columns, _BOUND, strict=True)]
