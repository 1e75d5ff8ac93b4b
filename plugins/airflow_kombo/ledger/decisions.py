"""Write a person's decision to unknown rows and their attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Table, bindparam, update

from airflow_kombo.database.sql import utc_now
from airflow_kombo.database.transactions import RaceLostError
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.exceptions import LedgerError
from airflow_kombo.ledger.history import may_have_been_created, with_history
from airflow_kombo.ledger.ledger_rows import AttemptRow, LedgerRow
from airflow_kombo.ledger.outcomes import OUTCOME, RowOutcome
from airflow_kombo.ledger.tables import KEY
from airflow_kombo.statuses import DECIDED, Decision, ErrorCode, Status

_BOUND: Final = tuple(f"of_{name}" for name in (*KEY, "attempt"))

_DECIDED: Final[Mapping[Decision, Mapping[str, Any]]] = {
    Decision.CREATED: {
        "warnings": ["No response was received. A person decided that the link was created."],
        "error_code": None,
        "error_message": None,
    },
    Decision.NOT_CREATED: {
        "warnings": None,
        "error_code": ErrorCode.DECIDED_NOT_CREATED.value,
        "error_message": "No response was received. A person decided that the link was not"
        " created.",
    },
}
"""Values of a decided row. Its other columns keep Kombo's data, if Kombo sent any."""

_NOT_MADE: Final = RowOutcome(Status.RETRYABLE, ErrorCode.DECIDED_NOT_CREATED.value)


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
    connection: Connection, links: Table, rows: Sequence[LedgerRow], decision: Decision
) -> None:
    """Write a decision to unknown status rows.

    :raises RaceLostError: if a row was changed meanwhile, on a database without FOR UPDATE.
    """
    statement = update(links).where(
        *_is_bound(links, "attempts"), links.c.status == Status.UNKNOWN.value
    )
    values = {"status": DECIDED[decision].value, **_DECIDED[decision]}
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
    decision: Decision,
    *,
    by: str,
    reason: str,
) -> None:
    """Write a decision to the attempts in doubt.

    :param by: The name of the person who decided.
    """
    connection.execute(
        update(attempts)
        .where(*_is_bound(attempts, "attempt"))
        .values(
            resolution=decision.value,
            resolved_by=by,
            resolved_at=utc_now(),
            resolution_reason=reason,
        ),
        [_bound(LinkKey.of(one), one.attempt) for one in in_doubt],
    )


def _bound(key: LinkKey, attempt: int) -> dict[str, Any]:
    return dict(zip(_BOUND, (*key, attempt), strict=True))


def _is_bound(table: Table, attempt: str) -> list[ColumnElement[bool]]:
    columns = (*KEY, attempt)
    return [table.c[name] == bindparam(bound) for name, bound in zip(columns, _BOUND, strict=True)]
