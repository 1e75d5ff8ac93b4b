"""Write the outcomes of claims, and release unsent claims.

Each function works within a transaction of the caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.ledger.history import (
    history,
    may_have_been_created,
    outcome_of_history,
    with_history,
)
from airflow_kombo.ledger.known_rows import lock
from airflow_kombo.ledger.late_responses import record_late_responses, record_unsent_attempts
from airflow_kombo.ledger.ledger_rows import AttemptRow
from airflow_kombo.ledger.outcomes import AttemptOutcome, Claim, RowOutcome
from airflow_kombo.ledger.redaction import Redactor
from airflow_kombo.ledger.statement_rows import recorded, released
from airflow_kombo.ledger.statements import Statements
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.statuses import FINAL, Status

if TYPE_CHECKING:
    from sqlalchemy import Connection


def record_outcomes(
    connection: Connection,
    tables: Tables,
    sql: Statements,
    outcomes: Sequence[AttemptOutcome],
    redact: Redactor,
) -> None:
    """Write outcomes to status rows and attempts."""
    rows = recorded(outcomes, redact)
    again = [one for one in outcomes if needs_history(one)]
    statuses = _with_history(connection, tables, rows, again) if again else rows
    (in_time,) = sql.recorded.execute(connection, statuses, sql.record_links)
    if in_time != len(rows):
        lock(connection, tables, [row["result_id"] for row in rows])
    sql.recorded.execute(connection, rows, sql.record_attempts)
    if in_time != len(rows):
        record_late_responses(connection, tables, rows)


def release_claims(
    connection: Connection,
    tables: Tables,
    sql: Statements,
    claims: Sequence[Claim],
    outcome: RowOutcome,
) -> None:
    """Delete the attempts of claims, and restore the status rows of before.

    :param outcome: The outcome of rows that had no status before, and of attempts of rows that were
        sent again since.
    """
    in_order = sorted(claims, key=lambda claim: claim.request.key)
    rows = [released(claim, outcome) for claim in in_order]
    _settle_unknown(connection, tables, in_order, rows)
    (restored,) = sql.released.execute(connection, rows, sql.release_links)
    if restored != len(rows):
        record_unsent_attempts(connection, tables, in_order, outcome)
    sql.released.execute(connection, rows, sql.forget_attempts)


def needs_history(one: AttemptOutcome) -> bool:
    """Return True if the outcome of a row depends on earlier attempts."""
    return one.claim.attempt > 1 and one.outcome.status not in FINAL


def _with_history(
    connection: Connection,
    tables: Tables,
    rows: Sequence[Mapping[str, Any]],
    again: Sequence[AttemptOutcome],
) -> list[Mapping[str, Any]]:
    """Return the values of status rows with regard to earlier attempts.

    :param rows: All outcomes by column.
    :param again: The outcomes of rows that were sent before.
    """
    results = [one.key.result_id for one in again]
    lock(connection, tables, results)
    attempts = history(connection, tables, results)
    changed = {}
    for one in again:
        key, attempt = one.key, one.claim.attempt
        others = [other for other in attempts[key.result_id] if not _is_of(other, one.claim)]
        changed[key, attempt] = with_history(one.outcome, attempt, others).values
    return [{**row, **changed.get((_key_in(row), row["attempt"]), {})} for row in rows]


def _settle_unknown(
    connection: Connection, tables: Tables, claims: Sequence[Claim], rows: list[dict[str, Any]]
) -> None:
    """Settle unknown rows with a late response from the time of the claim.

    :param rows: The restored status rows of the claims by column, changed in place.
    """
    unknown = Status.UNKNOWN.value
    results = [row["result_id"] for row in rows if row["status"] == unknown]
    if not results:
        return
    lock(connection, tables, results)
    attempts = history(connection, tables, results)
    for claim, row in zip(claims, rows, strict=True):
        own = attempts.get(claim.key.result_id, [])
        others = [one for one in own if not _is_of(one, claim)]
        if row["status"] == unknown and others and not any(map(may_have_been_created, others)):
            row.update(outcome_of_history(others).values)


def _is_of(attempt: AttemptRow, claim: Claim) -> bool:
    return attempt.attempt == claim.attempt and LinkKey.of(attempt) == claim.key


def _key_in(row: Mapping[str, Any]) -> LinkKey:
    return LinkKey(**{name: row[name] for name in KEY})
