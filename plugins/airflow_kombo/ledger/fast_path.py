"""The fast path of the ledger: claim and record usual rows in one statement each.

Usual is a row that the ledger does not have, and an outcome that comes in time. One statement
writes a group of them as `Ledger` does, under the same conditions, and leaves all others out. With
the commit this is two round trips to the database, where `Ledger` makes five to seven.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import CTE, Insert, Select, Table, exists, insert, select

from airflow_kombo.database.dialects import dialect_of
from airflow_kombo.database.sql import utc_now
from airflow_kombo.database.transactions import ConnectionLostError, RaceLostError, running
from airflow_kombo.delivery_key import LinkKey, Target
from airflow_kombo.exceptions import LedgerError, RowsHeldError
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.ledger.outcome_recording import needs_history
from airflow_kombo.ledger.outcomes import AttemptOutcome, Claim, UnconfirmedClaimError
from airflow_kombo.ledger.runs import living
from airflow_kombo.ledger.statement_rows import claimed, recorded
from airflow_kombo.ledger.statements import Statements, record_attempts, record_links
from airflow_kombo.ledger.tables import KEY, TARGET, Tables

if TYPE_CHECKING:
    from sqlalchemy import FromClause

    from airflow_kombo.ledger.claims import Ledger

_SAME: Final = {name: name for name in (*KEY, "run_id")}
_LINK: Final = _SAME | {
    name: name for name in ("status", "assessment_date", "attempts", "request_hash", "url_hash")
}
"""Columns of a status row, each with the column of the claim."""
_LINK_TIMES: Final = ("first_sent_at", "updated_at")
_ATTEMPT: Final = _SAME | {"request": "request", "attempt": "attempts"}
"""Columns of an attempt, each with the column of the claim."""
_ATTEMPT_TIMES: Final = ("claimed_at",)


class FastPath:
    """Claims and outcomes of usual rows.

    A database or a driver without scripts has no fast path: every row is left to the ledger.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._engine, self._redact = ledger.engine, ledger.redact
        sql, tables = Statements(self._engine, ledger.tables), ledger.tables
        self._written, self._recorded = sql.written, sql.recorded
        if sql.written.rows is not None and sql.recorded.rows is not None:
            script = dialect_of(self._engine).script
            self._claim = script(self._engine, _claim_new(tables, sql.written.rows))
            self._record = script(self._engine, _record_in_time(tables, sql.recorded.rows))
        else:
            self._claim = self._record = None

    def claim(self, run_id: str, requests: Sequence[RowRequest]) -> Mapping[LinkKey, Claim]:
        """Claim new rows, durable on return. All others stay as they are.

        :returns: The claims by key. A dead run gets none.
        :raises RowsHeldError: if another transaction holds a lock. Nothing was claimed.
        :raises UnconfirmedClaimError: as `Ledger.claim`.
        """
        if self._claim is None:
            return {}
        claims = {one.key: Claim(one, run_id, 1) for one in sorted(_alone(requests), key=_key)}
        rows = [claimed(one, self._redact.request(one.request.body)) for one in claims.values()]
        given = {**self._written.given(rows), "run_id": run_id}
        won: dict[LinkKey, Claim] = {}
        try:
            with running(self._engine, "claim rows", self._claim, given) as new:
                won.update((key, claims[key]) for key in map(LinkKey._make, new))
        except (RaceLostError, ConnectionLostError):
            return {}
        except RowsHeldError:
            raise
        except LedgerError as error:
            raise UnconfirmedClaimError(str(error), tuple(won.values())) from None
        return won

    def record(self, outcomes: Sequence[AttemptOutcome]) -> list[AttemptOutcome]:
        """Write outcomes that come in time, durable on return; return all others.

        :raises LedgerError: if nothing was written.
        """
        usual = [one for one in outcomes if not needs_history(one)]
        if self._record is None or not usual:
            return list(outcomes)
        given = self._recorded.given(recorded(usual, self._redact))
        try:
            with running(self._engine, "record outcomes", self._record, given) as in_time:
                done = {(LinkKey(*key), attempt) for *key, attempt in in_time}
        except (RaceLostError, ConnectionLostError):
            return list(outcomes)
        return [one for one in outcomes if (one.key, one.claim.attempt) not in done]


def _key(request: RowRequest) -> LinkKey:
    return request.key


def _alone(requests: Sequence[RowRequest]) -> list[RowRequest]:
    """Return the requests without another one of the same result or link among them."""
    results = Counter(one.key.result_id for one in requests)
    links = Counter(_link(one) for one in requests if one.url_hash)
    return [one for one in requests if results[one.key.result_id] == 1 and links[_link(one)] <= 1]


def _link(request: RowRequest) -> tuple[Target, str | None]:
    return request.key.target, request.url_hash


def _claim_new(tables: Tables, rows: FromClause) -> Select[Any]:
    """Build the statement that claims the given rows, unless their result or link is known."""
    links = tables.links.c
    given = select(rows).cte("given_rows")
    living_run = living(tables).cte("living_run")
    is_known = exists().where(links.result_id == given.c.result_id)
    has_link = exists().where(*(links[name] == given.c[name] for name in (*TARGET, "url_hash")))
    is_alive = exists(select(living_run.c.run_id))
    new = select(given, utc_now().label("now")).where(~is_known, ~has_link, is_alive).cte("new")
    return (
        select(*(new.c[name] for name in KEY))
        .add_cte(_copied(new, tables.links, _LINK, _LINK_TIMES).cte("new_links"))
        .add_cte(_copied(new, tables.attempts, _ATTEMPT, _ATTEMPT_TIMES).cte("new_attempts"))
    )


def _copied(new: CTE, table: Table, names: Mapping[str, str], times: Sequence[str]) -> Insert:
    """Build the INSERT of new rows into a table.

    :param names: Columns of the table, each with the column of the new rows.
    :param times: Columns of the table for the time of the claim.
    """
    values = [*(new.c[name] for name in names.values()), *(new.c.now for _ in times)]
    named = [value.label(f"value_{number}") for number, value in enumerate(values)]
    return insert(table).from_select([*names, *times], select(*named))


def _record_in_time(tables: Tables, rows: FromClause) -> Select[Any]:
    """Build the statement that records the given outcomes, unless their rows have one."""
    given = select(rows).cte("given_rows")
    in_time = record_links(tables.links, dict(given.c)).returning(*given.c).cte("in_time")
    answered = record_attempts(tables.attempts, dict(in_time.c)).cte("answered")
    return select(*(in_time.c[name] for name in (*KEY, "attempt"))).add_cte(answered)
