"""The ledger: the status table and the attempts' history.

A row is claimed before its request leaves, and its outcome is recorded after the call. A claim is
conditional, so two runs at once cannot both send a row. A claim that was not sent is released. A
row that needs no request gets its outcome without a claim.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_kombo.database.transactions import RaceLostError, in_race, transaction
from airflow_kombo.delivery_key import Keyed, LinkKey
from airflow_kombo.exceptions import LedgerError, RowsHeldError
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.ledger.claim_rules import ClaimRules, may_be_recorded_unsent
from airflow_kombo.ledger.known_rows import KnownRows, targets_with_links
from airflow_kombo.ledger.ledger_rows import LedgerRow
from airflow_kombo.ledger.outcome_recording import record_outcomes, release_claims
from airflow_kombo.ledger.outcomes import (
    AttemptOutcome,
    Claim,
    ClaimResult,
    Claims,
    RowOutcome,
    UnconfirmedClaimError,
    UnsentRow,
    UnwrittenRows,
)
from airflow_kombo.ledger.redaction import Redactor
from airflow_kombo.ledger.runs import assert_alive
from airflow_kombo.ledger.statement_rows import (
    as_read,
    before_change,
    claimed,
    moved_warnings,
    recorded,
    unsent,
)
from airflow_kombo.ledger.statements import Statements
from airflow_kombo.statuses import ErrorCode

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Insert

    from airflow_kombo.ledger.tables import Tables


_Item = TypeVar("_Item", bound=Keyed)


class Ledger:
    """Rows in the tables of one database.

    :param redact: The reduction of requests and responses for the history. By default all of a
        request is stored, and of a response as much as of any.
    :param seen: Versions of status rows by result id, as a person saw them: `redeliver` sends only
        results that still have them. By default any version.
    """

    def __init__(
        self,
        engine: Engine,
        tables: Tables,
        redact: Redactor | None = None,
        seen: Mapping[str, str] | None = None,
    ) -> None:
        self.engine = engine
        self.tables = tables
        self.redact = redact or Redactor()
        self.seen = seen or {}
        self._sql = Statements(engine, tables)

    def claim(
        self, run_id: str, requests: Sequence[RowRequest], redeliver: Collection[str] = ()
    ) -> Claims:
        """Claim a few dozen rows for sending, in one transaction, durable on return.

        :param redeliver: Statuses that are sent again although they are final, or unchanged.
        :returns: One result for each request, in the order of the requests.
        :raises RowsHeldError: if another transaction holds a lock. Nothing was claimed.
        :raises UnconfirmedClaimError: if the database failed or the run is dead. The claims of the
            error may exist all the same, and have to be released.
        """
        decided: tuple[Claim, ...] = ()

        def work(connection: Connection) -> Claims:
            nonlocal decided
            decided = ()
            assert_alive(connection, self.tables, run_id)
            known = self._read(connection, ((one.key, one.url_hash) for one in requests))
            claims = self._decide(connection, known, run_id, requests, redeliver)
            _write_claims(connection, self._sql, known, claims, self.redact)
            decided = claims.won
            return claims

        try:
            return in_race(self.engine, "claim rows", work)
        except RowsHeldError:
            raise
        except LedgerError as error:
            raise UnconfirmedClaimError(str(error), decided) from None

    def look_up_claims(
        self,
        requests: Sequence[RowRequest],
        redeliver: Collection[str] = (),
        others: Collection[LinkKey] = (),
        run_id: str = "",
    ) -> tuple[Claims, KnownRows]:
        """Return the results of a claim, and the status rows, without a write.

        :param others: Keys of further rows to read.
        """
        with transaction(self.engine, "look rows up", reads_only=True) as connection:
            asked = [(one.key, one.url_hash) for one in requests]
            known = self._read(connection, [*asked, *((key, None) for key in others)])
            return self._decide(connection, known, run_id, requests, redeliver), known

    def record_unsent(self, run_id: str, rows: Sequence[UnsentRow]) -> UnwrittenRows:
        """Write outcomes of unsent rows, and return the keys of the rows left as they are.

        A row is left as it is if it is final, being sent by another run, or refused, or if a
        person has left it out. So is an `invalid` row with the same reason as before.

        :raises LedgerError: if nothing was written.
        """
        return in_race(
            self.engine,
            "write the outcomes of rows",
            lambda connection: self._record_unsent(connection, run_id, rows),
        )

    def record(self, outcomes: Sequence[AttemptOutcome]) -> None:
        """Write the outcomes of claims, in one transaction, durable on return.

        A late response settles its own attempt, and never overwrites the outcome of a newer one. A
        person's decision gives way to it.

        :raises LedgerError: if nothing was written.
        """
        if outcomes:
            in_race(
                self.engine,
                "record outcomes",
                lambda connection: record_outcomes(
                    connection, self.tables, self._sql, outcomes, self.redact
                ),
            )

    def record_attempts(self, outcomes: Sequence[AttemptOutcome]) -> None:
        """Write outcomes to the attempts' history only, durable on return.

        Their status rows stay as they are: the next run settles them by their attempts.

        :raises LedgerError: if nothing was written.
        """
        rows, sql = recorded(outcomes, self.redact), self._sql
        in_race(
            self.engine,
            "record attempts",
            lambda connection: sql.recorded.execute(connection, rows, sql.record_attempts),
        )

    def release(self, claims: Sequence[Claim], outcome: RowOutcome) -> None:
        """Release unsent claims: delete the attempts and restore the status rows.

        :param outcome: The outcome of a row that had no status before.
        :raises LedgerError: if nothing was released.
        """
        if claims:
            in_race(
                self.engine,
                "give rows back",
                lambda connection: release_claims(
                    connection, self.tables, self._sql, claims, outcome
                ),
            )

    def _read(
        self, connection: Connection, asked: Iterable[tuple[LinkKey, str | None]]
    ) -> KnownRows:
        """Return the status rows of results, and of the links on their targets."""
        return KnownRows(self._sql.known.read(connection, asked))

    def _decide(
        self,
        connection: Connection,
        known: KnownRows,
        run_id: str,
        requests: Sequence[RowRequest],
        redeliver: Collection[str],
    ) -> Claims:
        own = self._own_attempts(connection, known, run_id, requests) if redeliver else {}
        rules = ClaimRules(known, run_id)
        results: dict[int, ClaimResult] = {}
        for place in sorted(range(len(requests)), key=lambda place: requests[place].key):
            request = requests[place]
            attempts, sent = own.get(request.key.result_id, (0, 0))
            again = not sent and known.is_as_seen(request.key, self.seen, attempts)
            results[place] = rules.decide(request, redeliver if again else ())
        return Claims([results[place] for place in range(len(requests))])

    def _own_attempts(
        self,
        connection: Connection,
        known: KnownRows,
        run_id: str,
        requests: Sequence[RowRequest],
    ) -> dict[str, tuple[int, int]]:
        """Count this dag run's attempts by result, and those sent: each is redelivered once."""
        ids = {one.key.result_id for one in requests if known.of(one.key.result_id)}
        if not ids:
            return {}
        given = {"run_id": run_id, "result_ids": sorted(ids)}
        found = connection.execute(self._sql.own_attempts, given)
        return {row.result_id: (row.attempts, int(row.sent)) for row in found}

    def _record_unsent(
        self, connection: Connection, run_id: str, rows: Sequence[UnsentRow]
    ) -> UnwrittenRows:
        assert_alive(connection, self.tables, run_id)
        known = self._read(connection, ((row.key, None) for row in rows))
        written: dict[LinkKey, tuple[dict[str, Any], LedgerRow | None]] = {}
        doubled = [row.key for row in rows if _names_result_twice(row)]
        linked = targets_with_links(connection, self.tables, known, doubled)
        unwritten, results = UnwrittenRows([], []), set()
        for row in _in_lock_order(rows):
            if known.is_left_out(row.key.result_id):
                unwritten.left_out.append(row.key)
                continue
            # Rows that name one result twice stand side by side. Other results have one row.
            side_by_side = _names_result_twice(row)
            before = known.by_key.get(row.key) if side_by_side else known.standing(row.key)
            is_taken = row.key in written or (row.key.result_id in results and not side_by_side)
            if is_taken or row.key in linked or not may_be_recorded_unsent(before, row.outcome):
                unwritten.left.append(row.key)
            else:
                results.add(row.key.result_id)
                attempts = before.attempts if before else 0
                written[row.key] = (unsent(row, run_id, attempts), before)
        _write(connection, self._sql, known, written.values())
        return unwritten


