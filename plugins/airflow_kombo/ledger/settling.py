"""Settle rows whose run ended before it wrote their outcome, but after it wrote their attempts'."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, and_, select

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.ledger.known_rows import history
from airflow_kombo.ledger.late_responses import write_outcomes
from airflow_kombo.ledger.outcomes import outcome_of_history
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.statuses import Status

_ROWS_AT_ONCE: Final = 500


def settle_by_attempts(
    connection: Connection, tables: Tables, run_id: str, settled: Collection[Any]
) -> set[LinkKey]:
    """Give rows the outcome that their attempts prove; return the keys of these rows.

    :param settled: Rows of the run that are `sending` and locked, each beginning with its key.
    """
    locked = {LinkKey(*row[: len(KEY)]) for row in settled}
    proven = [key for key in _answered(connection, tables, run_id) if key in locked]
    rest = iter(proven)
    while keys := list(islice(rest, _ROWS_AT_ONCE)):
        attempts = history(connection, tables, [key.result_id for key in keys])
        outcomes = [(key, outcome_of_history(attempts[key.result_id])) for key in keys]
        write_outcomes(connection, tables, [(key, one.values) for key, one in outcomes])
    return set(proven)


def _answered(connection: Connection, tables: Tables, run_id: str) -> Sequence[LinkKey]:
    """Return the `sending` rows of a run whose own attempt has an outcome."""
    links, attempts = tables.links.c, tables.attempts.c
    is_own = and_(
        *(links[name] == attempts[name] for name in (*KEY, "run_id")),
        links.attempts == attempts.attempt,
    )
    query = (
        select(*(links[name] for name in KEY))
        .join_from(tables.links, tables.attempts, is_own)
        .where(links.run_id == run_id, links.status == Status.SENDING.value)
        .where(attempts.status.is_not(None))
    )
    return [LinkKey(*row) for row in connection.execute(query)]
