"""Many senders on one integration, in simulated time: the real throttles without a wire."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from math import inf
from statistics import mean

from support.virtual_time import Events

from airflow_kombo.kombo_api.response import KomboResponse
from airflow_kombo.kombo_api.verdicts import CONCURRENCY_LIMIT
from airflow_kombo.throttle.throttle import Throttle

NETWORK_SECONDS = (0.001, 0.004)


@dataclass
class Sender:
    """Run with rows enough, from its begin to its end."""

    begins: float = 0.0
    ends: float = inf
    cap: int | None = None
    done: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    def __post_init__(self):
        self.throttle = Throttle(self.cap, senders=1, cool_down=30.0)
        self.timer = -inf


class SharedSlots(Events):
    """An integration with a limit, and all who use it.

    :param latency: Shortest and longest seconds of a call, or a function of the calls in flight.
    :param falls: New limits, by time.
    :param tool: Calls that another tool always has in flight.
    :param headers: The named headers of a response: a function of the limit and what is left.
    :param at_admission: Whether the headers are those of the moment when the call was let in.
    """

    def __init__(
        self,
        senders,
        limit=30,
        *,
        seed=0,
        latency=(0.1, 0.3),
        falls=None,
        tool=0,
        headers=None,
        at_admission=False,
    ):
        self.dice = random.Random(seed)  # noqa: S311 - to be repeated
        self.senders = (
            [Sender(self.dice.uniform(0, 0.5)) for _ in range(senders)]
            if isinstance(senders, int)
            else senders
        )
        self.limit, self.falls, self.tool = limit, falls or {}, tool
        self.latency = latency if callable(latency) else lambda _: self.dice.uniform(*latency)
        self.headers = headers or named
        self.at_admission = at_admission
        self.in_flight = self.most = 0
        super().__init__()
        random.seed(seed)  # the jitter of the throttle's pauses

        self.begin()

    def begin(self):
        for sender in self.senders:
            self.later(sender.begins, self.pump, sender)
        for when, limit in self.falls.items():
            self.later(when, self.fall, limit)
        for _ in range(self.tool):
            self.later(0.0, self.use)

    def run(self, seconds):
        """Go on until a time."""
        self.pass_until(seconds)
        return self

    def fall(self, _now, limit):
        self.limit = limit

    def travel(self):
        return self.dice.uniform(*NETWORK_SECONDS)

    # The other tool -----------------------------------------------------------------------------

    def use(self, now):
        if self.in_flight >= self.limit:
            self.later(now + 1, self.use)
            return
        self.in_flight += 1
        self.later(now + self.latency(self.in_flight), self.free)

    def free(self, now):
        self.in_flight -= 1
        self.later(now + self.travel(), self.use)

    # The senders --------------------------------------------------------------------------------

    def pump(self, now, sender):
        while now < sender.ends and (number := sender.throttle.take(now)):
            self.later(now + self.travel(), self.admit, sender, number, now)
        if (pause := sender.throttle.pause(now)) and sender.timer <= now:
            sender.timer = now + pause + 0.001
            self.later(sender.timer, self.pump, sender)

    def admit(self, now, sender, number, sent_at):
        call = (sender, number, sent_at)
        if self.in_flight >= self.limit:
            sender.refused.append(now)
            self.respond(now, call, self.left(), refused=True)
            return
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        self.later(now + self.latency(self.in_flight), self.finish, call, self.left())

    def left(self):
        return self.headers(self.limit, max(0, self.limit - self.in_flight))

    def finish(self, now, call, at_admission):
        headers = at_admission if self.at_admission else self.left()
        self.in_flight -= 1
        self.respond(now, call, headers, refused=False)

    def respond(self, now, call, headers, *, refused):
        code = CONCURRENCY_LIMIT if refused else None
        response = KomboResponse(
            429 if refused else 200,
            headers,
            from_kombo=True,
            succeeded=not refused,
            error_code=code,
        )
        self.later(now + self.travel(), self.end, call, response)

    def end(self, now, call, response):
        sender, number, sent_at = call
        if response.succeeded:
            sender.done.append(now)
        sender.throttle.record_result(number, now, sent_at, response, response.verdict)
        self.pump(now, sender)

    # What came of it ----------------------------------------------------------------------------

    def rows(self, begin, end):
        """Return each sender's rows in a time."""
        return [sum(begin <= when < end for when in sender.done) for sender in self.senders]

    def refusals(self, begin, end):
        """Return each sender's 429s in a time."""
        return [sum(begin <= when < end for when in sender.refused) for sender in self.senders]

    def used(self, begin, end, slots=None):
        """Return the rows in a time, by those of all slots at work at a latency of 0.2 s."""
        return sum(self.rows(begin, end)) * 0.2 / ((slots or self.limit) * (end - begin))

    def refused_share(self, begin, end):
        refused = sum(self.refusals(begin, end))
        return refused / max(1, refused + sum(self.rows(begin, end)))


def named(limit, left):
    return {"Concurrency-Limit": str(limit), "Concurrency-Remaining": str(left)}


def evenness(rows):
    """Return the rows of the slowest by those of the fastest."""
    return min(rows) / max(1, *rows)


def average(values):
    return mean(values)
