"""Leave rows out for good, and take them back.

A row that is left out keeps its status. Three columns have the person, the time and the reason. No
run sends the row until a person takes the decision back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, update

from airflow_kombo.database.sql import utc_now
from airflow_kombo.database.transactions import RaceLostError
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.ledger.decisions import DecisionBy
from airflow_kombo.ledger.ledger_rows import LedgerRow
from airflow_kombo.ledger.tables import KEY, LEFT_OUT
from airflow_kombo.statuses import AWAITING_DECISION, Decision, Status

IS_LEFT_OUT: Final = "left out already"
IS_NOT_LEFT_OUT: Final = "not left out"
"""Reasons why a row cannot be left out, or taken back."""

_READ: Final = (*KEY, "status", "attempts")
_AWAITING: Final = [status.value for status in AWAITING_DECISION]


def may_be_decided(links: Table, decision: Decision) -> ColumnElement[bool]:
    """Build the condition for the status rows open to a decision."""
    if decision is Decision.LEAVE_OUT:
        return and_(links.c.status != Status.SENDING.value, links.c.left_out_at.is_(None))
    if decision is Decision.TAKE_BACK:
        return links.c.left_out_at.is_not(None)
    return links.c.trouble.in_(_AWAITING)


def why_not_decided(row: LedgerRow, decision: Decision) -> str | None:
    """Return the reason why a decision cannot be about a row, or None if the decision can be."""
    if decision is Decision.LEAVE_OUT:
        if row.left_out_at is not None:
            return IS_LEFT_OUT
        return row.status if row.status == Status.SENDING else None
    if decision is Decision.TAKE_BACK:
        return None if row.left_out_at is not None else IS_NOT_LEFT_OUT
    return None if row.status in AWAITING_DECISION else row.status


def leave_out(
    connection: Connection, links: Table, locked: Sequence[LedgerRow], decision: DecisionBy
) -> None:
    """Leave rows out, or take them back, by the decision.

    :param locked: Status rows, whose locks are held where the database has any.
    :raises RaceLostError: if a row was changed meanwhile, on a database without FOR UPDATE.
    """
    values: dict[str, Any] = dict.fromkeys(LEFT_OUT)
    if decision.decision is Decision.LEAVE_OUT:
        values = dict(zip(LEFT_OUT, (decision.by, utc_now(), decision.reason), strict=True))
    is_as_read = [links.c[name] == bindparam(f"of_{name}") for name in _READ]
    statement = update(links).where(*is_as_read, may_be_decided(links, decision.decision))
    rows = [
        {f"of_{name}": value for name, value in LinkKey.of(row).columns.items()}
        | {"of_status": row.status, "of_attempts": row.attempts}
        for row in locked
    ]
    done = connection.execute(statement.values(**values, updated_at=utc_now()), rows).rowcount
    if done != len(rows):
        raise RaceLostError
