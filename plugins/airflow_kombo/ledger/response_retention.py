"""Retention of responses: each run deletes the responses of long ago from the history."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Final

from sqlalchemy import Connection, Engine, null, select, update

from airflow_kombo.database.bulk_writes import Bulk
from airflow_kombo.database.sql import in_utc, utc_now
from airflow_kombo.database.transactions import in_race
from airflow_kombo.ledger.tables import KEY, Tables

_BATCH_ROWS: Final = 1_000
_MOST_BATCHES: Final = 50
"""Batches of one run at most: a run after a long break leaves some to the next run."""


class ResponseRetention:
    """Deletion of old responses from the attempts' history. The attempts themselves stay.

    :param days: Days after the claim for which a response is kept.
    """

    def __init__(self, engine: Engine, tables: Tables, days: int) -> None:
        self._engine = engine
        self._attempts = tables.attempts
        self._days = days
        self._names = (*KEY, "attempt")
        attempts = self._attempts.c
        self._given = Bulk(engine, [attempts[name] for name in self._names])
        is_one = (attempts[name] == self._given.c[name] for name in self._names)
        self._update = update(self._attempts).where(*is_one).values(response=null())

    def apply(self, batch_rows: int = _BATCH_ROWS, most_batches: int = _MOST_BATCHES) -> int:
        """Delete old responses in batches, each in one transaction, and return their number.

        :param batch_rows: The most responses of one batch.
        :param most_batches: The most batches.
        :raises LedgerError: if the database failed. Earlier batches are deleted.
        """
        deleted = 0
        for _ in range(most_batches):
            work = partial(self._delete, batch_rows)
            rows = in_race(self._engine, "delete old responses", work)
            deleted += rows
            if rows < batch_rows:
                break
        return deleted

    def _delete(self, batch_rows: int, connection: Connection) -> int:
        attempts = self._attempts.c
        now = in_utc(connection.execute(select(utc_now())).scalar_one())
        query = (
            select(*(attempts[name] for name in self._names))
            .where(
                attempts.response.is_not(None),
                attempts.claimed_at < now - timedelta(days=self._days),
            )
            .limit(batch_rows)
            .with_for_update(skip_locked=True)
        )
        rows = [dict(row) for row in connection.execute(query).mappings()]
        self._given.execute(connection, rows, self._update)
        return len(rows)
