"""SQL statements of the ledger.

Each is built once, because building one takes longer than running it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Delete,
    Engine,
    Insert,
    Integer,
    Select,
    String,
    Table,
    Update,
    and_,
    bindparam,
    case,
    delete,
    func,
    not_,
    null,
    or_,
    select,
    update,
)

from airflow_kombo.database.bulk_writes import Bulk
from airflow_kombo.database.sql import utc_now, without_index
from airflow_kombo.ledger.lookup import Lookup
from airflow_kombo.ledger.outcomes import OUTCOME
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.statuses import SENT_AGAIN, Status

_ATTEMPT: Final = (*KEY, "run_id", "attempt")
_CALL: Final = ("milliseconds", "response")
"""Columns of an attempt about its call, beside the outcome."""
_BEFORE: Final = "before_"
"""Prefix of a column of the key with the value of before the row goes to another target."""
_READ: Final = ("attempts", "request_hash", "run_id", "assessment_date", "left_out_at", *OUTCOME)
"""Columns of a `LedgerRow`, beside the key and `url_hash`."""
_VERSION: Final = (*KEY, "status", "attempts")
"""Columns of a status row that change with every write to the row."""
_WRITTEN: Final = ("assessment_date", "attempts", "request_hash", "url_hash", "run_id")
_LINK: Final = (*KEY, *OUTCOME, *_WRITTEN)


class Statements:
    """Statements for the tables in one database."""

    def __init__(self, engine: Engine, tables: Tables) -> None:
        self._engine = engine
        self._tables = tables

    @cached_property
    def known(self) -> Lookup:
        """Return the lookup of status rows, and of the links of their targets."""
        links = self._tables.links
        return Lookup(self._engine, links, [links.c[name] for name in _READ], anywhere=True)

    @cached_property
    def written(self) -> Bulk:
        """Return the parameters of status rows for claims and for outcomes without a call."""
        links = self._tables.links.c
        more: list[Column[Any]] = [
            Column("read_status", String),
            Column("read_attempts", Integer),
            Column("request", String),
        ]
        return Bulk(self._engine, [*(links[name] for name in _LINK), *_key_before(), *more])

    @cached_property
    def insert_links(self) -> Insert:
        """Insert new status rows."""
        values = {name: self.written.c[name] for name in _LINK}
        sent = case((values["status"] == Status.SENDING.value, utc_now()), else_=null())
        return self.written.insert(
            self._tables.links, {**values, "first_sent_at": sent, "updated_at": utc_now()}
        )

    @cached_property
    def change_links(self) -> Update:
        """Update status rows, if unchanged since the ledger's read and not left out since."""
        links, row = self._tables.links, self.written.c
        first_sent = func.coalesce(links.c.first_sent_at, utc_now())
        sending = row["status"] == Status.SENDING.value
        return (
            update(links)
            .where(
                _is(links, row, KEY, before=_BEFORE),
                links.c.status == row["read_status"],
                links.c.attempts == row["read_attempts"],
                links.c.left_out_at.is_(None),
            )
            .values({name: row[name] for name in _LINK})
            .values(
                first_sent_at=case((sending, first_sent), else_=links.c.first_sent_at),
                updated_at=utc_now(),
            )
        )

    @cached_property
    def insert_attempts(self) -> Insert:
        """Insert the attempts of claims."""
        row = self.written.c
        names = (*KEY, "run_id", "request")
        values = {name: row[name] for name in names} | {"attempt": row["attempts"]}
        return self.written.insert(self._tables.attempts, {**values, "claimed_at": utc_now()})

    @cached_property
    def recorded(self) -> Bulk:
        """Return the parameters of attempts with their outcomes."""
        attempts = self._tables.attempts.c
        names = (*_ATTEMPT, *OUTCOME, *_CALL)
        return Bulk(self._engine, [attempts[name] for name in names])

    @cached_property
    def record_links(self) -> Update:
        """Update status rows with the outcome of their attempt, unless they have one."""
        return record_links(self._tables.links, self.recorded.c)

    @cached_property
    def record_attempts(self) -> Update:
        """Update attempts with their outcome, unless they have one."""
        return record_attempts(self._tables.attempts, self.recorded.c)

    @cached_property
    def released(self) -> Bulk:
        """Return the parameters of unsent claims, with the status rows of before."""
        links = self._tables.links.c
        more: list[Column[Any]] = [
            Column("attempt", Integer),
            Column(f"{_BEFORE}run_id", String),
        ]
        return Bulk(self._engine, [*(links[name] for name in _LINK), *_key_before(), *more])

    @cached_property
    def release_links(self) -> Update:
        """Restore the status rows of before an attempt, also rows settled by another run."""
        links, row = self._tables.links, self.released.c
        sending, unknown = (links.c.status == one.value for one in (Status.SENDING, Status.UNKNOWN))
        back = {name: row[name] for name in (*OUTCOME, *_WRITTEN) if name != "run_id"}
        return (
            update(links)
            .where(_is(links, row, (*KEY, "run_id")), links.c.attempts == row["attempt"])
            .where(or_(sending, unknown))  # an IN would be expanded for each row
            .values(back)
            .values({name: row[f"{_BEFORE}{name}"] for name in (*KEY, "run_id")})
            .values(
                first_sent_at=case((row["attempts"] == 0, null()), else_=links.c.first_sent_at),
                updated_at=utc_now(),
            )
        )

    @cached_property
    def forget_attempts(self) -> Delete:
        """Delete unsent attempts."""
        attempts, row = self._tables.attempts, self.released.c
        in_doubt = or_(attempts.c.status.is_(None), attempts.c.status == Status.UNKNOWN.value)
        return delete(attempts).where(
            _is(attempts, row, _ATTEMPT), in_doubt, attempts.c.resolution.is_(None)
        )

    @cached_property
    def replaced(self) -> Bulk:
        """Return the parameters of status rows to be replaced."""
        links = self._tables.links.c
        return Bulk(self._engine, [links[name] for name in _VERSION])

    @cached_property
    def delete_links(self) -> Delete:
        """Delete status rows, if unchanged since the ledger's read and not left out since."""
        links, row = self._tables.links, self.replaced.c
        return delete(links).where(_is(links, row, _VERSION), links.c.left_out_at.is_(None))

    @cached_property
    def free_urls(self) -> Update:
        """Remove the link from unchanged status rows, in favour of another row."""
        links, row = self._tables.links, self.replaced.c
        unchanged = _is(links, row, _VERSION)
        return update(links).where(unchanged).values(url_hash=null(), updated_at=utc_now())

    @cached_property
    def warned(self) -> Bulk:
        """Return the parameters of status rows with new warnings."""
        links = self._tables.links.c
        return Bulk(self._engine, [links[name] for name in (*_VERSION, "warnings")])

    @cached_property
    def warn_links(self) -> Update:
        """Update the warnings of status rows, if unchanged since the ledger's read."""
        links, row = self._tables.links, self.warned.c
        unchanged = _is(links, row, _VERSION)
        # Without a new time the write-back to another database would not see the change.
        return update(links).where(unchanged).values(warnings=row["warnings"], updated_at=utc_now())

    @cached_property
    def own_attempts(self) -> Select[tuple[str, int, int]]:
        """Count a task's attempts of results, in any try of the same dag run, and those sent.

        An attempt that made no link and may be made again does not count as sent.
        """
        attempts = self._tables.attempts
        ours, theirs = self._tables.runs.alias("ours"), self._tables.runs.alias("theirs")
        task = ("dag_id", "dag_run_id", "task_id")
        is_ours = or_(
            ours.c.run_id == theirs.c.run_id,
            and_(*(ours.c[name] == theirs.c[name] for name in task)),
        )
        to_be_sent_again = attempts.c.status.in_(sorted(status.value for status in SENT_AGAIN))
        is_sent = or_(attempts.c.status.is_(None), not_(to_be_sent_again))
        return (
            select(
                attempts.c.result_id,
                func.count().label("attempts"),
                func.sum(case((is_sent, 1), else_=0)).label("sent"),
            )
            .join_from(attempts, theirs, _by_key(attempts.c.run_id) == theirs.c.run_id)
            .join(ours, is_ours)
            .where(
                ours.c.run_id == bindparam("run_id"),
                attempts.c.result_id.in_(bindparam("result_ids", expanding=True)),
            )
            .group_by(attempts.c.result_id)
        )


