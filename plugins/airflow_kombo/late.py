"""What an answer still changes when somebody else has settled its row before it came."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    Update,
    and_,
    bindparam,
    exists,
    or_,
    update,
)

from airflow_kombo.database import utc_now
from airflow_kombo.errors import FINAL, SENT_AGAIN, Status
from airflow_kombo.outcomes import Outcome
from airflow_kombo.tables import KEY, Tables

_OUTCOME: Final = tuple(Outcome(Status.SENDING).values)


def record_late(connection: Connection, tables: Tables, rows: Sequence[Mapping[str, Any]]) -> None:
    """Let answers have the last word about rows that were settled without them.

    A link that exists is not sent again: its row becomes `success` where the next run would send
    it. A person's decision about an attempt gives way to the attempt's own answer, unless the row
    was sent again since, or its other attempts leave room for both to be right.

    :param rows: Answers: each its claim's key and attempt, and the outcome.
    """
    said = [_bound(row) for row in rows if row["status"] != Status.UNKNOWN.value]
    created = [row for row in said if row["status"] == Status.SUCCESS.value]
    not_created = [row for row in said if row["status"] != Status.SUCCESS.value]
    if created:
        connection.execute(_keep_from_being_sent(tables), created)
        connection.execute(_overrule(tables), created)
    if not_created:
        connection.execute(_overrule(tables).where(~_another_may_exist(tables)), not_created)


def _bound(row: Mapping[str, Any]) -> dict[str, Any]:
    return {f"of_{name}": row[name] for name in (*KEY, "attempt")} | {
        name: row[name] for name in _OUTCOME
    }


def _keep_from_being_sent(tables: Tables) -> Update:
    links = tables.links
    return _record(links).where(_is_of(links), _is_one_of(links, SENT_AGAIN))


def _overrule(tables: Tables) -> Update:
    links, attempts = tables.links, tables.attempts
    decided = exists().where(
        _is_of(attempts),
        attempts.c.attempt == bindparam("of_attempt"),
        attempts.c.resolution.is_not(None),
    )
    return _record(links).where(
        _is_of(links),
        links.c.attempts == bindparam("of_attempt"),
        links.c.status != Status.SENDING.value,
        decided,
    )


def _another_may_exist(tables: Tables) -> ColumnElement[bool]:
    attempts = tables.attempts
    may_exist = _is_one_of(attempts, FINAL)
    another = attempts.c.attempt != bindparam("of_attempt")
    return exists().where(_is_of(attempts), another, may_exist)


def _record(links: Table) -> Update:
    return update(links).values(
        {name: bindparam(name) for name in _OUTCOME} | {"updated_at": utc_now()}
    )


def _is_one_of(table: Table, statuses: Collection[Status]) -> ColumnElement[bool]:
    return or_(*(table.c.status == status.value for status in sorted(statuses)))  # no IN: many rows


def _is_of(table: Table) -> ColumnElement[bool]:
    return and_(*(table.c[name] == bindparam(f"of_{name}") for name in KEY))
