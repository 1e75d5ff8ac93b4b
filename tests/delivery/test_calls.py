"""Calls of one integration: how many rows to claim, and when nothing more is sent."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.harness import delivery

from airflow_kombo.delivery.calls import Calls
from airflow_kombo.delivery.claim_window import MovingAverage
from airflow_kombo.delivery.held_outcomes import HeldOutcomes
from airflow_kombo.delivery.outcome_writer import OutcomeWriter
from airflow_kombo.delivery.recording import Recording, RecordingEnds
from airflow_kombo.delivery.row_counts import RowCounts
from airflow_kombo.delivery.sending_end import SendingEnd
from airflow_kombo.delivery.stop_signal import StopSignal
from airflow_kombo.delivery.wrong_server import WrongServerDetector
from airflow_kombo.kombo_api.response import KomboResponse
from airflow_kombo.ledger.outcomes import Claim
from airflow_kombo.observability.metrics import SenderMetrics
from airflow_kombo.observability.warning_log import WarningLog
from airflow_kombo.throttle.throttle import Throttle

NAME = "workday:one"
CREATED = (200, b'{"status":"success","data":{},"warnings":[]}')
TOO_MANY = (429, b'{"status":"error","error":{"code":"PLATFORM.RATE_LIMIT_EXCEEDED"}}')
IN_DOUBT = (500, b'{"status":"error","error":{"code":"PLATFORM.UNKNOWN_ERROR"}}')
RATE = {"ratelimit_limit": 300, "ratelimit_reset": 60}
# What may happen: the number of responses and what they say, or the ledger's state from now on.
EVENTS = st.one_of(
    st.tuples(st.integers(1, 40), st.just(CREATED), st.just({"Concurrency_Limit": 30})),
    st.tuples(st.integers(1, 40), st.just(CREATED), st.just({"Concurrency_Limit": 3})),
    st.tuples(st.integers(1, 3), st.just(TOO_MANY), st.just({"Retry_After": 60})),
    st.tuples(st.integers(1, 3), st.just(CREATED), st.just(RATE | {"ratelimit_remaining": 250})),
    st.tuples(st.integers(1, 3), st.just(CREATED), st.just(RATE | {"ratelimit_remaining": 0})),
    st.tuples(st.integers(1, 9), st.just(IN_DOUBT), st.just({})),
    st.booleans(),
)
FIRST_SLOTS, LIMIT = 5, 30
COMMIT, RESPONSE = 0.03, 0.2
WINDOW = 7
"""Rows of the window with all slots of the limit, by these times."""


class Wire:
    """Kombo, with responses when the test says so."""

    def __init__(self):
        self.open = []
        self.sent = 0

    async def send(self, _request, _may_leave):
        self.sent += 1
        self.open.append(asyncio.get_running_loop().create_future())
        return await self.open[-1]

    def respond(self, calls, answer=CREATED, **headers):
        """Respond to the oldest calls."""
        named = {name.replace("_", "-"): str(value) for name, value in headers.items()}
        status, body = answer
        for _ in range(calls):
            self.open.pop(0).set_result(KomboResponse.of(status, named, body))


class Ledger:
    """Ledger with durable outcomes when the test says so."""

    def __init__(self):
        self.works = asyncio.Event()
        self.works.set()

    async def write(self, _group):
        await self.works.wait()
        return []


class Steady(MovingAverage):
    """Average without a change, at any speed of the machine."""

    def observe(self, seconds):
        pass


class Sender:
    """Calls with all their parts but the claims."""

    def __init__(self, *, cool_down=30.0):
        self.wire, self.ledger, self.changed = Wire(), Ledger(), asyncio.Event()
        stop, metrics = StopSignal(), SenderMetrics(NAME, RowCounts())
        liveness = SimpleNamespace(is_certain=True, may_leave=lambda: True)
        context = SimpleNamespace(
            client=self.wire, liveness=liveness, stop=stop, warnings=WarningLog()
        )
        writer = OutcomeWriter(self.ledger.write, stop.set)
        held = HeldOutcomes(self.ledger.write, pause=1, patience=1, hurried=stop.hurried)
        ends = RecordingEnds(lambda _: None, lambda _: None, lambda *_: None, self.on_change)
        self.recording = Recording(writer, held, ends)
        self.calls = Calls(
            context,
            Throttle(None, senders=1, cool_down=cool_down),
            self.recording,
            end=SendingEnd(NAME, stop, WrongServerDetector("kombo"), metrics),
            metrics=metrics,
            on_change=self.on_change,
        )
        self.window = self.calls.window
        self.window.commit, self.window.response = Steady(COMMIT), Steady(RESPONSE)
        self.claimed = 0
        self.learned = 0
        """Requests that were sent to learn the limit."""

    def on_change(self):
        self.calls.pump()
        self.changed.set()

    @property
    def room(self):
        return self.calls.room(self.now)

    @property
    def opens_in(self):
        return self.calls.opens_at(self.now) - self.now

    @property
    def now(self):
        return asyncio.get_running_loop().time()

    @property
    def beside_the_wire(self):
        return len(self.calls.waiting) + self.recording.unrecorded

    def claim(self, rows=None):
        """Claim some rows, by default as many as there is room for."""
        rows = self.room if rows is None else rows
        numbers = range(self.claimed, self.claimed + rows)
        self.calls.add([Claim(delivery(f"r{number}"), "run", 1) for number in numbers])
        self.claimed += rows

    async def respond(self, calls, answer=CREATED, **headers):
        self.wire.respond(calls, answer, **headers)
        await turns()

    async def know_the_limit(self):
        """Learn the limit by responses, until all slots may be used."""
        while (slots := self.calls._throttle.slots) < LIMIT:
            self.claim(slots)
            await turns()
            await self.respond(slots, Concurrency_Limit=LIMIT)
        self.learned = self.wire.sent


async def turns(number=10):
    for _ in range(number):
        await asyncio.sleep(0)


def in_a_loop(test):
    """Run a test in an event loop."""

    def run():
        asyncio.run(test())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@in_a_loop
async def test_the_first_claim_is_the_first_slots_and_two_rows_ahead():
    """Before anything is known, few rows are claimed."""
    assert Sender().room == FIRST_SLOTS + 2


@in_a_loop
async def test_beside_free_slots_only_the_window_is_claimed():
    """With all slots taken, as many rows wait as one commit and a half use up."""
    sender = Sender()
    await sender.know_the_limit()
    assert sender.room == LIMIT + WINDOW
    sender.claim()
    await turns()
    assert (len(sender.wire.open), len(sender.calls.waiting)) == (LIMIT, WINDOW)


@in_a_loop
async def test_calls_that_hang_cost_no_further_claim():
    """While all calls hang, nothing is claimed, and a call that ends makes room for one row."""
    sender = Sender()
    await sender.know_the_limit()
    sender.claim()
    await turns()
    assert (sender.room, sender.opens_in) == (0, float("inf"))
    await sender.respond(1, Concurrency_Limit=LIMIT)
    assert sender.room == 1


@in_a_loop
async def test_nothing_is_claimed_before_a_limit_is_over():
    """No row is claimed during a pause, until a commit's time before the end."""
    sender = Sender()
    await sender.know_the_limit()
    sender.claim(1)
    await turns()
    await sender.respond(1, TOO_MANY, Retry_After=60)
    assert sender.room == 0
    assert sender.opens_in == pytest.approx(60 - sender.window.commit.seconds, abs=1)
    assert sender.calls.room(sender.now + 60) == LIMIT + WINDOW


