"""Senders against a server with a fixed window, in simulated time: no test waits."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from math import ceil, floor, inf

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.virtual_time import Events

from airflow_kombo.kombo_api.limits import LONGEST_PAUSE_SECONDS
from airflow_kombo.throttle.rate_limit import RateLimiter

SLOTS, FIRST_SLOTS = 30, 5


@dataclass
class Simulation(Events):
    """Senders with endless requests, and a server with a rate limit."""

    senders: int
    limit: int
    window: float
    shared: bool
    joins: tuple[float, ...] = ()
    used: dict[tuple[int, int], int] = field(default_factory=dict)
    refused: int = 0

    def run(self, seconds):
        self.dice = random.Random(1)  # noqa: S311 - to be repeated
        self.rates = [RateLimiter(self.senders) for _ in range(self.senders)]
        self.in_flight = [0] * self.senders
        self.timed = [False] * self.senders
        super().__init__()
        for sender in range(self.senders):
            begins = self.joins[sender] if self.joins else self.dice.uniform(0, 0.01)
            self.later(begins, self.send, sender)
        self.pass_until(seconds)
        return self

    def send(self, now, sender):
        rate = self.rates[sender]
        while not rate.pause(now) and self.in_flight[sender] < self.slots(sender):
            self.in_flight[sender] += 1
            arrives = now + self.dice.uniform(0.02, 0.08)
            self.later(arrives, self.arrive, sender, rate.record_request(now))
        if rate.pause(now) and not self.timed[sender]:
            self.timed[sender] = True
            self.later(now + rate.pause(now) + 0.001, self.wake, sender)

    def slots(self, sender):
        return FIRST_SLOTS if self.rates[sender]._limit == inf else SLOTS

    def wake(self, now, sender):
        self.timed[sender] = False
        self.send(now, sender)

    def arrive(self, now, sender, number):
        window = floor((now + 0.37) / self.window)
        budget = (window, 0 if self.shared else sender)
        used = self.used.setdefault(budget, 0)
        if used < self.limit:
            self.used[budget] = used = used + 1
        else:
            self.refused += 1
        headers = {
            "ratelimit-limit": str(self.limit),
            "ratelimit-remaining": str(self.limit - used),
            "ratelimit-reset": str(ceil((window + 1) * self.window - 0.37 - now)),
        }
        self.later(now + self.dice.uniform(0.02, 0.08), self.respond, sender, number, headers)

    def respond(self, now, sender, number, headers):
        self.in_flight[sender] -= 1
        self.rates[sender].observe(now, number, headers)
        self.send(now, sender)

    def share_used(self):
        """Return the used share of all whole windows."""
        last = max(window for window, _ in self.used)
        whole = [used for (window, _), used in self.used.items() if 0 < window < last]
        budgets = (last - 1) * (1 if self.shared else self.senders)
        return sum(whole) / (budgets * self.limit)

    def share_refused(self):
        return self.refused / (self.refused + sum(self.used.values()))


@pytest.mark.parametrize("shared", [True, False], ids=["per key", "per integration"])
@pytest.mark.parametrize("senders", [1, 3, 10, 20])
@pytest.mark.parametrize(("limit", "window"), [(600, 10), (300, 60)])
def test_the_rate_is_used_and_not_exceeded(senders, limit, window, shared):
    """Senders use at least 98 % of the limit, and at most 0.5 % of requests are refused."""
    simulation = Simulation(senders, limit, window, shared).run(8 * window)
    assert simulation.share_used() >= 0.98
    assert simulation.share_refused() <= 0.005


def test_tasks_that_join_later_converge():
    """Senders starting in the middle of a window adapt to the others."""
    simulation = Simulation(3, 600, 10, shared=True, joins=(0, 13.3, 31.2)).run(120)
    assert simulation.share_used() >= 0.98
    assert simulation.share_refused() <= 0.005


def test_without_a_limit_nothing_waits():
    """Without a rate limit in the responses, nothing waits."""
    rate = RateLimiter()
    for number in range(1, 100):
        assert rate.pause(0.0) == 0
        rate.observe(0.0, rate.record_request(0.0), {"Concurrency-Limit": "30"})
        assert rate._sent == number


@pytest.mark.parametrize("text", ["", "nan", "-1", "inf", "soon"])
def test_headers_that_say_nothing_change_nothing(text):
    """Malformed headers change nothing."""
    rate = RateLimiter()
    headers = {"ratelimit-limit": "600", "ratelimit-remaining": text, "ratelimit-reset": "10"}
    rate.observe(0.0, rate.record_request(0.0), headers)
    assert rate.pause(0.0) == 0


def test_a_spent_window_is_waited_for():
    """After a spent window, the next request waits for the reset."""
    rate = RateLimiter()
    headers = {"ratelimit-limit": "600", "ratelimit-remaining": "0", "ratelimit-reset": "7"}
    rate.observe(100.0, rate.record_request(100.0), headers)
    assert rate.pause(103.0) == 4.0
    assert rate.pause(107.0) == 0


EPOCH = 1_800_000_000
NUMBERS = st.one_of(st.floats(), st.integers(), st.floats(0, 1e3), st.integers(0, 400)).map(str)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        f"ratelimit-{name}": NUMBERS | st.sampled_from(["", "soon", "0", str(EPOCH), "1e300"])
        for name in ("limit", "remaining", "reset")
    },
)


def headers_of(limit, remaining, reset):
    values = {"limit": limit, "remaining": remaining, "reset": reset}
    return {f"ratelimit-{name}": str(value) for name, value in values.items()}


@settings(deadline=None)
@given(st.lists(st.tuples(HEADERS, st.floats(0, 500)), max_size=12), st.integers(1, 50))
@example([(headers_of(600, 0, EPOCH), 0.0)], 1)
@example([(headers_of(600, 599, "1e300"), 0.0)], 1)
@example([(headers_of(600, 0, 0), 1.0), (headers_of(600, 0, 0), 1.0)], 1)
@example([(headers_of(0, 0, 0), 0.0)], 3)
@example([(headers_of(1, 1, "5e-324"), 9.0)], 49)
@example([(headers_of(2, 0, 2), 0.0), ({}, 0.0), (headers_of(1, 0, 0), 0.0)], 1)
@example([(headers_of(600, "1e300", 60), 0.0), (headers_of(600, 3, 60), 1.0)], 1)
def test_no_header_stops_the_rate_for_long(responses, senders):
    """Pauses are bounded for any content of the headers."""
    rate, now = RateLimiter(senders), 1_000.0
    for headers, later in responses:
        number = rate.record_request(now)
        now += later
        rate.observe(now, number, headers)
        pause = rate.pause(now)
        assert 0 <= pause <= LONGEST_PAUSE_SECONDS + 1e-6
        now += pause + 1e-6
        assert rate.pause(now) == 0


def test_an_epoch_for_a_window_costs_a_part_of_the_rate_only():
    """A Unix time as `ratelimit-reset` costs at most two thirds of the rate."""
    rate, now, sent, limit, seen = RateLimiter(), 0.0, 0, 300, {}
    while now < 1_200:
        window = now // 60
        seen[window] = used = seen.get(window, 0) + 1
        rate.observe(now, rate.record_request(now), headers_of(limit, limit - used, EPOCH))
        sent += 1
        now += max(0.01, rate.pause(now))
    assert sent >= 20 * limit / 3
    assert max(seen.values()) <= limit


@pytest.mark.parametrize(("limit", "senders"), [(5, 20), (1, 3), (10, 11)])
def test_a_limit_smaller_than_the_number_of_senders_is_waited_for(limit, senders):
    """A sender with a share below one request sends one request per window."""
    rate, now = RateLimiter(senders), 0.0
    for window in range(5):
        assert rate.pause(now) == 0
        rate.observe(now, rate.record_request(now), headers_of(limit, 0, 60))
        assert rate.pause(now) == 60
        now = 60.0 * (window + 1)
