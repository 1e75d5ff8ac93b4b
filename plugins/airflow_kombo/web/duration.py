"""Time of a run, by the speed of earlier runs."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, select

from airflow_kombo.database.sql import in_utc
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.statuses import Status

_RUNS: Final = 20
"""Runs whose speed counts, the newest ones."""
_ENOUGH_ROWS: Final = 100
"""Rows of a run whose speed includes the limits. Smaller runs count if there is no larger one."""
_START_SECONDS: Final = 30
"""Seconds until Airflow has started the tasks of a run."""
_SENT: Final = (Status.SUCCESS.value, Status.FAILED.value)


def seconds_to_send(connection: Connection, tables: Tables, rows: int) -> float | None:
    """Return the seconds in which runs would send rows; None without an earlier run."""
    runs = tables.runs.c
    query = (
        select(runs.started_at, runs.ended_at, *(runs[name] for name in _SENT))
        .where(runs.ended_at.is_not(None), runs.planned > 0)
        .order_by(runs.started_at.desc())
        .limit(_RUNS)
    )
    speeds = [(_rows(run), _seconds(run)) for run in connection.execute(query) if _rows(run)]
    large = [one for one in speeds if one[0] >= _ENOUGH_ROWS]
    if not speeds:
        return None
    sent, seconds = map(sum, zip(*(large or speeds), strict=True))
    return _START_SECONDS + rows * seconds / sent


def _rows(run: Any) -> int:
    return sum(getattr(run, name) or 0 for name in _SENT)


def _seconds(run: Any) -> float:
    return max((in_utc(run.ended_at) - in_utc(run.started_at)).total_seconds(), 0.001)
