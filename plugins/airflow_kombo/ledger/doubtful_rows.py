"""Read what evidence needs: the rows in doubt, and rows that were surely sent later."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, and_, select

from airflow_kombo.database.sql import beyond, in_utc, utc_now
from airflow_kombo.database.transactions import transaction
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.ledger.address_owners import owners_of
from airflow_kombo.ledger.history import may_have_been_created
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.ledger.time_limits import DEAD_AFTER_SECONDS
from airflow_kombo.ledger.unknown_rows import UnknownRowsFilter
from airflow_kombo.statuses import Decision, Status

PAGE_ROWS: Final = 200
"""Rows in doubt that are read, looked for and decided at once."""
_CONTROLS_READ: Final = 20
_ATTEMPT: Final = (
    *(*KEY, "attempt", "run_id", "status", "resolution", "request"),
    *("claimed_at", "answered_at", "evidence_at"),
)


class Rivals(Enum):
    """Others that have, or may have, made a link with the same address."""

    NONE = auto()
    MAY_EXIST = auto()
    """Another attempt in doubt, or another result: a link proves nothing for this attempt."""
    MADE = auto()
    """An attempt of the same row: its link is to be seen, whatever became of the others."""


class RowGroup(NamedTuple):
    """Integration and type of target of rows: one recipe serves all of them."""

    integration_id: str
    target_type: str


@dataclass(frozen=True)
class DoubtfulRow:
    """Row in doubt, as evidence sees it.

    :param attempts: The number of the row's newest attempt.
    :param url: The address of the attempts in doubt; None if the ledger does not have it, if they
        have more than one, or if one of them is on another target than the row.
    :param sent_until: The time after which no attempt in doubt can have left.
    :param looked_at: The time of the last look; None before the first.
    """

    key: LinkKey
    attempts: int
    url: str | None
    sent_until: datetime
    looked_at: datetime | None
    rivals: Rivals


class DoubtfulPage(NamedTuple):
    """Rows in doubt, read at once.

    :param unread: The number of further rows, whose attempts or runs are lost: nothing could be
        decided about them.
    """

    rows: list[DoubtfulRow]
    unread: int


@dataclass(frozen=True)
class Control:
    """Row that was surely created, from one attempt alone.

    :param sent_after: A time before its request left.
    """

    key: LinkKey
    url: str
    sent_after: datetime


class DoubtfulRows:
    """The rows in doubt of a ledger.

    :param url_member: The member of a request that has the address.
    """

    def __init__(self, engine: Engine, tables: Tables, url_member: str) -> None:
        self.engine = engine
        self.tables = tables
        self._url_member = url_member

    def now(self) -> datetime:
        """Return the database's time."""
        with transaction(self.engine, "read its clock", reads_only=True) as connection:
            return in_utc(connection.execute(select(utc_now())).scalar_one())

    def groups(self) -> list[RowGroup]:
        """Return the groups that have unknown rows."""
        links = self.tables.links.c
        query = (
            select(links.integration_id, links.target_type)
            .where(links.trouble == Status.UNKNOWN.value)
            .distinct()
            .order_by(links.integration_id, links.target_type)
        )
        with transaction(self.engine, "look rows up", reads_only=True) as connection:
            return [RowGroup(*row) for row in connection.execute(query)]

    def pages(self, group: RowGroup, choice: UnknownRowsFilter) -> Iterator[DoubtfulPage]:
        """Yield the rows in doubt of a group, in batches."""
        after: LinkKey | None = None
        while True:
            with transaction(self.engine, "look rows up", reads_only=True) as connection:
                links = self._unknown(connection, group, after)
                chosen = [row for row in links if choice.is_met_by(row)]
                rows = self._doubtful(connection, chosen)
            if not links:
                return
            yield DoubtfulPage(rows, unread=len(chosen) - len(rows))
            after = LinkKey.of(links[-1])

    def controls(self, group: RowGroup, since: datetime) -> list[Control]:
        """Return rows that were surely sent after a time and created, the earliest first."""
        links, attempts = self.tables.links.c, self.tables.attempts.c
        is_first = and_(*(links[name] == attempts[name] for name in KEY), attempts.attempt == 1)
        query = (
            select(*(links[name] for name in KEY), links.first_sent_at)
            .add_columns(attempts.request)
            .join_from(self.tables.links, self.tables.attempts, is_first)
            .where(
                self._is_of(group),
                links.status == Status.SUCCESS.value,
                links.attempts == 1,
                attempts.status == Status.SUCCESS.value,
                links.first_sent_at >= since,
            )
            .order_by(links.first_sent_at)
            .limit(_CONTROLS_READ)
        )
        with transaction(self.engine, "look rows up", reads_only=True) as connection:
            found = connection.execute(query).all()
            urls = [self._url(row.request) for row in found]
            owners = owners_of(connection, self.tables, found, urls, self._url)
        return [
            Control(LinkKey.of(row), url, in_utc(row.first_sent_at))
            for row, url in zip(found, urls, strict=True)
            if url and owners[url] == {row.result_id}
        ]

    def _unknown(
        self, connection: Connection, group: RowGroup, after: LinkKey | None
    ) -> Sequence[Any]:
        links = self.tables.links.c
        key = [links[name] for name in KEY]
        query = select(*links).where(self._is_of(group), links.trouble == Status.UNKNOWN.value)
        if after is not None:
            query = query.where(beyond(key, after))
        return connection.execute(query.order_by(*key).limit(PAGE_ROWS)).all()

    def _doubtful(self, connection: Connection, links: Sequence[Any]) -> list[DoubtfulRow]:
        attempts = self._attempts(connection, [row.result_id for row in links])
        heartbeats = self._heartbeats(connection, attempts)
        urls = {row.result_id: self._url_in_doubt(row, attempts[row.result_id]) for row in links}
        owners = owners_of(connection, self.tables, links, urls.values(), self._url)
        rows = (
            self._row(link, attempts[link.result_id], heartbeats, urls[link.result_id], owners)
            for link in links
        )
        return [row for row in rows if row]

    def _row(
        self,
        link: Any,
        attempts: Sequence[Any],
        heartbeats: Mapping[str, datetime],
        url: str | None,
        owners: Mapping[str, set[str]],
    ) -> DoubtfulRow | None:
        in_doubt = [one for one in attempts if may_have_been_created(one)]
        ends = [_sent_until(one, heartbeats) for one in in_doubt]
        known = [end for end in ends if end]
        if not in_doubt or len(known) < len(ends):
            return None
        # Values that may repeat have no hash, so nobody knows who else has them.
        is_shared = link.url_hash is None or bool(url and owners[url] - {link.result_id})
        looks = [in_utc(one.evidence_at) for one in in_doubt if one.evidence_at]
        same = [one for one in attempts if url and self._url(one.request) in {url, None}]
        return DoubtfulRow(
            LinkKey.of(link),
            attempts=link.attempts,
            url=url,
            sent_until=max(known),
            looked_at=max(looks, default=None),
            rivals=_rivals(same, is_shared=is_shared),
        )

    def _url_in_doubt(self, link: Any, attempts: Sequence[Any]) -> str | None:
        """Return the one address of the attempts in doubt, or None.

        A link of an attempt on another target is not to be seen on the row's own.
        """
        in_doubt = [one for one in attempts if may_have_been_created(one)]
        urls = {self._url(one.request) for one in in_doubt}
        is_here = all(LinkKey.of(one) == LinkKey.of(link) for one in in_doubt)
        return urls.pop() if is_here and len(urls) == 1 else None

    def _attempts(self, connection: Connection, results: Collection[str]) -> dict[str, list[Any]]:
        """Return the attempts of results by result id, oldest first."""
        attempts = self.tables.attempts.c
        found: dict[str, list[Any]] = {result_id: [] for result_id in results}
        query = select(*(attempts[name] for name in _ATTEMPT))
        query = query.where(attempts.result_id.in_(sorted(found)))
        for row in connection.execute(query.order_by(attempts.attempt)):
            found[row.result_id].append(row)
        return found

    def _heartbeats(
        self, connection: Connection, attempts: Mapping[str, Sequence[Any]]
    ) -> dict[str, datetime]:
        """Return the last heartbeats of the runs whose attempts have no end."""
        runs = self.tables.runs.c
        names = {one.run_id for own in attempts.values() for one in own if not one.answered_at}
        query = select(runs.run_id, runs.heartbeat_at).where(runs.run_id.in_(sorted(names)))
        return {row.run_id: in_utc(row.heartbeat_at) for row in connection.execute(query)}

    def _is_of(self, group: RowGroup) -> ColumnElement[bool]:
        links = self.tables.links.c
        return and_(
            links.integration_id == group.integration_id, links.target_type == group.target_type
        )

    def _url(self, request: str | None) -> str | None:
        """Return the address in a stored request, or None if it is masked or not stored."""
        try:
            stored = json.loads(request or "null")
        except ValueError:  # somebody has masked all of it
            return None
        value = stored.get(self._url_member) if isinstance(stored, dict) else None
        return value if isinstance(value, str) and "://" in value else None


def _sent_until(attempt: Any, heartbeats: Mapping[str, datetime]) -> datetime | None:
    """Return a time after which the request of an attempt cannot leave; None if nobody knows.

    A run without a heartbeat sends nothing any more when others declare it dead.
    """
    if attempt.answered_at:
        return in_utc(attempt.answered_at)
    heartbeat = heartbeats.get(attempt.run_id)
    return heartbeat and heartbeat + timedelta(seconds=DEAD_AFTER_SECONDS)


def _rivals(attempts: Sequence[Any], *, is_shared: bool) -> Rivals:
    """Return the rivals of a row.

    :param attempts: The attempts of the row that have, or may have, the address of those in doubt,
        these included.
    :param is_shared: True if another result has the same address.
    """
    known = {(one.status, one.resolution) for one in attempts if not may_have_been_created(one)}
    created = (Status.UNKNOWN.value, Decision.CREATED.value)
    if created in known or Status.SUCCESS.value in {status for status, _ in known}:
        return Rivals.MADE
    in_doubt = [one for one in attempts if one.status in {None, Status.UNKNOWN.value}]
    return Rivals.MAY_EXIST if is_shared or len(in_doubt) > 1 else Rivals.NONE
