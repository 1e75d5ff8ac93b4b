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
    String,
    Table,
    Update,
    and_,
    case,
    delete,
    func,
    null,
    or_,
    update,
)

from airflow_kombo.bulk import Bulk
from airflow_kombo.database import utc_now
from airflow_kombo.errors import Status
from airflow_kombo.lookup import Lookup
from airflow_kombo.outcomes import Outcome
from airflow_kombo.tables import KEY, Tables

_ATTEMPT: Final = (*KEY, "run_id", "attempt")
_OUTCOME: Final = tuple(Outcome(Status.SENDING).values)
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
        names = ("status", "attempts", "request_hash", "error_code", "error_message")
        return Lookup(self._engine, links, [links.c[name] for name in names])

    @cached_property
    def written(self) -> Bulk:
        """Rows as a claim or a note writes them."""
        links = self._tables.links.c
        more = (
            Column("seen_status", String),
            Column("seen_attempts", Integer),
            Column("request", String),
        )
        return Bulk(self._engine, [*(links[name] for name in _LINK), *more])

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
                _is(links, row, KEY),
                links.c.status == row["seen_status"],
                links.c.attempts == row["seen_attempts"],
            )
            .values({name: row[name] for name in _LINK if name not in KEY})
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
    def release_links(self) -> Update:
        """Put rows back to before their attempt."""
        links, row = self._tables.links, self.answered.c
        return (
            update(links)
            .where(_is(links, row, (*KEY, "run_id")), links.c.attempts == row["attempt"])
            .where(links.c.status == Status.SENDING.value)
            .values({name: row[name] for name in _OUTCOME})
            .values(
                attempts=links.c.attempts - 1,
                first_sent_at=case((links.c.attempts == 1, null()), else_=links.c.first_sent_at),
                updated_at=utc_now(),
            )
        )

    @cached_property
    def forget_attempts(self) -> Delete:
        """Delete attempts that were never made."""
        attempts, row = self._tables.attempts, self.answered.c
        return delete(attempts).where(_is(attempts, row, _ATTEMPT), attempts.c.status.is_(None))


def _is(
    table: Table, row: Mapping[str, ColumnElement[Any]], names: Iterable[str]
) -> ColumnElement[bool]:
    return and_(*(table.c[name] == row[name] for name in names))