@in_a_loop
async def test_a_rate_limit_leaves_room_for_what_may_leave_during_a_commit():
    """Free slots do not count if the rate spaces requests."""
    sender = Sender()
    await sender.know_the_limit()
    sender.claim(1)
    await turns()
    # 6,000 requests in 60 s: one every 10 ms, so three during a commit, and the next one.
    rate = {"ratelimit_limit": 6_000, "ratelimit_remaining": 6_000, "ratelimit_reset": 60}
    await sender.respond(1, Concurrency_Limit=LIMIT, **rate)
    assert sender.room in {3, 4}
    while sender.room:
        sender.claim()
        await turns()
    assert len(sender.calls.waiting) in {3, 4}
    assert len(sender.wire.open) < LIMIT


@in_a_loop
async def test_a_slow_rate_limit_has_its_rows_claimed_just_in_time():
    """Between two requests that are seconds apart, nothing is claimed."""
    sender = Sender()
    await sender.know_the_limit()
    sender.claim(1)
    await turns()
    rate = {"ratelimit_limit": 12, "ratelimit_remaining": 12, "ratelimit_reset": 60}
    await sender.respond(1, Concurrency_Limit=LIMIT, **rate)
    sender.claim(2)  # the first after the response is late already
    await turns()
    assert (sender.wire.sent, sender.room) == (sender.learned + 3, 0)
    assert 4 < sender.opens_in < 6
    assert sender.calls.room(sender.now + sender.opens_in + COMMIT / 2) == 1


