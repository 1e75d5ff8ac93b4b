"""Throttle of one integration, with simulated time: no test waits."""

from __future__ import annotations

import pytest

from airflow_kombo.kombo_api.response import KomboResponse
from airflow_kombo.kombo_api.verdicts import Verdict
from airflow_kombo.throttle.throttle import Throttle

NOW = 1_000.0
OK = b'{"status":"success","data":{},"warnings":[]}'


def throttle(cap=None):
    return Throttle(cap, senders=1, cool_down=30.0)


def end(gate, number, verdict, now=NOW, **headers):
    """End a call with a response of these headers."""
    named = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    gate.record_result(number, now, now, KomboResponse.of(200, named, OK), verdict)


def test_requests_are_numbered_until_the_slots_are_used_up():
    """Each permitted request has a number, and without a free slot the answer is 0."""
    gate = throttle(cap=2)
    assert [gate.take(NOW) for _ in range(3)] == [1, 2, 0]
    assert gate.pause(NOW) == 0
    end(gate, 1, Verdict.CREATED)
    assert gate.take(NOW) == 3


def test_a_spent_rate_limit_is_named_as_a_limit():
    """After a spent window the pause lasts until the reset, and counts as a limit."""
    gate = throttle()
    spent = {"ratelimit_limit": 300, "ratelimit_remaining": 0, "ratelimit_reset": 7}
    end(gate, gate.take(NOW), Verdict.CREATED, **spent)
    assert (gate.take(NOW), gate.pause(NOW)) == (0, 7)
    assert gate.is_limited(NOW)
    assert not gate.is_cooling_down(NOW)
    assert gate.take(NOW + 7) == 2


@pytest.mark.parametrize(("verdict", "given_up"), [(Verdict.CREATED, False), (Verdict.RETRY, True)])
def test_only_the_result_of_the_probe_decides(verdict, given_up):
    """After failures, late results change nothing, and the probe's result decides."""
    gate = throttle()
    late, *failing = [gate.take(NOW) for _ in range(5)]
    failing.append(0)
    for number in failing:
        gate.record_result(number or late, NOW, NOW, None, Verdict.UNKNOWN)
    assert gate.is_cooling_down(NOW)
    assert (gate.take(NOW + 29), gate.pause(NOW)) == (0, 30)
    probe = gate.take(NOW + 30)
    assert probe == 6
    assert gate.take(NOW + 30) == 0
    gate.record_result(probe, NOW + 31, NOW + 30, None, verdict)
    assert gate.given_up is given_up
    assert bool(gate.take(NOW + 99)) is not given_up


def test_a_refused_request_takes_no_slot():
    """A request refused by the rate limit leaves all slots free."""
    gate = throttle(cap=1)
    spent = {"ratelimit_limit": 300, "ratelimit_remaining": 0, "ratelimit_reset": 7}
    end(gate, gate.take(NOW), Verdict.CREATED, **spent)
    assert [gate.take(NOW) for _ in range(3)] == [0, 0, 0]
    assert gate.take(NOW + 7) == 2
