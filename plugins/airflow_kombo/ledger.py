"""The status table and the attempts' history: every row's fate, durable before it is sent.

A row is **claimed** before its request leaves, and **recorded** when its answer is known. A claim
is conditional, so two runs at once cannot both send a row; one that was surely not sent is
**released**; a row whose fate needs no request is **noted**.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_kombo.database import RaceLostError, in_race, transaction
from airflow_kombo.errors import LedgerError, Status
from airflow_kombo.late import record_late
from airflow_kombo.models import Delivery, LinkKey
from airflow_kombo.outcomes import (
    Claim,
    Claims,
    Outcome,
    Recorded,
    Seen,
    UnheardClaimError,
    Unsent,
    may_be_noted,
    may_be_sent,
)
from airflow_kombo.runs import assert_alive
from airflow_kombo.statements import Statements
from airflow_kombo.tables import Tables

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Insert


def keeper(masked: Collection[str] = (), *, store: bool = True) -> Callable[[bytes], str | None]:
    """Give the function that says what the history keeps of a request.

    :param masked: Members of the request whose value it does not keep.
    :param store: Whether it keeps anything at all.
    """

    def keep(body: bytes) -> str | None:
        if not store:
            return None
        if not masked:
            return body.decode()
        request = json.loads(body)
        request.update(dict.fromkeys(request.keys() & set(masked), "***"))
        return json.dumps(request, ensure_ascii=False)

    return keep


class Ledger:
    """The tables in one database, as far as rows are concerned.

    :param kept: What the attempts' history keeps of a request's body; by default all of it.
    """

    def __init__(
        self,
        engine: Engine,
        tables: Tables,
        kept: Callable[[bytes], str | None] | None = None,
    ) -> None:
        self.engine = engine
        self.tables = tables
        self.kept = kept or keeper()
        self._sql = Statements(engine, tables)

    def claim(
        self,
        run_id: str,
        deliveries: Sequence[Delivery],
        redeliver: Collection[str] = (),
    ) -> Claims:
        """Claim a few dozen rows for sending, all in one transaction, durable on return.

        :param redeliver: Statuses that are sent again though they are final, or unchanged.
        :raises UnheardClaimError: if the database failed or the run is dead; what it holds may be
            claimed all the same, and has to be released.
        """
        decided: tuple[Claim, ...] = ()

        def work(connection: Connection) -> Claims:
            nonlocal decided
            decided = ()
            claims = self._claim(connection, run_id, deliveries, redeliver)
            decided = claims.won
            return claims

        try:
            return in_race(self.engine, "claim rows", work)
        except LedgerError as error:
            raise UnheardClaimError(str(error), decided) from None

    def _claim(
        self,
        connection: Connection,
        run_id: str,
        deliveries: Sequence[Delivery],
        redeliver: Collection[str],
    ) -> Claims:
        assert_alive(connection, self.tables, run_id)
        claims, seen = self._decide(connection, run_id, deliveries, redeliver)
        won = {
            claim.delivery.key: _claimed(claim, self.kept(claim.delivery.body))
            for claim in claims.won
        }
        self._write(connection, won, seen, self._sql.insert_attempts)
        return claims

    def foresee(
        self,
        deliveries: Sequence[Delivery],
        redeliver: Collection[str] = (),
        others: Collection[LinkKey] = (),
    ) -> tuple[Claims, Mapping[LinkKey, Seen]]:
        """Give what `claim` would give now, and what is known of these rows and of others.

        Nothing is written.
        """
        with transaction(self.engine, "look rows up", reads_only=True) as connection:
            claims, seen = self._decide(connection, "", deliveries, redeliver)
            return claims, {**seen, **self._look(connection, ((key, None) for key in others))[0]}

    def _decide(
        self,
        connection: Connection,
        run_id: str,
        deliveries: Sequence[Delivery],
        redeliver: Collection[str],
    ) -> tuple[Claims, dict[LinkKey, Seen]]:
        seen, owners = self._look(connection, ((one.key, one.url_hash) for one in deliveries))
        won: dict[LinkKey, Claim] = {}
        duplicates, skipped = [], []
        for delivery in _in_lock_order(deliveries):
            key, known = delivery.key, seen.get(delivery.key)
            if key in won or not may_be_sent(known, delivery, redeliver):
                skipped.append(delivery)
                continue
            owner = owners.setdefault(_link_of(delivery), key.result_id)
            if owner != key.result_id:
                duplicates.append((delivery, owner))
            else:
                won[key] = Claim(delivery, run_id, known.attempts + 1 if known else 1)
        return Claims(tuple(won.values()), tuple(duplicates), tuple(skipped)), seen

    def note(self, run_id: str, rows: Sequence[Unsent]) -> list[LinkKey]:
        """Write the fate of rows that are not sent; give those that were left as they are.

        Left are rows that are final or another run's, that were refused, and that are `invalid` for
        the reason that they had before.

        :raises LedgerError: if nothing was written.
        """
        return in_race(
            self.engine, "write rows' fate", lambda connection: self._note(connection, run_id, rows)
        )

    def _note(self, connection: Connection, run_id: str, rows: Sequence[Unsent]) -> list[LinkKey]:
        assert_alive(connection, self.tables, run_id)
        seen, _ = self._look(connection, ((row.key, None) for row in rows))
        noted: dict[LinkKey, dict[str, Any]] = {}
        left = []
        for row in _in_lock_order(rows):
            known = seen.get(row.key)
            if row.key in noted or not may_be_noted(known, row.outcome):
                left.append(row.key)
            else:
                noted[row.key] = _unsent(row, run_id, known.attempts if known else 0)
        self._write(connection, noted, seen)
        return left

    def record(self, recorded: Sequence[Recorded]) -> None:
        """Write what became of claims, all in one transaction, durable on return.

        A late answer settles its own attempt, and never overwrites what a newer one wrote; what a
        person decided meanwhile gives way to it.

        :raises LedgerError: if nothing was written.
        """
        rows = [
            {**_attempt(one.claim), **one.outcome.values, "milliseconds": one.milliseconds}
            for one in sorted(recorded, key=lambda one: one.claim.delivery.key)
        ]

        def work(connection: Connection) -> None:
            sql = self._sql
            in_time, _ = sql.answered.execute(
                connection, rows, sql.record_links, sql.record_attempts
            )
            if in_time != len(rows):
                record_late(connection, self.tables, rows)

        if rows:
            in_race(self.engine, "record outcomes", work)

    def release(self, claims: Sequence[Claim], outcome: Outcome) -> None:
        """Give back claims that were surely not sent: their attempt never was.

        :raises LedgerError: if nothing was given back.
        """
        rows = [
            {**_attempt(claim), **outcome.values}
            for claim in sorted(claims, key=lambda claim: claim.delivery.key)
        ]

        def work(connection: Connection) -> None:
            sql = self._sql
            sql.answered.execute(connection, rows, sql.release_links, sql.forget_attempts)

        if rows:
            in_race(self.engine, "give rows back", work)

    def _look(
        self, connection: Connection, asked: Iterable[tuple[LinkKey, str | None]]
    ) -> tuple[dict[LinkKey, Seen], dict[tuple[str, ...], str]]:
        """Give what is known of rows by key, and which result has each link of their targets."""
        rows = self._sql.known.read(connection, asked)
        owners: dict[tuple[str, ...], str] = {
            (*row[:3], row.url_hash): row.result_id for row in rows if row.url_hash
        }
        return {LinkKey(*row[:4]): row for row in rows}, owners

    def _write(
        self,
        connection: Connection,
        rows: Mapping[LinkKey, dict[str, Any]],
        seen: Mapping[LinkKey, Seen],
        *also: Insert,
    ) -> None:
        """Insert what is new, and change what is still as it was seen."""
        new = [row for key, row in rows.items() if key not in seen]
        known = [
            {**row, "seen_status": seen[key].status, "seen_attempts": seen[key].attempts}
            for key, row in rows.items()
            if key in seen
        ]
        sql = self._sql
        sql.written.execute(connection, new, sql.insert_links, *also)
        changed, *_ = sql.written.execute(connection, known, sql.change_links, *also)
        if changed != len(known):
            raise RaceLostError


def _in_lock_order(rows: Iterable[Any]) -> list[Any]:
    """Sort by key: two runs that lock the same rows in the same order cannot deadlock."""
    return sorted(rows, key=lambda row: row.key)


def _claimed(claim: Claim, request: str | None) -> dict[str, Any]:
    delivery = claim.delivery
    return {
        **delivery.key.columns,
        "status": Status.SENDING.value,
        "assessment_date": delivery.assessment_date,
        "attempts": claim.attempt,
        "request_hash": delivery.request_hash,
        "url_hash": delivery.url_hash,
        "run_id": claim.run_id,
        "request": request,
    }


def _unsent(row: Unsent, run_id: str, attempts: int) -> dict[str, Any]:
    return {
        **row.key.columns,
        **row.outcome.values,
        "assessment_date": row.assessment_date,
        "attempts": attempts,
        "run_id": run_id,
    }


def _link_of(delivery: Delivery) -> tuple[str, ...]:
    """Give what no two rows may put on one target; of a write that may repeat, it is the row's."""
    key, url_hash = delivery.key, delivery.url_hash
    return (key.integration_id, key.target_type, key.target_id, url_hash or f"of {key.result_id}")


def _attempt(claim: Claim) -> dict[str, Any]:
    return {**claim.delivery.key.columns, "run_id": claim.run_id, "attempt": claim.attempt}
