"""How long a run may take, by what earlier runs met.

Nobody tells an integration's limits before it is asked, and they are not kept: what a run got done
within them is. Where too little was sent to show it, there are its calls' times, and what Kombo
documents: 30 of them at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any, Final

from sqlalchemy import Engine, Select, and_, func, select

from airflow_kombo.database.sql import in_utc
from airflow_kombo.database.transactions import transaction
from airflow_kombo.kombo_api.in_flight_cap import MaxInFlight, cap_of
from airflow_kombo.kombo_api.limits import HEADROOM
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.statuses import Status

_RECENT_DAYS: Final = 3
"""Before the run's own day; more is looked at only for an integration that has nothing there."""
_MEASURED_ROWS: Final = 100
"""From so many rows of one run on, how fast they went is the limits' doing, not chance."""
_SLOTS: Final = 30
"""Calls of one integration at once, as Kombo documents it."""
_SETTLED: Final = (Status.SUCCESS.value, Status.FAILED.value)
_TOLD: Final = 10


@dataclass(frozen=True)
class SendingRate:
    """How fast an integration's rows go.

    :param rows_a_second: Rows that end a second.
    :param call_seconds: How long a call takes.
    :param because: What that rests on.
    :param is_measured: Whether limits are in it; without them a run takes at least so long.
    """

    rows_a_second: float
    call_seconds: float
    because: str
    is_measured: bool

    def seconds(self, rows: int) -> float:
        """Give the seconds that so many rows take, and one call at least."""
        return max(rows / self.rows_a_second, self.call_seconds)


@dataclass(frozen=True)
class _Sent:
    """What one run sent to one integration."""

    rows: int
    milliseconds: int
    began: datetime
    ended: datetime


class PastRuns:
    """The attempts' history, as far as it tells how fast rows went."""

    def __init__(self, engine: Engine, tables: Tables) -> None:
        self._engine = engine
        self._tables = tables

    def rates(
        self, integration_ids: Collection[str], day: date | None, max_in_flight: MaxInFlight = None
    ) -> dict[str, SendingRate]:
        """Give the rates that are known.

        :param day: The run's day; its neighbours are looked at first.
        :param max_in_flight: Calls of one integration at once that the task allows itself.
        :raises LedgerError: if the warehouse cannot be read.
        """
        rates: dict[str, SendingRate] = {}
        for since in (day - timedelta(days=_RECENT_DAYS) if day else None, None):
            missing = sorted(set(integration_ids) - rates.keys())
            sent = self._sent(missing, since) if missing else {}
            for name, runs in sent.items():
                rates[name] = _rate(runs, _slots(cap_of(max_in_flight, name)))
        return rates

    def _sent(self, integration_ids: list[str], since: date | None) -> dict[str, list[_Sent]]:
        sent: dict[str, list[_Sent]] = defaultdict(list)
        with transaction(self._engine, "look at earlier calls", reads_only=True) as connection:
            for name, *measures in connection.execute(self._query(integration_ids, since)):
                sent[name].append(_Sent(*measures))
        return sent

    def _query(self, integration_ids: list[str], since: date | None) -> Select[Any]:
        links, attempts = self._tables.links, self._tables.attempts.c
        query = (
            select(
                attempts.integration_id,
                func.count(),
                func.sum(attempts.milliseconds),
                func.min(attempts.claimed_at),
                func.max(attempts.answered_at),
            )
            .where(
                attempts.integration_id.in_(integration_ids),
                attempts.status.in_(_SETTLED),
                attempts.milliseconds.is_not(None),
            )
            .group_by(attempts.integration_id, attempts.run_id)
        )
        if since is None:
            return query
        # The history has no day of its own; by way of the rows, an index leads to it.
        of_row = and_(*(links.c[name] == attempts[name] for name in KEY))
        return query.join(links, of_row).where(links.c.assessment_date >= since)


def _slots(cap: int | None) -> int:
    return min(_SLOTS - HEADROOM, cap or _SLOTS)


def _rate(runs: Sequence[_Sent], slots: int) -> SendingRate:
    call_seconds = sum(run.milliseconds for run in runs) / sum(run.rows for run in runs) / 1000
    large = [run for run in runs if run.rows >= _MEASURED_ROWS]
    if large:
        last = max(large, key=lambda run: run.ended)
        seconds = max((last.ended - last.began).total_seconds(), 0.001)
        ended = in_utc(last.ended).astimezone(timezone.utc)
        because = f"its run of {ended:%Y-%m-%d %H:%M} UTC sent {last.rows:,}"
        return SendingRate(last.rows / seconds, call_seconds, because, is_measured=True)
    because = f"its calls took {call_seconds:.2f} s, {slots} at once; its rate limit was not met"
    return SendingRate(slots / max(call_seconds, 0.001), call_seconds, because, is_measured=False)


def told(to_send: Mapping[str, int], rates: Mapping[str, SendingRate]) -> Iterator[str]:
    """Say how long each integration takes, the slowest first, and how long the whole.

    :param to_send: Rows by integration.
    """
    seconds = {name: rate.seconds(to_send[name]) for name, rate in rates.items()}
    for name in sorted(seconds, key=lambda name: -seconds[name])[:_TOLD]:
        rate = rates[name]
        yield (
            f"{name}: {_about(seconds[name], sure=rate.is_measured)} for {to_send[name]:,} rows at"
            f" {rate.rows_a_second:,.1f} a second: {rate.because}"
        )
    unknown = sorted(to_send.keys() - rates.keys())
    if unknown:
        more = f" and {len(unknown) - _TOLD} more" if len(unknown) > _TOLD else ""
        named = ", ".join(unknown[:_TOLD])
        yield f"Unknown is the time of {named}{more}: nothing was ever delivered there"
    if seconds:
        rest = f"; {len(unknown)} of unknown time not counted" if unknown else ""
        sure = not unknown and all(rate.is_measured for rate in rates.values())
        yield (
            f"A run would take {_about(max(seconds.values()), sure=sure)}, as long as its slowest"
            f" integration: they are delivered side by side{rest}"
        )


def _about(seconds: float, *, sure: bool) -> str:
    return f"{'about' if sure else 'at least'} {timedelta(seconds=max(1, round(seconds)))}"
