"""The results of the ledger that changed, in the order of their last change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Engine, Table, and_, func, or_, select, true

from airflow_kombo.database.dialects.columns import written_columns
from airflow_kombo.database.sql import beyond, in_utc
from airflow_kombo.database.transactions import transaction
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.ledger.tables import KEY
from airflow_kombo.statuses import Status

PAGE_ROWS: Final = 20_000
"""Rows of one page. Each page reads the whole table: an index on a time that changes with every
row would cost the deliveries more than it saves here."""


class Version(NamedTuple):
    """One row at one time. A clock of whole seconds gives two changes of a row one time."""

    key: LinkKey
    updated_at: datetime
    status: str
    attempts: int


@dataclass(frozen=True)
class Page:
    """Rows that follow each other by `updated_at`.

    :param versions: The rows of each result, the result with the earliest last change first.
    """

    versions: Mapping[str, Sequence[Version]]
    first: datetime
    last: datetime


class ChangedResults:
    """The results with a row that changed within some time.

    :param links: The status table.
    :param until: The end of this time, for the whole life of the object.
    """

    def __init__(self, engine: Engine, links: Table, until: datetime) -> None:
        self._engine = engine
        self._links = links
        self.until = until

    def pages(self, since: datetime | None) -> Iterator[Page]:
        """Yield the rows that changed at a time or later, without those that are being sent.

        The run that sends a row writes an outcome to it, and so it changes once more.

        :param since: The beginning of the time. None for all rows.
        """
        after: Version | None = None
        while True:
            rows = self._read(since, after)
            if not rows:
                return
            after = rows[-1]
            yield Page(_by_result(rows), first=rows[0].updated_at, last=after.updated_at)
            if len(rows) < PAGE_ROWS:
                return

    def rows(self, result_ids: Sequence[str], last: datetime) -> list[Any]:
        """Return all rows of results, the result with the earliest last change first.

        A result that is being sent, or changed after a page, is left out: it comes again.

        :param last: The end of the page.
        """
        columns = self._links.c
        query = select(*written_columns(self._links)).where(columns.result_id.in_(result_ids))
        with transaction(self._engine, "be read", reads_only=True) as connection:
            found = connection.execute(query).all()
        results: defaultdict[str, list[Any]] = defaultdict(list)
        for row in found:
            results[row.result_id].append(row)
        changes = {
            result: max(in_utc(row.updated_at) for row in results[result]) for result in results
        }
        settled = [
            result
            for result in sorted(results, key=lambda one: (changes[one], one))
            if changes[result] <= last
            and all(row.status != Status.SENDING.value for row in results[result])
        ]
        return [row for result in settled for row in results[result]]

    def newest(self, result_ids: Sequence[str]) -> dict[str, tuple[datetime, int]]:
        """Return the last change of results, and their highest number of attempts."""
        columns = self._links.c
        query = (
            select(columns.result_id, func.max(columns.updated_at), func.max(columns.attempts))
            .where(columns.result_id.in_(result_ids))
            .group_by(columns.result_id)
        )
        with transaction(self._engine, "be read", reads_only=True) as connection:
            return {
                result_id: (in_utc(updated_at), attempts)
                for result_id, updated_at, attempts in connection.execute(query)
            }

    def _read(self, since: datetime | None, after: Version | None) -> list[Version]:
        columns = self._links.c
        key = [columns[name] for name in KEY]
        query = (
            select(*key, columns.updated_at, columns.status, columns.attempts)
            .where(
                columns.status != Status.SENDING.value,
                columns.updated_at <= self.until,
                true() if since is None else columns.updated_at >= since,
                true() if after is None else self._is_after(key, after),
            )
            .order_by(columns.updated_at, *key)
            .limit(PAGE_ROWS)
        )
        with transaction(self._engine, "be read", reads_only=True) as connection:
            return [  # no list of the driver's rows: the garbage collector would visit them all
                Version(LinkKey._make(key), in_utc(updated_at), status, attempts)
                for *key, updated_at, status, attempts in connection.execute(query)
            ]

    def _is_after(self, key: Sequence[ColumnElement[str]], after: Version) -> ColumnElement[bool]:
        moment = self._links.c.updated_at
        return and_(
            moment >= after.updated_at, or_(moment > after.updated_at, beyond(key, after.key))
        )


def _by_result(rows: Sequence[Version]) -> dict[str, list[Version]]:
    results: dict[str, list[Version]] = {}
    for row in rows:
        # A result comes where its last row does.
        result_id = row.key.result_id
        results[result_id] = [*results.pop(result_id, ()), row]
    return results
