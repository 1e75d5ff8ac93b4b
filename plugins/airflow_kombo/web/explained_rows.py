"""Explain rows: meaning, turn, next step, next try and delivery."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from airflow_kombo.kombo_api.explained_codes import Explanation, Turn
from airflow_kombo.kombo_api.explanations import Cause
from airflow_kombo.statuses import MEANINGS, Decision, Link, Status
from airflow_kombo.web.next_try import LEFT_OUT, NextTry, Schedule, UnknownSchedule, next_try
from airflow_kombo.web.schedules import DeliveringTask, Schedules

if TYPE_CHECKING:
    from sqlalchemy import Row

_TAKE_BACK: Final = "Nothing. If the row is to be sent after all, take back that it is left out."


@dataclass(frozen=True)
class ExplainedRow:
    """Row of the status table with an explanation."""

    row: Row[Any]
    explanation: Explanation
    next_try: NextTry


class RowExplainer:
    """Explainer of rows, with one look at the schedule of each dag.

    :param schedules: A function that finds the schedule of a dag.
    :param default_dag_id: The dag that delivers rows of the shown tables; None if not known.
    """

    def __init__(self, schedules: Schedules, default_dag_id: str | None) -> None:
        self._schedule_of = lru_cache(maxsize=None)(schedules)
        self._default = DeliveringTask(default_dag_id)
        self._now = datetime.now(timezone.utc)

    def explain(
        self, rows: Iterable[Row[Any]], tasks: Mapping[str, DeliveringTask]
    ) -> list[ExplainedRow]:
        """Explain rows.

        :param tasks: The tasks that wrote the rows last, by their `run_id`.
        """
        return [self._explained(row, tasks.get(row.run_id)) for row in rows]

    def schedule_of(self, task: DeliveringTask | None = None) -> Schedule | UnknownSchedule:
        """Return the schedule of a task's dag; by default of the default dag."""
        return self._schedule_of(task or self._default)

    def _explained(self, row: Row[Any], task: DeliveringTask | None) -> ExplainedRow:
        status = Status(row.status)
        explanation = Cause(status, row.error_code, row.http_status).explanation
        if row.left_out_at:
            left_out = explanation._replace(turn=Turn.NOBODY, to_do=_TAKE_BACK)
            return ExplainedRow(row, left_out, LEFT_OUT)
        tries = [
            next_try(status, row.assessment_date, row.integration_id, schedule, self._now)
            for schedule in self._schedules(task)
        ]
        # A row that a dag without a schedule wrote last is sent by the nightly dag, too.
        timed = [one for one in tries if one.at]
        soonest = min(timed, key=lambda one: str(one.at)) if timed else tries[0]
        return ExplainedRow(row, explanation, soonest)

    def _schedules(self, task: DeliveringTask | None) -> list[Schedule | UnknownSchedule]:
        own = task if task and task.dag_id else self._default
        tasks = [own]
        if self._default.dag_id not in {None, own.dag_id}:
            tasks.append(self._default)
        return [self.schedule_of(one) for one in tasks]


@dataclass(frozen=True)
class Delivery:
    """Delivery of a row.

    :param at: The time of Kombo's response or, for a row that was decided, of the request.
    :param decided_at: The time of the decision that the request was carried out.
    """

    at: datetime | None
    decided_at: datetime | None = None


def delivery_of(row: Row[Any], attempts: Sequence[Row[Any]]) -> Delivery | None:
    """Return the delivery of a row; None for an undelivered row.

    :param attempts: The row's attempts, newest first.
    """
    if MEANINGS[Status(row.status)].link is not Link.MADE:
        return None
    for attempt in attempts:
        if attempt.status == row.status:
            return Delivery(attempt.answered_at or attempt.claimed_at)
    for attempt in attempts:
        if attempt.resolution == Decision.CREATED:
            return Delivery(attempt.claimed_at, attempt.resolved_at)
    return Delivery(row.first_sent_at)