def record_links(links: Table, row: Mapping[str, ColumnElement[Any]]) -> Update:
    """Build the update of status rows with the outcome of their attempt, unless they have one.

    :param row: The outcome by column, with the key, the run and the attempt.
    """
    in_doubt = or_(links.c.status == Status.SENDING.value, links.c.status == Status.UNKNOWN.value)
    return (
        update(links)
        .where(_is(links, row, (*KEY, "run_id")), links.c.attempts == row["attempt"], in_doubt)
        .values({name: row[name] for name in OUTCOME} | {"updated_at": utc_now()})
    )


def record_attempts(attempts: Table, row: Mapping[str, ColumnElement[Any]]) -> Update:
    """Build the update of attempts with their outcome, unless they have one.

    :param row: The outcome by column, with the key, the run, the attempt and the call.
    """
    unanswered = or_(attempts.c.status.is_(None), attempts.c.status == Status.UNKNOWN.value)
    return (
        update(attempts)
        .where(_is(attempts, row, _ATTEMPT), unanswered)
        .values({name: row[name] for name in (*OUTCOME, *_CALL)})
        .values(answered_at=utc_now())
    )


def _key_before() -> list[Column[Any]]:
    return [Column(f"{_BEFORE}{name}", String) for name in KEY]


def _is(
    table: Table, row: Mapping[str, ColumnElement[Any]], names: Iterable[str], before: str = ""
) -> ColumnElement[bool]:
    return and_(*(_by_key(table.c[name]) == row[f"{before}{name}"] for name in names))


def _by_key(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a column to find one row by: the index on the run has thousands of rows of a run."""
    return without_index(column) if column.name == "run_id" else column
