"""Unknown rows in the order of Kombo's log view: by integration, the newest call first."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    func,
    literal,
    or_,
    select,
)

from airflow_kombo.database.sql import beyond, in_utc
from airflow_kombo.kombo_api.result_link import RESULT_LINKS
from airflow_kombo.ledger.decision_file import UnknownRow
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.statuses import Status

BATCH_ROWS: Final = 5_000
"""Rows that are read in one transaction. Each reads the integration's unknown rows, and sorts them:
small batches of many rows take long."""
_URL: Final = RESULT_LINKS.once
"""Member of the request with the URL of a result link."""
_WEB: Final = ("http://", "https://")
_IN_INTEGRATION: Final = tuple(name for name in KEY if name != "integration_id")


class _Position(NamedTuple):
    """Position of a row among the unknown rows of one integration."""

    sent_at: datetime
    rest: tuple[str, ...]

    @classmethod
    def of(cls, row: Row[Any]) -> _Position:
        return cls(row.ordered_at, tuple(getattr(row, name) for name in _IN_INTEGRATION))


class UnknownExport:
    """Unknown rows for a person who looks their calls up in Kombo's logs.

    :param where: The condition on the rows of the status table, one that an index serves.
    """

    def __init__(self, tables: Tables, where: ColumnElement[bool]) -> None:
        self._tables = tables
        self._where = and_(tables.links.c.status == Status.UNKNOWN.value, where)
        self._other = tables.attempts.alias()
        # A row that has lost its attempts is not lost from the export.
        self._sent_at = func.coalesce(tables.attempts.c.claimed_at, tables.links.c.updated_at)

    def batches(
        self, reading: Callable[[], AbstractContextManager[Connection]]
    ) -> Iterator[list[UnknownRow]]:
        """Yield the rows in batches, each of one integration and read in one transaction.

        :param reading: A function that begins a transaction.
        """
        integration_id: str | None = None
        while True:
            with reading() as connection:
                integration_id = self._integration_after(connection, integration_id)
            if integration_id is None:
                return
            after: _Position | None = None
            while True:
                with reading() as connection:
                    rows = self._batch(connection, integration_id, after)
                yield [_unknown_row(row) for row in rows]
                if len(rows) < BATCH_ROWS:
                    break
                after = _Position.of(rows[-1])

    def _newest_in_doubt(self) -> ColumnElement[bool]:
        """Build the condition that joins a row and the newest attempt in doubt."""
        links, attempts, other = self._tables.links.c, self._tables.attempts.c, self._other.c
        newest = (
            select(func.max(other.attempt))
            .where(
                *(other[name] == links[name] for name in KEY),
                # In doubt, as `history.may_have_been_created` has it.
                or_(other.status.is_(None), other.status == Status.UNKNOWN.value),
                other.resolution.is_(None),
            )
            .correlate(self._tables.links)
            .scalar_subquery()
        )
        return and_(*(attempts[name] == links[name] for name in KEY), attempts.attempt == newest)

    def _integration_after(self, connection: Connection, after: str | None) -> str | None:
        """Return the next integration with unknown rows, found by an index."""
        column = self._tables.links.c.integration_id
        query = select(func.min(column)).where(self._where)
        if after is not None:
            query = query.where(column > after)
        found: str | None = connection.execute(query).scalar()
        return found

    def _batch(
        self, connection: Connection, integration_id: str, after: _Position | None
    ) -> Sequence[Row[Any]]:
        links, attempts = self._tables.links, self._tables.attempts
        order = [links.c[name] for name in _IN_INTEGRATION]
        query: Select[Any] = (
            select(
                *(links.c[name] for name in (*KEY, "error_code", "attempts")),
                attempts.c.claimed_at,
                attempts.c.request,
                self._sent_at.label("ordered_at"),
            )
            .select_from(links.outerjoin(attempts, self._newest_in_doubt()))
            .where(self._where, links.c.integration_id == integration_id)
            .order_by(self._sent_at.desc(), *order)
            .limit(BATCH_ROWS)
        )
        if after is not None:
            sent_at = literal(after.sent_at, attempts.c.claimed_at.type)
            is_later = and_(self._sent_at == sent_at, beyond(order, after.rest))
            query = query.where(or_(self._sent_at < sent_at, is_later))
        return connection.execute(query).all()


def _unknown_row(row: Row[Any]) -> UnknownRow:
    return UnknownRow(
        sent_at=None if row.claimed_at is None else in_utc(row.claimed_at),
        integration_id=row.integration_id,
        target_type=row.target_type,
        target_id=row.target_id,
        url=_url_of(row.request),
        result_id=row.result_id,
        error_code=row.error_code,
        attempt=row.attempts,
    )


def _url_of(request: str | None) -> str | None:
    """Return the URL of a stored request; None if the URL is masked, or there is none.

    A write without a member of this name has no URL to look for.
    """
    try:
        body = json.loads(request or "{}")
    except (ValueError, RecursionError):  # a person has changed the history
        return None
    url = body.get(_URL) if isinstance(body, dict) else None
    return url if isinstance(url, str) and url.startswith(_WEB) else None
