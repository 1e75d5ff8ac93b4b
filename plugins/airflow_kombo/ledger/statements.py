"""The ledger's statements, built once: to build one costs more than to run it."""

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
from airflow_kombo.database.sql import utc_now
from airflow_kombo.ledger.lookup import Lookup
from airflow_kombo.ledger.outcomes import RowOutcome
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.statuses import SENT_AGAIN, Status

_ATTEMPT: Final = (*KEY, "run_id", "attempt")
_OUTCOME: Final = tuple(RowOutcome(Status.SENDING).values)
_BEFORE: Final = "before_"
"""Before the name of a column of the key, as a row had it before it goes to another target."""
_SEEN: Final = ("status", "attempts", "request_hash", "run_id", "assessment_date", *_OUTCOME[1:])
_WRITTEN: Final = ("assessment_date", "attempts", "request_hash", "url_hash", "run_id")
_LINK: Final = (*KEY, *_OUTCOME, *_WRITTEN)


class Statements:
    """What the ledger says to one database about its tables."""

    def __init__(self, engine: Engine, tables: Tables) -> None:
        self._engine = engine
        self._tables = tables

    @cached_property
    def known(self) -> Lookup:
        """Look up what is known of rows, and of the links of their records."""
        links = self._tables.links
        return Lookup(self._engine, links, [links.c[name] for name in _SEEN], anywhere=True)

    @cached_property
    def written(self) -> Bulk:
        """Rows as a claim or a note writes them."""
        links = self._tables.links.c
        seen: list[Column[Any]] = [
            Column("seen_status", String),
            Column("seen_attempts", Integer),
            Column("request", String),
        ]
        return Bulk(
            self._engine,
            [*(links[name] for name in _LINK), *_key_before(), *seen],
        )

    @cached_property
    def insert_links(self) -> Insert:
        """Insert the status of rows that are new."""
        values = {name: self.written.c[name] for name in _LINK}
        sent = case((values["status"] == Status.SENDING.value, utc_now()), else_=null())
        return self.written.insert(
            self._tables.links, {**values, "first_sent_at": sent, "updated_at": utc_now()}
        )

    @cached_property
    def change_links(self) -> Update:
        """Change the status of rows that are still as they were seen."""
        links, row = self._tables.links, self.written.c
        first_sent = func.coalesce(links.c.first_sent_at, utc_now())
        sending = row["status"] == Status.SENDING.value
        return (
            update(links)
            .where(
                _is(links, row, KEY, before=_BEFORE),
                links.c.status == row["seen_status"],
                links.c.attempts == row["seen_attempts"],
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
    def answered(self) -> Bulk:
        """Attempts, with what became of them."""
        attempts = self._tables.attempts.c
        names = (*_ATTEMPT, *_OUTCOME, "milliseconds")
        return Bulk(self._engine, [attempts[name] for name in names])

    @cached_property
    def record_links(self) -> Update:
        """Write the outcome of the attempt that a row is in, unless it has one."""
        links, row = self._tables.links, self.answered.c
        in_doubt = or_(
            links.c.status == Status.SENDING.value, links.c.status == Status.UNKNOWN.value
        )
        return (
            update(links)
            .where(_is(links, row, (*KEY, "run_id")), links.c.attempts == row["attempt"], in_doubt)
            .values({name: row[name] for name in _OUTCOME} | {"updated_at": utc_now()})
        )

    @cached_property
    def record_attempts(self) -> Update:
        """Write the outcome of attempts, unless they have one."""
        attempts, row = self._tables.attempts, self.answered.c
        unanswered = or_(attempts.c.status.is_(None), attempts.c.status == Status.UNKNOWN.value)
        return (
            update(attempts)
            .where(_is(attempts, row, _ATTEMPT), unanswered)
            .values({name: row[name] for name in (*_OUTCOME, "milliseconds")})
            .values(answered_at=utc_now())
        )

    @cached_property
    def released(self) -> Bulk:
        """Attempts that were not made, with the status rows as they were before."""
        links = self._tables.links.c
        more: list[Column[Any]] = [
            Column("attempt", Integer),
            Column(f"{_BEFORE}run_id", String),
        ]
        return Bulk(self._engine, [*(links[name] for name in _LINK), *_key_before(), *more])

    @cached_property
    def release_links(self) -> Update:
        """Put rows back to before their attempt; also those that others have settled meanwhile."""
        links, row = self._tables.links, self.released.c
        sending, unknown = (links.c.status == one.value for one in (Status.SENDING, Status.UNKNOWN))
        back = {name: row[name] for name in (*_OUTCOME, *_WRITTEN) if name != "run_id"}
        return (
            update(links)
            .where(_is(links, row, (*KEY, "run_id")), links.c.attempts == row["attempt"])
            .where(or_(sending, unknown))  # no IN: there are many rows
            .values(back)
            .values({name: row[f"{_BEFORE}{name}"] for name in (*KEY, "run_id")})
            .values(
                first_sent_at=case((row["attempts"] == 0, null()), else_=links.c.first_sent_at),
                updated_at=utc_now(),
            )
        )

    @cached_property
    def forget_attempts(self) -> Delete:
        """Delete attempts that were never made."""
        attempts, row = self._tables.attempts, self.released.c
        in_doubt = or_(attempts.c.status.is_(None), attempts.c.status == Status.UNKNOWN.value)
        return delete(attempts).where(
            _is(attempts, row, _ATTEMPT), in_doubt, attempts.c.resolution.is_(None)
        )

    @cached_property
    def replaced(self) -> Bulk:
        """Rows of a result that are to make way, as they were seen."""
        links = self._tables.links.c
        return Bulk(self._engine, [links[name] for name in (*KEY, "status", "attempts")])

    @cached_property
    def delete_links(self) -> Delete:
        """Delete rows that are still as they were seen."""
        links, row = self._tables.links, self.replaced.c
        return delete(links).where(_is(links, row, (*KEY, "status", "attempts")))

    @cached_property
    def free_urls(self) -> Update:
        """Take their link from rows that are still as they were seen: another one may have it."""
        links, row = self._tables.links, self.replaced.c
        seen = _is(links, row, (*KEY, "status", "attempts"))
        return update(links).where(seen).values(url_hash=null())

    @cached_property
    def warned(self) -> Bulk:
        """Rows that get warnings, as they were seen."""
        links = self._tables.links.c
        return Bulk(
            self._engine, [links[name] for name in (*KEY, "status", "attempts", "warnings")]
        )

    @cached_property
    def warn_links(self) -> Update:
        """Write the warnings of rows that are still as they were seen."""
        links, row = self._tables.links, self.warned.c
        seen = _is(links, row, (*KEY, "status", "attempts"))
        return update(links).where(seen).values(warnings=row["warnings"])

    @cached_property
    def sent_in_dag_run(self) -> Select[tuple[str]]:
        """Find which results a task has sent already, in any try of the same dag run.

        An attempt that surely made no link, and may be made again, does not count.
        """
        attempts = self._tables.attempts
        ours, theirs = self._tables.runs.alias("ours"), self._tables.runs.alias("theirs")
        task = ("dag_id", "dag_run_id", "task_id")
        is_ours = or_(
            ours.c.run_id == theirs.c.run_id,
            and_(*(ours.c[name] == theirs.c[name] for name in task)),
        )
        to_be_sent_again = attempts.c.status.in_(sorted(status.value for status in SENT_AGAIN))
        return (
            select(attempts.c.result_id)
            .join_from(attempts, theirs, attempts.c.run_id == theirs.c.run_id)
            .join(ours, is_ours)
            .where(
                ours.c.run_id == bindparam("run_id"),
                attempts.c.result_id.in_(bindparam("result_ids", expanding=True)),
                or_(attempts.c.status.is_(None), not_(to_be_sent_again)),
            )
        )


def _key_before() -> list[Column[Any]]:
    return [Column(f"{_BEFORE}{name}", String) for name in KEY]


def _is(
    table: Table, row: Mapping[str, ColumnElement[Any]], names: Iterable[str], before: str = ""
) -> ColumnElement[bool]:
    return and_(*(table.c[name] == row[f"{before}{name}"] for name in names))