@in_a_loop
async def test_a_failing_integration_has_no_claims_but_the_probes():
    """The circuit breaker's probe is one row, and no other row is claimed before its response."""
    sender = Sender(cool_down=0.05)
    sender.claim(FIRST_SLOTS)
    await turns()
    await sender.respond(FIRST_SLOTS, IN_DOUBT)
    assert sender.room == 0 < sender.opens_in < 0.05
    assert sender.calls.room(sender.now + 0.05) == 1
    sender.changed.clear()
    sender.claim(1)  # as if it had been claimed during the commit's time before
    await asyncio.wait_for(sender.changed.wait(), 10)
    await turns()
    assert sender.wire.sent == FIRST_SLOTS + 1
    assert (sender.room, sender.opens_in) == (0, float("inf"))
    await sender.respond(1)
    assert sender.room > 1


@in_a_loop
async def test_what_cannot_be_recorded_keeps_its_slot():
    """Beyond the window, unrecorded calls let nothing more leave."""
    sender = Sender()
    await sender.know_the_limit()
    sender.ledger.works.clear()
    for _ in range(100):
        sender.claim()
        await turns()
        await sender.respond(min(1, len(sender.wire.open)), Concurrency_Limit=LIMIT)
    assert sender.wire.open == []
    assert sender.wire.sent == sender.learned + LIMIT + WINDOW
    assert (sender.room, sender.beside_the_wire) == (0, LIMIT + 2 * WINDOW)
    sender.ledger.works.set()
    await asyncio.wait(sender.recording.groups)
    await turns()
    assert len(sender.wire.open) == WINDOW
    assert sender.room == LIMIT


@in_a_loop
async def test_a_sender_looks_for_rows_when_a_pause_has_ended():
    """The end of a pause sends waiting claims, and wakes the sender."""
    sender = Sender()
    await sender.know_the_limit()
    sender.claim(1)
    await turns()
    await sender.respond(1, TOO_MANY, Retry_After=0.05)
    sender.changed.clear()
    sender.claim(1)
    assert sender.wire.sent == sender.learned + 1
    await asyncio.wait_for(sender.changed.wait(), 10)
    await turns()
    assert sender.wire.sent == sender.learned + 2


@given(st.lists(EVENTS, max_size=40))
def test_whatever_happens_a_sender_is_bounded_and_never_waits_for_nothing(events):
    """Rows in doubt stay bounded, and something that ends each wait exists."""

    async def happen():
        sender = Sender()
        for event in events:
            sender.claim()
            await turns()
            if isinstance(event, bool):
                sender.ledger.works.set() if event else sender.ledger.works.clear()
            else:
                calls, answer, headers = event
                await sender.respond(min(calls, len(sender.wire.open)), answer, **headers)
            await turns()
            in_doubt = len(sender.wire.open) + sender.beside_the_wire
            assert in_doubt <= LIMIT + 2 * WINDOW
            works = bool(sender.wire.open or sender.recording.unrecorded)
            assert works or not sender.calls.waiting or sender.calls._timer
            is_open = sender.room or sender.opens_in < float("inf")
            assert works or is_open or sender.calls.waiting

    asyncio.run(happen())
