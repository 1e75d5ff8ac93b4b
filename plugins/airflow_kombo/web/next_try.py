"""Compute the next try of a row from status, day and schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from airflow_kombo.database.sql import in_utc
from airflow_kombo.statuses import MEANINGS, Link, NextRun, Status


@dataclass(frozen=True)
class ScheduledRun:
    """Scheduled run of a dag.

    :param day: The run's own day.
    """

    starts_at: datetime
    day: date


@dataclass(frozen=True)
class Schedule:
    """Schedule of a delivering dag, with the parameters of scheduled runs.

    :param runs: The next runs, in their order; none for a dag without a schedule.
    :param lookback_days: Number of days before its own that a run delivers, too.
    :param not_before: The day before which a run delivers nothing.
    :param integration_ids: Only these integrations; none means all.
    :param is_running: Whether a run is queued or running.
    """

    dag_id: str
    runs: Sequence[ScheduledRun] = ()
    lookback_days: int = 0
    not_before: date | None = None
    integration_ids: Sequence[str] = ()
    is_paused: bool = False
    is_running: bool = False

    def first_day_of(self, run: ScheduledRun) -> date:
        """Return the earliest day of a run's rows."""
        days_before = min(self.lookback_days, run.day.toordinal() - 1)
        first = run.day - timedelta(days=days_before)
        return max(first, self.not_before) if self.not_before else first

    @property
    def next_days(self) -> tuple[date, date] | None:
        """The first and the last day of the next scheduled run; None without such a run."""
        if self.is_paused or not self.runs:
            return None
        return self.first_day_of(self.runs[0]), self.runs[0].day

    def run_for(self, day: date) -> ScheduledRun | None:
        """Return the first run with the rows of a day."""
        return next((one for one in self.runs if self.first_day_of(one) <= day <= one.day), None)


@dataclass(frozen=True)
class UnknownSchedule:
    """Schedule unknown to the page.

    :param reason: The reason, as a sentence without its full stop.
    """

    reason: str


@dataclass(frozen=True)
class NextTry:
    """Next try of a row.

    :param at: The time; None if there is none, or none is known.
    :param text: The time or `never`, with the condition, for a person.
    :param short: The same in a few words, for a list.
    """

    at: datetime | None
    text: str
    short: str


LEFT_OUT: Final = NextTry(
    None, "Never, unless somebody takes back that the row is left out.", "never, left out"
)
"""Next try of a row that is left out for good."""


def next_try(
    status: Status,
    day: date | None,
    integration_id: str,
    schedule: Schedule | UnknownSchedule,
    now: datetime,
) -> NextTry:
    """Return when a row is tried next without an order from a person.

    :param day: The row's day.
    :param schedule: The schedule of the dag that delivers the row.
    :param now: The present time.
    """
    meaning = MEANINGS[status]
    if meaning.next_run is NextRun.LEAVES_IT:
        return _left(meaning.link, needs_person=meaning.needs_person)
    found = _scheduled(day, integration_id, schedule, now)
    if meaning.next_run is NextRun.SENDS_IT:
        return found
    corrected = found.text[0].lower() + found.text[1:]
    text = f"Never, unless the row or the mapping is corrected. A corrected row: {corrected}"
    return NextTry(None, text, "never, unless corrected")


def waiting_until(schedule: Schedule | UnknownSchedule) -> str:
    """Return a sentence with the time of the next try of waiting rows."""
    if isinstance(schedule, UnknownSchedule):
        return (
            "The next scheduled run that has the waiting rows sends them again. Its time is not"
            f" known: {schedule.reason}."
        )
    if schedule.next_days is None:
        cause = "the dag is paused" if schedule.is_paused else "the dag has no next scheduled run"
        return f"No run of {schedule.dag_id} sends rows again by itself: {cause}."
    first, last = schedule.next_days
    days = f"{first} to {last}" if first < last else f"{last}"
    at = _time(schedule.runs[0].starts_at)
    return f"The run of {schedule.dag_id} at {at} sends the waiting rows of {days} again."


def _left(link: Link, *, needs_person: bool) -> NextTry:
    if link is Link.MADE:
        return NextTry(None, "Never, unless a person orders a second one with redeliver.", "never")
    if needs_person:
        return NextTry(
            None,
            "Never, unless a person or evidence decides that nothing was written.",
            "never, unless decided",
        )
    text = "Now: a run has it. If the run is dead, the next run settles the row."
    return NextTry(None, text, "now")


def _scheduled(
    day: date | None, integration_id: str, schedule: Schedule | UnknownSchedule, now: datetime
) -> NextTry:
    if isinstance(schedule, UnknownSchedule):
        text = "With the next scheduled run that has the row. Its time is not known"
        return NextTry(None, f"{text}: {schedule.reason}.", "not known")
    if day is None:
        text = "With the next run that gets the row from its source: the row has no day."
        return NextTry(None, text, "not known")
    if condition := _obstacle(day, integration_id, schedule):
        return NextTry(None, f"Never, unless {condition}.", "never, unless started")
    run = schedule.run_for(day)
    if run is None:
        last = schedule.runs[-1]
        text = f"With the run of {schedule.dag_id} for {day}, after {_time(last.starts_at)}."
        return NextTry(None, text, f"after {last.day}")
    sooner = " A run is under way, and may send the row sooner." if schedule.is_running else ""
    by = f"by the run of {schedule.dag_id} for {run.day}"
    if run.starts_at > now:
        text = f"{_time(run.starts_at)}, {by}."
    else:
        text = f"As soon as Airflow starts it: {_time(run.starts_at)} is over, {by}."
    return NextTry(run.starts_at, text + sooner, _time(run.starts_at))


def _obstacle(day: date, integration_id: str, schedule: Schedule) -> str | None:
    """Return the condition of a scheduled delivery; None without a condition."""
    dag, by_hand = schedule.dag_id, f"a person starts a run of {schedule.dag_id} for {day}"
    if schedule.integration_ids and integration_id not in schedule.integration_ids:
        return f"a person starts a run: the schedule of {dag} leaves out this integration"
    if schedule.not_before and day < schedule.not_before:
        return f"{by_hand} with an earlier not_before than {schedule.not_before}"
    if not schedule.runs:
        return f"{by_hand}: the dag has no next scheduled run"
    if day < (first := schedule.first_day_of(schedule.runs[0])):
        looks = f"scheduled runs look back {schedule.lookback_days} days, now to {first}"
        return f"{by_hand}: {looks}"
    return f"{by_hand}, or unpauses the dag" if schedule.is_paused else None


def _time(moment: datetime) -> str:
    return f"{in_utc(moment):%Y-%m-%d %H:%M} UTC"
