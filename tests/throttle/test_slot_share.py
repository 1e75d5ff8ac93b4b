"""Senders that do not know of each other share one integration, in simulated time."""

from __future__ import annotations

from math import inf

import pytest
from support.shared_slots import Sender, SharedSlots, average, evenness, named

READINGS = pytest.mark.parametrize("at_admission", [False, True], ids=["answered", "admitted"])
"""`Concurrency-Remaining` may count when a response is sent, or when the request was let in."""


def nights(seconds, seeds=3, senders=10, **parts):
    """Simulate some nights; `senders` is a number or a function."""
    made = senders if callable(senders) else lambda: senders
    return [SharedSlots(made(), seed=seed, **parts).run(seconds) for seed in range(seeds)]


def used(found, begin, end, slots=None):
    return average([night.used(begin, end, slots) for night in found])


def refused(found, begin, end):
    return average([night.refused_share(begin, end) for night in found])


def even(found, begin, end):
    return average([evenness(night.rows(begin, end)) for night in found])


def part_of_last(found, begin, end):
    """Return the rows of the last sender by the fair share."""
    rows = [night.rows(begin, end) for night in found]
    return average([each[-1] * len(each) / sum(each) for each in rows])


def test_ten_senders_share_a_limit():
    """Ten senders use at least 90 % of the slots evenly, with 0.5 % of 429s at most."""
    found = nights(65, seeds=5)
    assert used(found, 5, 65) >= 0.9
    assert even(found, 5, 65) >= 0.8
    assert refused(found, 5, 65) <= 0.005
    assert {night.most for night in found} == {30}


def test_the_number_left_may_be_that_of_the_admission():
    """If the headers are older by a response time, more is refused, and nobody is starved."""
    found = nights(65, at_admission=True)
    assert used(found, 5, 65) >= 0.88
    assert even(found, 5, 65) >= 0.7
    assert refused(found, 5, 65) <= 0.05


@READINGS
@pytest.mark.parametrize("limit", [3, 8, 10, 30])
def test_a_sender_alone_uses_the_whole_limit(limit, at_admission):
    """A sender alone uses 90 % of a limit, or 75 % of one of 3, and is not refused later."""
    found = nights(30, senders=1, limit=limit, at_admission=at_admission)
    assert used(found, 0.5, 30) >= (0.9 if limit > 3 else 0.75)
    assert refused(found, 1, 30) == 0  # the first five calls leave before the limit is known


@READINGS
@pytest.mark.parametrize("limit", [8, 30])
def test_two_senders_share_a_limit(limit, at_admission):
    """Two senders use about 90 % of a small and a large limit, and neither is starved."""
    found = nights(90, senders=2, limit=limit, at_admission=at_admission)
    assert used(found, 10, 90) >= 0.88
    assert even(found, 10, 90) >= 0.6
    assert refused(found, 10, 90) <= 0.01


@READINGS
def test_a_sender_with_a_cap_leaves_the_rest_to_the_other(at_admission):
    """A sender takes all slots left by another one with `max_in_flight`."""
    found = nights(
        60, senders=lambda: [Sender(cap=5), Sender(0.1)], limit=30, at_admission=at_admission
    )
    assert used(found, 10, 60) >= 0.85
    assert all(night.rows(10, 60)[0] >= 4 * 50 / 0.21 for night in found)


@READINGS
@pytest.mark.parametrize("others", [1, 4])
def test_a_latecomer_gets_its_share(others, at_admission):
    """After ten seconds, a latecomer has at least 80 % of its fair share."""
    found = nights(
        50,
        senders=lambda: [*(Sender(number / 100) for number in range(others)), Sender(20)],
        at_admission=at_admission,
    )
    assert part_of_last(found, 30, 50) >= 0.8
    assert max(night.refusals(20, 50)[-1] for night in found) <= 15


def test_what_others_leave_is_taken():
    """After five of ten senders have ended, the others use the slots within two seconds."""
    senders = [inf] * 5 + [20.0] * 5
    found = nights(40, senders=lambda: [Sender(0.1, ends=end) for end in senders])
    assert used(found, 22, 40) >= 0.9


