"""Scenario of runs that share one integration and do not know of each other."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus
from itertools import chain
from time import monotonic, sleep
from typing import Final

from sqlalchemy import Connection, and_, select

from airflow_kombo.database.sql import in_utc
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.statuses import Status
from tools.bench import process
from tools.bench.measurement import Bench
from tools.bench.orders import Behaviour, Orders
from tools.bench.process import Took
from tools.bench.stage import BenchError, Run
from tools.bench.targets import Finding, at_least, at_most
from tools.bench.warehouse import day_of

_LIMIT: Final = 30
_FALLS_TO: Final = 8
_LATENCY: Final = (0.1, 0.3)
_SOON_SECONDS: Final = 10.0
"""Time of the one who joins, until the share is measured."""
_LOOK_SECONDS: Final = 0.1
_PATIENCE: Final = 60.0
_HANDFUL: Final = 8
"""429s of one run that a fall may cost."""


@dataclass(frozen=True)
class _Together:
    """Result of runs in the time in which all of them were sending.

    :param rows: The rows of each run.
    :param used: Rows by those of all slots at work.
    :param refused: The 429s of each run, at any time.
    """

    run: Run
    rows: Sequence[int]
    used: float
    refused: Sequence[int]


def shared(bench: Bench) -> list[Finding]:
    """Measure runs of several processes on one integration, each without others' knowledge."""
    rows = bench.scale.rows(900, 40)
    steady = Behaviour(latency=_LATENCY, limit=_LIMIT)
    ten = _together(bench, steady, [rows] * 10)
    unlike = _together(bench, steady, [rows * 3, rows * 6])
    joined = _together(bench, steady, [rows * 8, rows * 2], joins_after=rows)
    return [
        *_even("10 runs of one integration", ten),
        at_most(
            "10 runs of one integration: 429s",
            ten.run.refused,
            0.005,
            ten.run.rows,
            note=f"{ten.run.server.total('refused')}, at most {max(ten.refused)} of one run",
            percent=True,
        ),
        *_even("2 runs, one twice as long", unlike),
        at_least(
            f"A run that joins another: part of its fair share after {_SOON_SECONDS:.0f} s",
            joined.rows[1] * 2 / max(1, sum(joined.rows)),
            0.8,
            joined.run.rows,
            note=f"{joined.rows[1]:,} rows against {joined.rows[0]:,}",
        ),
        *(finding for runs in (1, 2, 10) for finding in _fallen(bench, runs)),
    ]


def _even(what: str, found: _Together) -> list[Finding]:
    each = ", ".join(f"{rows:,}" for rows in sorted(found.rows))
    return [
        _used(what, found, f"{found.run.rate:,.0f} rows/s, {found.run.cost}"),
        at_least(
            f"{what}: slowest against fastest",
            _evenness(found),
            0.8,
            sum(found.rows),
            note=each,
        ),
    ]


def _used(what: str, found: _Together, note: str) -> Finding:
    rows = f"{what}: rows against all slots at work"
    return at_least(rows, found.used, 0.9, sum(found.rows), note=note)


def _evenness(found: _Together) -> float:
    return min(found.rows) / max(1, *found.rows)


def _fallen(bench: Bench, runs: int) -> list[Finding]:
    """Measure a limit that falls in the middle."""
    before, after = bench.scale.rows(3_000, 40), bench.scale.rows(1_500, 40)
    falling = Behaviour(_LATENCY, _LIMIT, falls_to=_FALLS_TO, falls_after=before)
    found = _together(bench, falling, [(before + after) // runs] * runs)
    what = f"A limit falls to {_FALLS_TO} under {runs} run{'s' * (runs > 1)}"
    return [
        _used(what, found, f"slowest against fastest {_evenness(found):.2f}"),
        at_most(
            f"{what}: 429s of one run",
            max(found.refused),
            _HANDFUL,
            found.run.rows,
            note=f"{found.run.server.total('refused')} of all runs",
        ),
    ]


def _together(
    bench: Bench, behaviour: Behaviour, rows: Sequence[int], joins_after: int | None = None
) -> _Together:
    """Deliver a day in each of several processes, all of them at once.

    :param rows: The rows of each day, multiples of the fewest.
    :param joins_after: Rows that the server has received before the last process begins.
    """
    days = [number // min(rows) for number in rows]
    bench.stage.fill(sum(rows), 1, days)
    run = bench.observe(
        f"ours, {len(rows)} at once",
        Orders(default=behaviour),
        rows=sum(rows),
        deliver=lambda: _took(bench, len(rows), joins_after),
    )
    counts = next(iter(run.server.by_integration.values()))
    with bench.stage.warehouse.engine.connect() as connection:
        sent = [_sent(connection, day) for day in range(len(rows))]
    begin = max(one.answered[0] for one in sent)
    if joins_after is not None:
        begin += _SOON_SECONDS
    if behaviour.falls_to is not None:
        begin = max(
            begin, sorted(chain.from_iterable(one.answered for one in sent))[behaviour.falls_after]
        )
    end = min(one.answered[-1] for one in sent)
    common = [sum(begin <= when < end for when in one.answered) for one in sent]
    busy = sum(common) * counts.work / counts.links
    slots = behaviour.falls_to or behaviour.limit
    used = busy / slots / max(end - begin, 0.001)
    return _Together(run, common, used, [one.refused for one in sent])


@dataclass(frozen=True)
class _Sent:
    """Calls of one run.

    :param answered: The times of the responses to written rows, in seconds, in their order.
    :param refused: The number of 429s.
    """

    answered: Sequence[float]
    refused: int


def _sent(connection: Connection, day: int) -> _Sent:
    tables = Tables.named()
    links, attempts = tables.links.c, tables.attempts.c
    of_day = (
        select(attempts.status, attempts.http_status, attempts.answered_at)
        .join(tables.links, and_(*(links[name] == attempts[name] for name in KEY)))
        .where(links.assessment_date == day_of(day))
        .order_by(attempts.answered_at)
    )
    calls = connection.execute(of_day).all()
    written = [call.answered_at for call in calls if call.status == Status.SUCCESS.value]
    refused = sum(call.http_status == HTTPStatus.TOO_MANY_REQUESTS for call in calls)
    return _Sent([in_utc(when).timestamp() for when in written], refused)


def _took(bench: Bench, runs: int, joins_after: int | None) -> Took:
    """Run all processes, and return the sums of their figures."""
    connections = bench.stage.connections()
    began = monotonic()
    with ExitStack() as stack:
        pipes = []
        for number in range(runs):
            if joins_after is not None and number == runs - 1:
                _await_posts(bench, joins_after)
            one = process.client("ours", day_of(number), None, connections)
            pipes.append(stack.enter_context(one)[1])
        try:
            each: list[Took] = [pipe.recv() for pipe in pipes]
        except EOFError:
            raise BenchError(f"One of the runs failed: see {process.LOG}") from None
    return Took(
        monotonic() - began,
        sum(one.cpu for one in each),
        sum(one.cpu_before for one in each),
        max(one.peak_mb for one in each),
        {"success": sum(one.counts["success"] for one in each)},
    )


def _await_posts(bench: Bench, number: int) -> None:
    until = monotonic() + _PATIENCE
    while bench.stage.server.counts().total("posts") < number:
        if monotonic() > until:
            raise BenchError("The first run posts too little for a second one to join.")
        sleep(_LOOK_SECONDS)
