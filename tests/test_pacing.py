"""How many calls of one integration may be in flight; time is a number, so nothing waits."""

import itertools
import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from airflow_kombo.models import Answer
from airflow_kombo.pacing import Pace

NOW = 1_000.0
OK = b'{"status":"success","data":{},"warnings":[]}'
HOSTILE = ["-1", "-0.5", "nan", "inf", "-inf", "soon", "", " ", "1,5", "0x10", "½"]
A_DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


def answer(http_status=200, **headers):
    """Make an answer whose headers are in lower case, as most servers' are."""
    named = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    return Answer.of(http_status, CIMultiDict(named), OK if http_status == 200 else b"")


def told(outcome, pace=None, now=NOW):
    """Give a pace that has had one call, with this outcome."""
    pace = pace or Pace()
    assert pace.take(now)
    pace.give_back(now, now, outcome)
    return pace


def slots(pace, now=NOW):
    return sum(1 for _ in itertools.takewhile(lambda _: pace.take(now), range(1_000)))


@pytest.mark.parametrize(
    ("limit", "cap", "expected"),
    [
        (30, None, 28),
        ("30.0", None, 28),
        (4, None, 2),
        (3, None, 1),
        (2, None, 1),
        (1, None, 1),
        (0, None, 1),
        (30, 10, 10),
        (30, 1, 1),
        (8, 10, 6),
        (1, 10, 1),
    ],
)
def test_slots_follow_the_limit_less_the_headroom(limit, cap, expected):
    """Two slots are left to others, the cap holds, and there is always one slot."""
    assert slots(told(answer(concurrency_limit=limit), Pace(cap))) == expected


def test_an_answer_from_before_the_limit_fell_does_not_raise_it():
    """Answers overtake each other: only what left after the fall can tell of a rise."""
    pace = told(answer(concurrency_limit=8), told(answer(concurrency_limit=30)), NOW + 2)
    for sent_at, expected in [(NOW + 1, 6), (NOW + 3, 28)]:
        assert pace.take(NOW + 4)
        pace.give_back(NOW + 4, sent_at, answer(concurrency_limit=30))
        held = slots(pace)
        assert held == expected
        for _ in range(held):
            pace.give_back(NOW + 4, NOW + 4, None)


@pytest.mark.parametrize(("cap", "expected"), [(None, 5), (3, 3), (50, 5)])
def test_few_are_in_flight_before_the_first_answer(cap, expected):
    """Until a limit is known five calls are in flight at most, fewer under a smaller cap."""
    assert slots(Pace(cap)) == expected


def test_the_limit_may_change_with_every_answer():
    """The last answer's limit counts, up and down, and calls in flight above it finish first."""
    pace = told(answer(concurrency_limit=30))
    assert slots(pace) == 28
    pace.give_back(NOW, NOW, answer(concurrency_limit=5))
    assert not pace.take(NOW)
    for _ in range(25):
        pace.give_back(NOW, NOW, None)
    assert slots(pace) == 1  # 28 - 26 are still in flight, of 3


def test_a_lost_answer_gives_its_slot_back():
    """A call without an answer teaches nothing and costs no slot for good."""
    pace = told(None)
    assert (slots(pace), pace.pause(NOW)) == (5, 0)


@pytest.mark.parametrize("http_status", [429, 503])
def test_retry_after_is_honoured(http_status):
    """Where a limit was met and the answer names a time, nothing is sent until then."""
    pace = told(answer(http_status, retry_after=7, ratelimit_remaining=0, ratelimit_reset=57))
    assert (pace.pause(NOW), pace.pause(NOW + 6), pace.pause(NOW + 8)) == (7, 1, 0)
    assert not pace.take(NOW + 6.9)
    assert pace.take(NOW + 7)


@pytest.mark.parametrize(("http_status", "pause"), [(200, 0), (400, 0), (429, 57), (500, 0)])
def test_a_spent_rate_limit_pauses_until_its_reset(http_status, pause):
    """A call that met the limit waits for its reset; to spread what is left is the rate's task."""
    spent = answer(http_status, ratelimit_remaining=0, ratelimit_reset=57)
    assert told(spent).pause(NOW) == pause


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"ratelimit_remaining": 12, "ratelimit_reset": 57},
        {"retry_after": A_DATE},
        *({"retry_after": text} for text in HOSTILE),
        {"ratelimit_remaining": 0},
        {"ratelimit_remaining": 0, "ratelimit_reset": 0},
        {"ratelimit_remaining": 0, "ratelimit_reset": "nan"},
        {"retry_after": 0},
    ],
)
def test_a_met_limit_that_names_no_time_pauses_about_a_second(headers):
    """A 429 never comes back at once: without a usable time it waits for about a second."""
    assert 0.5 <= told(answer(429, **headers)).pause(NOW) <= 1.5


def test_pauses_of_many_lanes_differ():
    """Lanes that meet a limit at once do not come back at once."""
    assert len({told(answer(429)).pause(NOW) for _ in range(20)}) > 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"ratelimit_remaining": 1, "ratelimit_reset": 57},
        {"ratelimit_reset": 57},
        {"ratelimit_remaining": 0},
        {"retry_after": 7},
        *({"ratelimit_remaining": text, "ratelimit_reset": 57} for text in [*HOSTILE, A_DATE]),
        *({"ratelimit_remaining": 0, "ratelimit_reset": text} for text in [*HOSTILE, A_DATE]),
        *({"concurrency_limit": text} for text in [*HOSTILE, A_DATE]),
    ],
)
def test_a_success_that_spends_nothing_changes_nothing(headers):
    """Headers that say nothing, or nonsense, neither pause nor change the slots."""
    pace = told(answer(**headers))
    assert (pace.pause(NOW), slots(pace)) == (0, 5)


def test_a_shorter_pause_does_not_end_a_longer_one():
    """Of several answers' pauses the one that ends last counts."""
    pace = Pace()
    assert [pace.take(NOW), pace.take(NOW)] == [True, True]
    pace.give_back(NOW, NOW, answer(429, retry_after=50))
    pace.give_back(NOW + 1, NOW + 1, answer(429, retry_after=2))
    assert pace.pause(NOW + 1) == 49


_VALUES = st.one_of(
    st.text(), st.sampled_from(HOSTILE), st.floats().map(str), st.integers().map(str)
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([200, 302, 401, 429, 500, 503]),
    st.dictionaries(
        st.sampled_from(
            ["concurrency-limit", "ratelimit-remaining", "ratelimit-reset", "retry-after"]
        ),
        _VALUES,
    ),
)
@example(429, {"retry-after": "1e308", "concurrency-limit": "1e308"})
def test_no_header_stops_a_lane_or_hurries_it(http_status, headers):
    """Whatever the headers hold, a slot is free again within five minutes, and not before now."""
    pace = told(answer(http_status, **headers))
    assert 0 <= pace.pause(NOW) <= 300
    assert slots(pace, NOW + 300) >= 1


def test_an_error_of_the_ats_is_no_limit_of_kombos():
    """`REMOTE.RATE_LIMIT_EXCEEDED` backs off its row, not the integration's lane."""
    error = {"code": "REMOTE.RATE_LIMIT_EXCEEDED", "title": None, "message": "", "log_url": None}
    body = json.dumps({"status": "error", "error": error}).encode()
    assert told(Answer.of(429, {}, body)).pause(NOW) == 0