@READINGS
def test_another_tool_keeps_what_it_uses(at_admission):
    """A tool with 10 of 30 slots goes on beside a sender, which uses the others."""
    found = nights(35, senders=1, tool=10, at_admission=at_admission)
    assert used(found, 5, 35, slots=20) >= 0.83
    assert refused(found, 5, 35) <= 0.005


@READINGS
@pytest.mark.parametrize(("senders", "handful"), [(1, 5), (2, 12), (10, 30)])
def test_a_limit_that_falls_costs_a_handful(senders, handful, at_admission):
    """A fall from 30 to 8 costs each sender a handful of 429s in a minute; the 8 are used."""
    found = nights(80, senders=senders, falls={20.0: 8}, at_admission=at_admission)
    assert used(found, 20, 80, slots=8) >= 0.88
    assert max(max(night.refusals(20, 80)) for night in found) <= handful
    assert all(night.used(18, 20, slots=30) > 0.8 for night in found)


@pytest.mark.parametrize(("senders", "limit"), [(10, 8), (16, 8), (3, 2), (20, 30)])
def test_more_senders_than_slots_take_turns(senders, limit):
    """Nobody is starved, also where there are fewer slots than senders."""
    found = nights(200, seeds=2, senders=senders, limit=limit)
    assert used(found, 20, 200) >= 0.8
    for night in found:
        rows = night.rows(20, 200)
        assert min(rows) >= sum(rows) / len(rows) / 4


HEADERS = {
    "rounded down to tens": lambda limit, left: named(limit, left // 10 * 10),
    "rounded up to tens": lambda limit, left: named(limit, -(-left // 10) * 10),
    "always 0": lambda limit, _: named(limit, 0),
    "always the limit": lambda limit, _: named(limit, limit),
    "huge": lambda limit, _: named(limit, "1e300"),
    "only the limit": lambda limit, _: {"Concurrency-Limit": str(limit)},
    "none": lambda *_: {},
}


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS.keys())
@pytest.mark.parametrize("senders", [1, 10])
def test_senders_get_on_whatever_the_header_says(senders, headers):
    """With a rounded, wrong or missing number, at least 60 % of the slots are used by all."""
    found = nights(90, seeds=2, senders=senders, headers=headers)
    assert used(found, 20, 90) >= 0.6
    assert refused(found, 20, 90) <= 0.16
    assert all(min(night.rows(20, 90)) > 0 for night in found)


def test_a_limit_that_rises_again_is_used():
    """After a fall and a rise, a limit is used in full a few seconds later."""
    found = nights(60, senders=2, falls={20.0: 8, 40.0: 30})
    assert used(found, 45, 60) >= 0.88


# The response time --------------------------------------------------------------------------------


def test_a_server_that_is_slow_at_many_calls_gets_fewer():
    """If only 8 of 30 calls are worked on at once, a part of the limit stays unused."""
    slow = nights(120, senders=1, latency=lambda calls: 0.5 * max(1.0, calls / 8))
    for night in slow:
        assert 8 <= night.senders[0].throttle.slots <= 25


@pytest.mark.parametrize("latency", [(0.1, 0.3), (0.05, 2.0), (60.0, 180.0)])
def test_a_response_time_that_varies_lowers_nothing(latency):
    """Neither a spread of the times nor a slow integration costs slots."""
    for night in nights(latency[1] * 100, senders=1, latency=latency):
        assert night.senders[0].throttle.slots >= 29


def test_an_integration_that_becomes_slow_keeps_a_quarter():
    """An integration that takes minutes of a sudden keeps 7 slots, and gets all back later."""
    seconds = [1.0]
    (night,) = nights(60, seeds=1, senders=1, latency=lambda _: seconds[0])
    seconds[0] = 100.0
    lowest = min(night.run(end).senders[0].throttle.slots for end in (1_000, 2_000))
    assert 7 <= lowest <= 10
    assert night.run(10_000).senders[0].throttle.slots >= 29