def _write_claims(
    connection: Connection,
    sql: Statements,
    known: KnownRows,
    claims: Claims,
    redact: Redactor,
) -> None:
    """Write claims as `sending` rows and new attempts, and warnings of moved rows."""
    won = _in_lock_order(claims.won)
    losers = [as_read(row) for claim in won for row in known.losers(claim.request)]
    sql.replaced.execute(connection, losers, sql.free_urls)
    rows = [(claimed(claim, redact.request(claim.request.body)), claim.before) for claim in won]
    _write(connection, sql, known, rows, sql.insert_attempts)
    warnings = moved_warnings(_in_lock_order(claims.moved))
    sql.warned.execute(connection, warnings, sql.warn_links)


def _write(
    connection: Connection,
    sql: Statements,
    known: KnownRows,
    rows: Iterable[tuple[dict[str, Any], LedgerRow | None]],
    *also: Insert,
) -> None:
    """Insert new status rows, and change existing ones.

    :param rows: New values by column, each with the row of before or None.
    :param also: Statements to execute for each row.
    :raises RaceLostError: if another run has changed a row since the ledger read it.
    """
    rows = list(rows)
    stale = [as_read(one) for row, before in rows for one in known.replaced_by(row, before)]
    deleted, *_ = sql.replaced.execute(connection, stale, sql.delete_links)
    if deleted != len(stale):
        raise RaceLostError
    new, old = [], []
    for row, before in rows:
        if before is None:
            new.append(row)
        else:
            old.append({**row, **before_change(before)})
    sql.written.execute(connection, new, sql.insert_links, *also)
    changed, *_ = sql.written.execute(connection, old, sql.change_links, *also)
    if changed != len(old):
        raise RaceLostError


def _names_result_twice(row: UnsentRow) -> bool:
    return row.outcome.error_code == ErrorCode.DUPLICATE_RESULT_ID


def _in_lock_order(items: Iterable[_Item]) -> list[_Item]:
    """Sort by key: two runs with the same order of locks cannot deadlock."""
    return sorted(items, key=lambda item: item.key)
