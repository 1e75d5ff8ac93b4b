"""The status table and the attempts' history: every row's fate, durable before it is sent.

A row is **claimed** before its request leaves, and **recorded** when its answer is known. A claim
is conditional, so two runs at once cannot both send a row; one that was surely not sent is
**released**; a row whose fate needs no request is **noted**.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_kombo.database.transactions import RaceLostError, in_race, transaction
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.exceptions import LedgerError, RowsHeldError
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.ledger.claim_rules import ClaimRules
from airflow_kombo.ledger.known_rows import KnownRows, history, lock
from airflow_kombo.ledger.late_responses import record_late_responses
from airflow_kombo.ledger.outcomes import (
    AttemptOutcome,
    Claim,
    Claims,
    LedgerRow,
    RowOutcome,
    UnconfirmedClaimError,
    UnsentRow,
    may_be_recorded_unsent,
    may_have_been_created,
    outcome_of_history,
    with_history,
)
from airflow_kombo.ledger.runs import assert_alive
from airflow_kombo.ledger.statement_rows import (
    answered,
    as_before,
    as_seen,
    claimed,
    released,
    unsent,
    warned,
)
from airflow_kombo.ledger.statements import Statements
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.statuses import DUPLICATE_RESULT_ID, FINAL, Status

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Insert

from airflow_kombo.ledger.redaction import redactor


class Ledger:
    """The tables in one database, as far as rows are concerned.

    :param kept: What the attempts' history keeps of a request's body; by default all of it.
    """

    def __init__(
        self,
        engine: Engine,
        tables: Tables,
        redact: Callable[[bytes], str | None] | None = None,
    ) -> None:
        self.engine = engine
        self.tables = tables
        self.redact = redact or redactor()
        self._sql = Statements(engine, tables)

    def claim(
        self,
        run_id: str,
        deliveries: Sequence[RowRequest],
        redeliver: Collection[str] = (),
    ) -> Claims:
        """Claim a few dozen rows for sending, all in one transaction, durable on return.

        :param redeliver: Statuses that are sent again though they are final, or unchanged.
        :raises RowsHeldError: if somebody else's transaction holds a lock; nothing was claimed.
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
        except RowsHeldError:
            raise
        except LedgerError as error:
            raise UnconfirmedClaimError(str(error), decided) from None

    def _claim(
        self,
        connection: Connection,
        run_id: str,
        deliveries: Sequence[RowRequest],
        redeliver: Collection[str],
    ) -> Claims:
        assert_alive(connection, self.tables, run_id)
        known = self._look(connection, ((one.key, one.url_hash) for one in deliveries))
        claims = self._decide(connection, known, run_id, deliveries, redeliver)
        sql = self._sql
        freed = [as_seen(row) for claim in claims.won for row in known.losers(claim.delivery)]
        sql.replaced.execute(connection, freed, sql.free_urls)
        written = [
            (claimed(claim, self.redact(claim.delivery.body)), claim.before) for claim in claims.won
        ]
        self._write(connection, known, written, sql.insert_attempts)
        sql.warned.execute(connection, warned(claims.moved), sql.warn_links)
        return claims

    def look_up_claims(
        self,
        deliveries: Sequence[RowRequest],
        redeliver: Collection[str] = (),
        others: Collection[LinkKey] = (),
        run_id: str = "",
    ) -> tuple[Claims, KnownRows]:
        """Return what `claim` would return now, and what is known of these rows and of others.

        Nothing is written.
        """
        with transaction(self.engine, "look rows up", reads_only=True) as connection:
            asked = [(one.key, one.url_hash) for one in deliveries]
            known = self._look(connection, [*asked, *((key, None) for key in others)])
            return self._decide(connection, known, run_id, deliveries, redeliver), known

    def _decide(
        self,
        connection: Connection,
        known: KnownRows,
        run_id: str,
        deliveries: Sequence[RowRequest],
        redeliver: Collection[str],
    ) -> Claims:
        sent = self._sent_already(connection, known, run_id, deliveries) if redeliver else ()
        decided = ClaimRules(known)
        for delivery in _in_lock_order(deliveries):
            asked = () if delivery.key.result_id in sent else redeliver
            decided.decide(delivery, asked, run_id)
        return decided.claims

    def _sent_already(
        self,
        connection: Connection,
        known: KnownRows,
        run_id: str,
        deliveries: Sequence[RowRequest],
    ) -> Collection[str]:
        """Return the results that this dag run has sent: `redeliver` is once for each."""
        ids = {one.key.result_id for one in deliveries if known.of(one.key.result_id)}
        if not ids:
            return ()
        given = {"run_id": run_id, "result_ids": sorted(ids)}
        return {row.result_id for row in connection.execute(self._sql.sent_in_dag_run, given)}

    def record_unsent(self, run_id: str, rows: Sequence[UnsentRow]) -> list[LinkKey]:
        """Write the fate of rows that are not sent; give those that were left as they are.

        Left are rows that are final or another run's, that were refused, and that are `invalid` for
        the reason that they had before.

        :raises LedgerError: if nothing was written.
        """
        return in_race(
            self.engine,
            "write rows' fate",
            lambda connection: self._record_unsent(connection, run_id, rows),
        )

    def _record_unsent(
        self, connection: Connection, run_id: str, rows: Sequence[UnsentRow]
    ) -> list[LinkKey]:
        assert_alive(connection, self.tables, run_id)
        known = self._look(connection, ((row.key, None) for row in rows))
        noted: dict[LinkKey, tuple[dict[str, Any], LedgerRow | None]] = {}
        left, results = [], set()
        for row in _in_lock_order(rows):
            # Rows that name one result twice stand side by side; of others, a result has one.
            side_by_side = row.outcome.error_code == DUPLICATE_RESULT_ID
            before = known.by_key.get(row.key) if side_by_side else known.standing(row.key)
            is_taken = row.key in noted or (row.key.result_id in results and not side_by_side)
            if is_taken or not may_be_recorded_unsent(before, row.outcome):
                left.append(row.key)
            else:
                results.add(row.key.result_id)
                attempts = before.attempts if before else 0
                noted[row.key] = (unsent(row, run_id, attempts), before)
        self._write(connection, known, noted.values())
        return left

    def record(self, recorded: Sequence[AttemptOutcome]) -> None:
        """Write what became of claims, all in one transaction, durable on return.

        A late answer settles its own attempt, and never overwrites what a newer one wrote; what a
        person decided meanwhile gives way to it.

        :raises LedgerError: if nothing was written.
        """
        rows = answered(recorded)
        again = [one for one in recorded if _needs_history(one)]

        def work(connection: Connection) -> None:
            sql = self._sql
            statuses = self._with_history(connection, rows, again) if again else rows
            (in_time,) = sql.answered.execute(connection, statuses, sql.record_links)
            if in_time != len(rows):
                lock(connection, self.tables, [row["result_id"] for row in rows])
            sql.answered.execute(connection, rows, sql.record_attempts)
            if in_time != len(rows):
                record_late_responses(connection, self.tables, rows)

        if rows:
            in_race(self.engine, "record outcomes", work)

    def record_attempts(self, recorded: Sequence[AttemptOutcome]) -> None:
        """Write what became of attempts into their history alone, durable on return.

        Their status rows are left as they are: the next run settles them by their attempts.

        :raises LedgerError: if nothing was written.
        """
        rows, sql = answered(recorded), self._sql
        in_race(
            self.engine,
            "record attempts",
            lambda connection: sql.answered.execute(connection, rows, sql.record_attempts),
        )

    def _with_history(
        self,
        connection: Connection,
        rows: Sequence[Mapping[str, Any]],
        again: Sequence[AttemptOutcome],
    ) -> list[Mapping[str, Any]]:
        """Return what to write of rows in the status table, where some were sent before."""
        results = [one.claim.delivery.key.result_id for one in again]
        lock(connection, self.tables, results)
        attempts = history(connection, self.tables, results)
        changed = {}
        for one in again:
            key, attempt = one.claim.delivery.key, one.claim.attempt
            others = [other for other in attempts[key.result_id] if not _is_of(other, one.claim)]
            changed[key, attempt] = with_history(one.outcome, attempt, others).values
        return [{**row, **changed.get((_key_in(row), row["attempt"]), {})} for row in rows]

    def release(self, claims: Sequence[Claim], outcome: RowOutcome) -> None:
        """Give back claims that were surely not sent: their attempt never was.

        A result gets back the status that it had; one that had none gets the outcome.

        :raises LedgerError: if nothing was given back.
        """
        in_order = sorted(claims, key=lambda claim: claim.delivery.key)

        def work(connection: Connection) -> None:
            sql = self._sql
            rows = [released(claim, outcome) for claim in in_order]
            self._settle_doubt(connection, in_order, rows)
            sql.released.execute(connection, rows, sql.release_links, sql.forget_attempts)

        if claims:
            in_race(self.engine, "give rows back", work)

    def _settle_doubt(
        self, connection: Connection, claims: Sequence[Claim], rows: list[dict[str, Any]]
    ) -> None:
        """Let an answer count that came for an `unknown` row while it was claimed once more."""
        unknown = Status.UNKNOWN.value
        doubtful = [row["result_id"] for row in rows if row["status"] == unknown]
        if not doubtful:
            return
        lock(connection, self.tables, doubtful)
        attempts = history(connection, self.tables, doubtful)
        for claim, row in zip(claims, rows, strict=True):
            result = attempts.get(claim.delivery.key.result_id, [])
            others = [one for one in result if not _is_of(one, claim)]
            if row["status"] == unknown and others and not any(map(may_have_been_created, others)):
                row.update(outcome_of_history(others).values)

    def _look(
        self, connection: Connection, asked: Iterable[tuple[LinkKey, str | None]]
    ) -> KnownRows:
        """Return what is known of rows by result, and of the links on their targets."""
        return KnownRows(self._sql.known.read(connection, asked))

    def _write(
        self,
        connection: Connection,
        known: KnownRows,
        rows: Iterable[tuple[dict[str, Any], LedgerRow | None]],
        *also: Insert,
    ) -> None:
        """Insert what is new, and change what is still as it was seen."""
        sql = self._sql
        rows = list(rows)
        stale = [as_seen(one) for row, before in rows for one in known.replaced_by(row, before)]
        sql.replaced.execute(connection, stale, sql.delete_links)
        new = [row for row, before in rows if before is None]
        sql.written.execute(connection, new, sql.insert_links, *also)
        seen = [{**row, **as_before(before)} for row, before in rows if before is not None]
        changed, *_ = sql.written.execute(connection, seen, sql.change_links, *also)
        if changed != len(seen):
            raise RaceLostError


def _in_lock_order(rows: Iterable[Any]) -> list[Any]:
    """Sort by key: two runs that lock the same rows in the same order cannot deadlock."""
    return sorted(rows, key=lambda row: row.key)


def _needs_history(one: AttemptOutcome) -> bool:
    return one.claim.attempt > 1 and one.outcome.status not in FINAL


def _is_of(attempt: Any, claim: Claim) -> bool:
    is_key = LinkKey(*attempt[:4]) == claim.delivery.key
    return is_key and bool(attempt.attempt == claim.attempt)


def _key_in(row: Mapping[str, Any]) -> LinkKey:
    return LinkKey(*(row[name] for name in KEY))
