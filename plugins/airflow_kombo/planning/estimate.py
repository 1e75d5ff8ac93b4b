"""Estimate of a run's time from the history of earlier runs.

Kombo names an integration's limits only in its responses, and no table keeps them. But the history
has the speed of earlier runs under these limits. Where too few rows were sent to measure a speed,
the estimate uses the time of the calls and Kombo's documented limit of 30 calls at once.
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
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.statuses import Status

_RECENT_DAYS: Final = 3
"""Days before the run's day whose history is read first. Integrations without rows in these days
need a second query over the whole history."""
_MEASURED_ROWS: Final = 100
"""Rows that a run needs for a measured rate: with fewer, the limits are hardly met."""
_CALLS_AT_ONCE: Final = 30
"""Calls of one integration at once, by Kombo's documentation, if nobody else calls it."""
_SETTLED: Final = (Status.SUCCESS.value, Status.FAILED.value)
_LISTED: Final = 10
"""Integrations that the log lists."""


@dataclass(frozen=True)
class SendingRate:
    """Speed of an integration's rows.

    :param rows_a_second: Rows that get an outcome in a second.
    :param call_seconds: Seconds of a call.
    :param basis: Where the rate comes from, in words.
    :param is_measured: Whether the rate includes the integration's limits. If it does not, a run
        may take longer than the rate says.
    """

    rows_a_second: float
    call_seconds: float
    basis: str
    is_measured: bool

    def seconds(self, rows: int) -> float:
        """Return the seconds for a number of rows, and at least those of one call."""
        return max(rows / self.rows_a_second, self.call_seconds)


@dataclass(frozen=True)
class _Sent:
    """Settled rows of one run and one integration."""

    rows: int
    milliseconds: int
    began: datetime
    ended: datetime


class PastRuns:
    """History of attempts, read for the speed of earlier runs."""

    def __init__(self, engine: Engine, tables: Tables) -> None:
        self._engine = engine
        self._tables = tables

    def rates(
        self, integration_ids: Collection[str], day: date | None, max_in_flight: MaxInFlight = None
    ) -> dict[str, SendingRate]:
        """Return the known rates, by integration.

        :param day: The run's day. The history of the days before it is read first.
        :param max_in_flight: The task's own limit of calls of one integration at once.
        :raises LedgerError: if the warehouse cannot be read.
        """
        rates: dict[str, SendingRate] = {}
        for since in (day - timedelta(days=_RECENT_DAYS) if day else None, None):
            missing = sorted(set(integration_ids) - rates.keys())
            sent = self._sent(missing, since) if missing else {}
            for name, runs in sent.items():
                rates[name] = _rate(runs, _calls_at_once(cap_of(max_in_flight, name)))
        return rates

    def _sent(self, integration_ids: list[str], since: date | None) -> dict[str, list[_Sent]]:
        sent: dict[str, list[_Sent]] = defaultdict(list)
        with transaction(self._engine, "read earlier calls", reads_only=True) as connection:
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
        # The history has no column for the day. The status table has one, with an index.
        of_row = and_(*(links.c[name] == attempts[name] for name in KEY))
        return query.join(links, of_row).where(links.c.assessment_date >= since)


def _calls_at_once(cap: int | None) -> int:
    return min(_CALLS_AT_ONCE, cap or _CALLS_AT_ONCE)


def _rate(runs: Sequence[_Sent], calls_at_once: int) -> SendingRate:
    call_seconds = sum(run.milliseconds for run in runs) / sum(run.rows for run in runs) / 1000
    large = [run for run in runs if run.rows >= _MEASURED_ROWS]
    if large:
        last = max(large, key=lambda run: run.ended)
        seconds = max((last.ended - last.began).total_seconds(), 0.001)
        ended = in_utc(last.ended).astimezone(timezone.utc)
        basis = f"its run of {ended:%Y-%m-%d %H:%M} UTC sent {last.rows:,} rows"
        return SendingRate(last.rows / seconds, call_seconds, basis, is_measured=True)
    basis = f"a call took {call_seconds:.2f} s, {calls_at_once} at once, without a rate limit"
    rate = calls_at_once / max(call_seconds, 0.001)
    return SendingRate(rate, call_seconds, basis, is_measured=False)


def estimate(to_send: Mapping[str, int], rates: Mapping[str, SendingRate]) -> Iterator[str]:
    """Write the time of each integration, the slowest first, and the time of the run.

    :param to_send: Rows to send, by integration.
    """
    seconds = {name: rate.seconds(to_send[name]) for name, rate in rates.items()}
    for name in sorted(seconds, key=lambda name: -seconds[name])[:_LISTED]:
        rate = rates[name]
        yield (
            f"{name}: {_about(seconds[name], sure=rate.is_measured)} for {to_send[name]:,} rows at"
            f" {rate.rows_a_second:,.1f} a second: {rate.basis}"
        )
    unknown = sorted(to_send.keys() - rates.keys())
    if unknown:
        more = f" and {len(unknown) - _LISTED} more" if len(unknown) > _LISTED else ""
        listed = ", ".join(unknown[:_LISTED])
        yield f"No estimate for {listed}{more}: nothing was delivered there before"
    if seconds:
        rest = f". {len(unknown)} without an estimate are not counted" if unknown else ""
        sure = not unknown and all(rate.is_measured for rate in rates.values())
        yield (
            f"A run would take {_about(max(seconds.values()), sure=sure)}, as long as its slowest"
            f" integration: the integrations are delivered in parallel{rest}"
        )


def _about(seconds: float, *, sure: bool) -> str:
    return f"{'about' if sure else 'at least'} {timedelta(seconds=max(1, round(seconds)))}"
