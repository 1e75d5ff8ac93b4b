"""The status table and the attempts' history: every row's fate, durable before it is sent.

A row is **claimed** before its request leaves, and **recorded** when its answer is known. A claim
is conditional, so two runs at once cannot both send a row; one that was surely not sent is
**released**; a row whose fate needs no request is **noted**.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Table,
    Update,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    null,
    or_,
    select,
    update,
)

from airflow_kombo.database import RaceLostError, in_race, transaction, utc_now
from airflow_kombo.errors import Status
from airflow_kombo.late import record_late
from airflow_kombo.models import Delivery, LinkKey
from airflow_kombo.outcomes import (
    Claim,
    Claims,
    Outcome,
    Recorded,
    Seen,
    Unsent,
    may_be_noted,
    may_be_sent,
)
from airflow_kombo.runs import assert_alive
from airflow_kombo.tables import KEY, Tables

_SENDING: Final = Outcome(Status.SENDING)
_OUTCOME: Final = tuple(_SENDING.values)


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

    def claim(
        self,
        run_id: str,
        deliveries: Sequence[Delivery],
        redeliver: Collection[str] = (),
    ) -> Claims:
        """Claim a few dozen rows for sending, all in one transaction, durable on return.

        :param redeliver: Statuses that are sent again though they are final, or unchanged.
        :raises LedgerError: if nothing was claimed, since the database failed or the run is dead.
        """
        return in_race(
            self.engine,
            "claim rows",
            lambda connection: self._claim(connection, run_id, deliveries, redeliver),
        )

    def _claim(
        self,
        connection: Connection,
        run_id: str,
        deliveries: Sequence[Delivery],
        redeliver: Collection[str],
    ) -> Claims:
        assert_alive(connection, self.tables, run_id)
        claims, seen = self._decide(connection, run_id, deliveries, redeliver)
        won = {claim.delivery.key: _claimed(claim) for claim in claims.won}
        self._write(connection, won, seen)
        self._write_attempts(connection, claims.won)
        return claims

    def foresee(self, deliveries: Sequence[Delivery], redeliver: Collection[str] = ()) -> Claims:
        """Give what `claim` would give now, and write nothing."""
        with transaction(self.engine, "look rows up", reads_only=True) as connection:
            return self._decide(connection, "", deliveries, redeliver)[0]

    def _decide(
        self,
        connection: Connection,
        run_id: str,
        deliveries: Sequence[Delivery],
        redeliver: Collection[str],
    ) -> tuple[Claims, dict[LinkKey, Seen]]:
        keys = [delivery.key for delivery in deliveries]
        url_hashes = [delivery.url_hash for delivery in deliveries]
        seen, owners = self._look(connection, keys, url_hashes)
        won: dict[LinkKey, Claim] = {}
        duplicates, skipped = [], []
        for delivery in _in_lock_order(deliveries):
            key, known = delivery.key, seen.get(delivery.key)
            owner = owners.setdefault(_link_of(delivery), key.result_id)
            if key in won or not may_be_sent(known, delivery, redeliver):
                skipped.append(key)
            elif owner != key.result_id:
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
        seen, _ = self._look(connection, [row.key for row in rows])
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
            {**_bound(one.claim), **one.outcome.values, "milliseconds": one.milliseconds}
            for one in sorted(recorded, key=lambda one: one.claim.delivery.key)
        ]
        if rows:
            with transaction(self.engine, "record outcomes") as connection:
                in_time = connection.execute(self._record_links, rows).rowcount
                if in_time != len(rows):
                    record_late(connection, self.tables, rows)
                connection.execute(self._record_attempts, rows)

    def release(self, claims: Sequence[Claim], outcome: Outcome) -> None:
        """Give back claims that were surely not sent: their attempt never was.

        :raises LedgerError: if nothing was given back.
        """
        rows = [
            {**_bound(claim), **outcome.values}
            for claim in sorted(claims, key=lambda claim: claim.delivery.key)
        ]
        if rows:
            with transaction(self.engine, "give rows back") as connection:
                connection.execute(self._release_links, rows)
                connection.execute(self._forget_attempts, rows)

    # What the statements are made of. They are built once: building costs more than running.

    @cached_property
    def _record_links(self) -> Update:
        links = self.tables.links
        in_doubt = or_(
            links.c.status == Status.SENDING.value, links.c.status == Status.UNKNOWN.value
        )
        return (
            update(links)
            .where(_is_bound(links), links.c.attempts == bindparam("of_attempt"), in_doubt)
            .values({name: bindparam(name) for name in _OUTCOME} | {"updated_at": utc_now()})
        )

    @cached_property
    def _record_attempts(self) -> Update:
        attempts = self.tables.attempts
        unanswered = or_(attempts.c.status.is_(None), attempts.c.status == Status.UNKNOWN.value)
        return (
            update(attempts)
            .where(_is_bound(attempts), attempts.c.attempt == bindparam("of_attempt"), unanswered)
            .values({name: bindparam(name) for name in (*_OUTCOME, "milliseconds")})
            .values(answered_at=utc_now())
        )

    @cached_property
    def _release_links(self) -> Update:
        links = self.tables.links
        return (
            update(links)
            .where(_is_bound(links), links.c.attempts == bindparam("of_attempt"))
            .where(links.c.status == Status.SENDING.value)
            .values({name: bindparam(name) for name in _OUTCOME})
            .values(
                attempts=links.c.attempts - 1,
                first_sent_at=case((links.c.attempts == 1, null()), else_=links.c.first_sent_at),
                updated_at=utc_now(),
            )
        )

    @cached_property
    def _forget_attempts(self) -> Any:
        attempts = self.tables.attempts
        return delete(attempts).where(
            _is_bound(attempts),
            attempts.c.attempt == bindparam("of_attempt"),
            attempts.c.status.is_(None),
        )

    def _look(
        self, connection: Connection, keys: Collection[LinkKey], url_hashes: Collection[str] = ()
    ) -> tuple[dict[LinkKey, Seen], dict[tuple[str, ...], str]]:
        """Give what is known of rows by key, and which result has each link of their targets.

        Asked for by target, which is what both indexes begin with: PostgreSQL plans a list of
        whole keys as so many conditions, and is slower the longer it is.
        """
        links = self.tables.links.c
        query = select(
            *(links[name] for name in KEY),
            links.url_hash,
            links.status,
            links.attempts,
            links.request_hash,
            links.error_code,
            links.error_message,
        ).where(
            links.integration_id.in_({key.integration_id for key in keys}),
            links.target_type.in_({key.target_type for key in keys}),
            links.target_id.in_({key.target_id for key in keys}),
            or_(
                links.result_id.in_({key.result_id for key in keys}),
                links.url_hash.in_(url_hashes),
            ),
        )
        rows = connection.execute(query).all()
        owners: dict[tuple[str, ...], str] = {
            (*row[:3], row.url_hash): row.result_id for row in rows if row.url_hash
        }
        return {LinkKey(*row[:4]): row for row in rows}, owners

    def _write(
        self,
        connection: Connection,
        rows: Mapping[LinkKey, dict[str, Any]],
        seen: Mapping[LinkKey, Seen],
    ) -> None:
        """Insert what is new, and change what is still as it was seen."""
        links = self.tables.links
        new = [asdict(key) | values for key, values in rows.items() if key not in seen]
        if new:
            sent = utc_now() if new[0]["status"] == Status.SENDING.value else null()
            connection.execute(insert(links).values(first_sent_at=sent, updated_at=utc_now()), new)
        for key, values in rows.items():
            if key in seen:
                self._change(connection, key, values, seen[key])

    def _change(
        self, connection: Connection, key: LinkKey, values: dict[str, Any], seen: Seen
    ) -> None:
        links = self.tables.links
        unchanged = and_(
            *(links.c[name] == value for name, value in asdict(key).items()),
            links.c.status == seen.status,
            links.c.attempts == seen.attempts,
        )
        sending = values["status"] == Status.SENDING.value
        sent = func.coalesce(links.c.first_sent_at, utc_now()) if sending else links.c.first_sent_at
        changed = connection.execute(
            update(links)
            .where(unchanged)
            .values(**values, first_sent_at=sent, updated_at=utc_now())
        )
        if changed.rowcount != 1:
            raise RaceLostError

    def _write_attempts(self, connection: Connection, claims: Iterable[Claim]) -> None:
        rows = [
            {
                **asdict(claim.delivery.key),
                "attempt": claim.attempt,
                "run_id": claim.run_id,
                "request": self.kept(claim.delivery.body),
            }
            for claim in claims
        ]
        if rows:
            connection.execute(insert(self.tables.attempts).values(claimed_at=utc_now()), rows)


def _in_lock_order(rows: Iterable[Any]) -> list[Any]:
    """Sort by key: two runs that lock the same rows in the same order cannot deadlock."""
    return sorted(rows, key=lambda row: row.key)


def _claimed(claim: Claim) -> dict[str, Any]:
    delivery = claim.delivery
    return {
        **_SENDING.values,
        "assessment_date": delivery.assessment_date,
        "attempts": claim.attempt,
        "request_hash": delivery.request_hash,
        "url_hash": delivery.url_hash,
        "run_id": claim.run_id,
    }


def _unsent(row: Unsent, run_id: str, attempts: int) -> dict[str, Any]:
    return {
        **row.outcome.values,
        "assessment_date": row.assessment_date,
        "attempts": attempts,
        "request_hash": None,
        "url_hash": None,
        "run_id": run_id,
    }


def _link_of(delivery: Delivery) -> tuple[str, ...]:
    key = delivery.key
    return (key.integration_id, key.target_type, key.target_id, delivery.url_hash)


def _bound(claim: Claim) -> dict[str, Any]:
    of_key = {f"of_{name}": value for name, value in asdict(claim.delivery.key).items()}
    return {**of_key, "of_run_id": claim.run_id, "of_attempt": claim.attempt}


def _is_bound(table: Table) -> ColumnElement[bool]:
    return and_(*(table.c[name] == bindparam(f"of_{name}") for name in (*KEY, "run_id")))
