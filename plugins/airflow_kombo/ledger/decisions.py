"""Write a decision, of a person or by evidence, to unknown rows and their attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Table, bindparam, update

from airflow_kombo.database.sql import utc_now
from airflow_kombo.database.transactions import RaceLostError
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.exceptions import LedgerError
from airflow_kombo.ledger.history import history, may_have_been_created, with_history
from airflow_kombo.ledger.ledger_rows import AttemptRow, LedgerRow
from airflow_kombo.ledger.outcomes import OUTCOME, RowOutcome
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.statuses import DECIDED, Decision, ErrorCode, Status

_BOUND: Final = tuple(f"of_{name}" for name in (*KEY, "attempt"))


@dataclass(frozen=True)
class DecisionBy:
    """A decision, with its reason.

    :param by: The name of the person in Airflow, or of the dag that found the evidence.
    """

    decision: Decision
    reason: str
    by: str


Words = Mapping[Decision, Mapping[str, Any]]
"""Values of a decided row by decision. Its other columns keep Kombo's data, if Kombo sent any."""


def _words(created: str, not_created: str, code: ErrorCode) -> Words:
    lost = "No response was received."
    return {
        Decision.CREATED: {
            "warnings": [f"{lost} {created}"],
            "error_code": None,
            "error_message": None,
        },
        Decision.NOT_CREATED: {
            "warnings": None,
            "error_code": code.value,
            "error_message": f"{lost} {not_created}",
        },
    }


BY_PERSON: Final = _words(
    "A person decided that the link was created.",
    "A person decided that the link was not created.",
    ErrorCode.DECIDED_NOT_CREATED,
)
BY_EVIDENCE: Final = _words(
    "The link was found in the applicant tracking system.",
    "The applicant tracking system has later links of this integration, and not this one.",
    ErrorCode.PROVED_NOT_CREATED,
)

_NOT_MADE: Final = RowOutcome(Status.RETRYABLE, ErrorCode.DECIDED_NOT_CREATED.value)


def decide(
    connection: Connection,
    tables: Tables,
    locked: Sequence[LedgerRow],
    decision: DecisionBy,
    words: Words = BY_PERSON,
) -> None:
    """Decide unknown rows, and keep the decision beside their attempts in doubt.

    :param locked: Unknown status rows, whose locks are held where the database has any.
    :param words: The values of a decided row.
    :raises LedgerError: if a row has no attempt in doubt, which would keep the decision.
    :raises RaceLostError: if a row was changed meanwhile, on a database without FOR UPDATE.
    """
    attempts = history(connection, tables, [row.result_id for row in locked])
    made, in_doubt = by_history(attempts, locked, tables.attempts.fullname)
    write_decision(connection, tables.links, locked, decision.decision, words)
    if decision.decision is Decision.NOT_CREATED and made:
        restore_made(connection, tables.links, made)
    keep_decision(connection, tables.attempts, in_doubt, decision)


def by_history(
    attempts: Mapping[str, Sequence[AttemptRow]], locked: Sequence[LedgerRow], table: str
) -> tuple[list[tuple[LedgerRow, RowOutcome]], list[AttemptRow]]:
    """Return the rows with a link from another attempt, and the attempts in doubt.

    :param attempts: The attempts by result id.
    :param table: The name of the attempts' table, for the error.
    :raises LedgerError: if a row has no attempt in doubt, which would keep the decision.
    """
    made: list[tuple[LedgerRow, RowOutcome]] = []
    in_doubt: list[AttemptRow] = []
    lost = 0
    for row in locked:
        own = attempts[row.result_id]
        doubtful = [one for one in own if may_have_been_created(one)]
        lost += not doubtful
        in_doubt += doubtful
        others = [one for one in own if one not in doubtful]
        outcome = with_history(_NOT_MADE, row.attempts, others)
        if outcome.status is Status.SUCCESS:
            made.append((row, outcome))
    if lost:
        raise LedgerError(
            f"{lost} rows have lost their attempt in {table}, where the decision would be kept:"
            " their batch was not decided."
        )
    return made, in_doubt


def write_decision(
    connection: Connection,
    links: Table,
    rows: Sequence[LedgerRow],
    decision: Decision,
    words: Words = BY_PERSON,
) -> None:
    """Write a decision to unknown status rows.

    :param words: The values of a decided row.
    :raises RaceLostError: if a row was changed meanwhile, on a database without FOR UPDATE.
    """
    statement = update(links).where(
        *_is_bound(links, "attempts"), links.c.status == Status.UNKNOWN.value
    )
    values = {"status": DECIDED[decision].value, **words[decision]}
    statement = statement.values(**values, error_title=None, updated_at=utc_now())
    bound = [_bound(LinkKey.of(row), row.attempts) for row in rows]
    if connection.execute(statement, bound).rowcount != len(rows):
        raise RaceLostError


def restore_made(
    connection: Connection, links: Table, made: Sequence[tuple[LedgerRow, RowOutcome]]
) -> None:
    """Write `success` to rows with a link from another attempt than those in doubt."""
    rows = [
        _bound(LinkKey.of(row), row.attempts)
        | {f"new_{name}": value for name, value in outcome.values.items()}
        for row, outcome in made
    ]
    values = {name: bindparam(f"new_{name}", type_=links.c[name].type) for name in OUTCOME}
    connection.execute(update(links).where(*_is_bound(links, "attempts")).values(values), rows)


def keep_decision(
    connection: Connection,
    attempts: Table,
    in_doubt: Sequence[AttemptRow],
    decision: DecisionBy,
) -> None:
    """Write a decision to the attempts in doubt."""
    connection.execute(
        update(attempts)
        .where(*_is_bound(attempts, "attempt"))
        .values(
            resolution=decision.decision.value,
            resolved_by=decision.by,
            resolved_at=utc_now(),
            resolution_reason=decision.reason,
        ),
        [_bound(LinkKey.of(one), one.attempt) for one in in_doubt],
    )


def _bound(key: LinkKey, attempt: int) -> dict[str, Any]:
    return dict(zip(_BOUND, (*key, attempt), strict=True))


def _is_bound(table: Table, attempt: str) -> list[ColumnElement[bool]]:
    columns = (*KEY, attempt)
    return [table.c[name] == bindparam(bound) for name, bound in zip(columns, _BOUND, strict=True)]
