"""Concurrency limiter with simulated time: no test waits."""

import itertools
import json
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from airflow_kombo.kombo_api.limits import LONGEST_PAUSE_SECONDS
from airflow_kombo.kombo_api.response import KomboResponse
from airflow_kombo.throttle.concurrency import ConcurrencyLimiter

NOW = 1_000.0
OK = b'{"status":"success","data":{},"warnings":[]}'
HOSTILE = ["-1", "-0.5", "nan", "inf", "-inf", "soon", "", " ", "1,5", "0x10", "½"]
A_DATE = "Wed, 21 Oct 2026 07:28:00 GMT"
TOO_MANY = b'{"status":"error","error":{"code":"PLATFORM.CONCURRENCY_LIMIT_EXCEEDED"}}'


def response(http_status=200, body=None, **headers):
    """Build a response with lower-case headers, as most servers send them."""
    named = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    body = body or (OK if http_status == 200 else b"")
    return KomboResponse.of(http_status, CIMultiDict(named), body)


def too_many(**headers):
    return response(429, TOO_MANY, **headers)


def after(result, limiter=None, now=NOW):
    """Return a limiter after one call with this response."""
    limiter = limiter or ConcurrencyLimiter()
    assert limiter.take(now)
    limiter.give_back(now, now, result)
    return limiter


def slots(limiter, now=NOW):
    return sum(1 for _ in itertools.takewhile(lambda _: limiter.take(now), range(1_000)))


def answer_all(limiter, now, **headers):
    """Use all slots, and end all calls with responses of these headers; return the slots used."""
    used = slots(limiter, now)
    for _ in range(used):
        limiter.give_back(now, now, response(**headers))
    return used


@pytest.mark.parametrize(
    ("limit", "cap", "expected"),
    [
        (30, None, 30),
        ("30.0", None, 30),
        (8, None, 8),
        (3, None, 3),
        (1, None, 1),
        (0, None, 1),
        (30, 10, 10),
        (30, 1, 1),
        (8, 10, 8),
        (1, 10, 1),
        ("1e300", None, 100),
        (1_000, 200, 200),
    ],
)
def test_a_sender_alone_takes_the_whole_limit(limit, cap, expected):
    """Without others, all slots are used after a few round trips, up to the cap and to 100."""
    limiter = ConcurrencyLimiter(cap)
    left = max(0.0, float(limit) - 1)  # of the limit, one slot is the call's own
    used = [
        answer_all(limiter, NOW + at, concurrency_limit=limit, concurrency_remaining=left)
        for at in range(12)
    ]
    assert max(used[1:]) == expected  # the first calls leave before a response names the limit
    assert min(used[6:]) >= expected - 1


def test_a_fall_takes_effect_at_once_and_older_requests_do_not_undo_it():
    """Only a request sent after the limit fell can raise the limit again."""
    limiter = ConcurrencyLimiter()
    for at in range(6):
        answer_all(limiter, NOW + at, concurrency_limit=30, concurrency_remaining=29)
    assert slots(limiter, NOW + 7) >= 29
    for sent_at, limit, most in [(NOW + 7, 9, 9), (NOW + 7, 30, 9), (NOW + 9, 30, 10)]:
        told = response(concurrency_limit=limit, concurrency_remaining=0)
        limiter.give_back(NOW + 8, sent_at, told)
        assert limiter.slots <= most
        assert limiter.free == 0


def test_slots_and_free_slots_can_be_read():
    """The limiter names all slots, and the free ones."""
    limiter = ConcurrencyLimiter(4)
    assert (limiter.slots, limiter.free) == (4, 4)
    assert limiter.take(NOW)
    assert (limiter.slots, limiter.free) == (4, 3)


def test_after_a_silence_a_sender_begins_with_few_calls():
    """After a silence of more than ten seconds, five calls leave at first."""
    limiter = ConcurrencyLimiter()
    for at in range(6):
        answer_all(limiter, NOW + at, concurrency_limit=30, concurrency_remaining=29)
    assert slots(limiter, NOW + 60) == 5


def test_a_limit_without_what_is_left_is_searched_for():
    """If only the limit is named, the slots double up to the limit, until a 429 halves them."""
    limiter = ConcurrencyLimiter()
    assert flood(limiter, 1_000, 5, concurrency_limit=30) == [5, 10, 20, 30, 30]
    now = NOW + 9 * LONGEST_PAUSE_SECONDS
    assert flood(limiter, 20, 3, now, concurrency_limit=30) == [30, 15, 16]


def test_a_refusal_costs_a_part_of_the_slots_once():
    """Several 429s to calls sent together lower the slots once, and pause for a round trip."""
    limiter = ConcurrencyLimiter()
    for at in range(6):
        answer_all(limiter, NOW + at, concurrency_limit=30, concurrency_remaining=29)
    assert slots(limiter, NOW + 7) >= 29
    for _ in range(5):
        full = too_many(concurrency_limit=30, concurrency_remaining=0)
        limiter.give_back(NOW + 8, NOW + 7, full)
    assert 20 <= limiter.slots <= 21
    assert 0 < limiter.pause(NOW + 8) <= 1.5


@pytest.mark.parametrize("seconds", [0.2, 60.0])
def test_a_sender_without_a_slot_waits_for_its_turn(seconds):
    """A sender refused with its only call pauses ten round trips, and 22.5 s at most."""
    limiter = ConcurrencyLimiter(cap=1)
    assert limiter.take(NOW)
    headers = {"concurrency_limit": 8, "concurrency_remaining": 0}
    limiter.give_back(NOW + seconds, NOW, response(**headers))
    assert limiter.take(NOW + seconds)
    limiter.give_back(NOW + seconds, NOW + seconds, too_many(**headers))
    least, most = (1, 3) if seconds < 1 else (7.5, 22.5)
    assert least <= limiter.pause(NOW + seconds) <= most


@pytest.mark.parametrize(("cap", "expected"), [(None, 5), (3, 3), (50, 5)])
def test_few_are_in_flight_before_the_first_response(cap, expected):
    """Until a limit is known, five calls are in flight at most, fewer under a smaller cap."""
    assert slots(ConcurrencyLimiter(cap)) == expected


def test_a_lost_response_gives_its_slot_back():
    """A call without a response gives its slot back and changes nothing."""
    limiter = after(None)
    assert (slots(limiter), limiter.pause(NOW)) == (5, 0)


@pytest.mark.parametrize("http_status", [429, 503])
def test_retry_after_is_honoured(http_status):
    """After a limit with `Retry-After`, nothing is sent until that time."""
    limiter = after(response(http_status, retry_after=7, ratelimit_remaining=0, ratelimit_reset=57))
    assert (limiter.pause(NOW), limiter.pause(NOW + 6), limiter.pause(NOW + 8)) == (7, 1, 0)
    assert not limiter.take(NOW + 6.9)
    assert limiter.take(NOW + 7)


@pytest.mark.parametrize(
    ("date", "retry_after", "pause"),
    [
        ("Wed, 21 Oct 2026 07:27:18 GMT", A_DATE, 42),
        ("Wed, 21 Oct 2026 08:27:18 +0100", A_DATE, 42),
        ("Wednesday, 21-Oct-26 07:27:18 GMT", "Wed Oct 21 07:28:00 2026", 42),
        ("Wed, 21 Oct 2026 07:00:00 GMT", A_DATE, LONGEST_PAUSE_SECONDS),
        ("Wed, 21 Oct 2026 07:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_PAUSE_SECONDS),
    ],
)
def test_a_retry_after_that_is_a_date_is_honoured(date, retry_after, pause):
    """A date, in each of HTTP's three forms, counts from the response's own date."""
    assert after(response(429, date=date, retry_after=retry_after)).pause(NOW) == pause


@pytest.mark.parametrize("date", [{}, {"date": "soon"}])
def test_without_a_date_of_its_own_our_clock_counts(date):
    """For a response without a usable date of its own, our clock counts."""
    until = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=60), usegmt=True)
    assert 30 < after(response(429, retry_after=until, **date)).pause(NOW) <= 60


@pytest.mark.parametrize(
    "headers",
    [
        {"retry_after": 1_800_000_000},
        {"retry_after": "1e300"},
        {"retry_after": 0, "ratelimit_remaining": 0, "ratelimit_reset": 1_800_000_000},
        {"ratelimit_remaining": 0, "ratelimit_reset": "1e300"},
    ],
)
def test_no_pause_is_longer_than_the_longest(headers):
    """A huge number of seconds, such as a Unix time, costs two minutes at most."""
    assert after(response(429, **headers)).pause(NOW) == LONGEST_PAUSE_SECONDS


@pytest.mark.parametrize(("http_status", "pause"), [(200, 0), (400, 0), (429, 57), (500, 0)])
def test_a_spent_rate_limit_pauses_until_its_reset(http_status, pause):
    """Only a call refused by the rate limit pauses until the reset."""
    spent = response(http_status, ratelimit_remaining=0, ratelimit_reset=57)
    assert after(spent).pause(NOW) == pause


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"ratelimit_remaining": 12, "ratelimit_reset": 57},
        {"retry_after": A_DATE, "date": "Wed, 21 Oct 2026 07:28:01 GMT"},
        {"retry_after": "Fri, 21 Oct 1994 07:28:00 GMT"},
        {"retry_after": "Wed, 99 Oct 2026 07:28:00 +9999"},
        *({"retry_after": text} for text in HOSTILE),
        {"ratelimit_remaining": 0},
        {"ratelimit_remaining": 0, "ratelimit_reset": 0},
        {"ratelimit_remaining": 0, "ratelimit_reset": "nan"},
        {"retry_after": 0},
    ],
)
def test_a_met_limit_that_names_no_time_pauses_about_a_second(headers):
    """A 429 without a usable time pauses for about a second."""
    assert 0.5 <= after(response(429, **headers)).pause(NOW) <= 1.5


def test_pauses_of_many_senders_differ():
    """Senders refused at the same time continue at different times."""
    assert len({after(response(429)).pause(NOW) for _ in range(20)}) > 1


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
        *({"concurrency_remaining": text} for text in [*HOSTILE, A_DATE, "12"]),
    ],
)
def test_a_success_that_spends_nothing_changes_nothing(headers):
    """Missing or malformed headers neither pause nor change the slots."""
    limiter = after(response(**headers))
    assert (limiter.pause(NOW), slots(limiter)) == (0, 5)


def test_a_shorter_pause_does_not_end_a_longer_one():
    """The longest of several responses' pauses counts."""
    limiter = ConcurrencyLimiter()
    assert [limiter.take(NOW), limiter.take(NOW)] == [True, True]
    limiter.give_back(NOW, NOW, response(429, retry_after=50))
    limiter.give_back(NOW + 1, NOW + 1, response(429, retry_after=2))
    assert limiter.pause(NOW + 1) == 49


_NUMBERS = st.one_of(st.floats(), st.integers(), st.decimals(), st.floats(0, 1e12)).map(str)
_DATES = st.datetimes().map(format_datetime) | st.from_regex(r"Wed, \d+ Oct \d+ \d+:\d+:\d+ .*")
_VALUES = st.text() | st.sampled_from([*HOSTILE, A_DATE]) | _NUMBERS | _DATES
_HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "concurrency-limit",
            "concurrency-remaining",
            "ratelimit-remaining",
            "ratelimit-reset",
            "retry-after",
            "date",
        ]
    ),
    _VALUES,
)
_BODIES = st.sampled_from([OK, TOO_MANY, b""])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.sampled_from([200, 302, 401, 429, 500, 503]), _BODIES, _HEADERS)),
    st.none() | st.integers(1, 200),
)
@example([(429, b"", {"retry-after": "1e308", "concurrency-limit": "1e308"})], None)
@example([(200, OK, {"concurrency-limit": "1e308", "concurrency-remaining": "1e308"})] * 9, None)
@example([(200, OK, {"concurrency-limit": "0", "concurrency-remaining": "-7"})] * 9, None)
@example([(200, OK, {"concurrency-limit": "30", "concurrency-remaining": "1e308"})] * 9, 200)
@example([(429, TOO_MANY, {})] * 9, None)
def test_no_header_stops_a_sender_or_hurries_it(responses, cap):
    """Pauses and slots are bounded for any content of the headers."""
    limiter, now = ConcurrencyLimiter(cap), NOW
    for http_status, body, headers in responses:
        limiter = after(response(http_status, body, **headers), limiter, now)
        assert 0 <= limiter.pause(now) <= LONGEST_PAUSE_SECONDS
        now += LONGEST_PAUSE_SECONDS
    assert 1 <= slots(limiter, now) <= (cap or 100)


# Without a limit in the responses ---------------------------------------------------------------


def flood(limiter, room, rounds=1, now=NOW, **headers):
    """Use all slots for some rounds against limited room; return the slots of each round."""
    used = []
    for _ in range(rounds):
        used.append(slots(limiter, now))
        for number in range(used[-1]):
            sent_back = response(**headers) if number < room else too_many(**headers)
            limiter.give_back(now + 1, now, sent_back)
        now += LONGEST_PAUSE_SECONDS
    return used


def test_without_a_limit_the_slots_grow_by_one_a_round_trip():
    """Without a limit in the responses, each successful round trip adds one slot."""
    assert flood(ConcurrencyLimiter(), 1_000, 4) == [5, 6, 7, 8]


@pytest.mark.parametrize(("cap", "most"), [(None, 30), (12, 12), (200, 30)])
def test_slots_do_not_grow_beyond_what_is_documented(cap, most):
    """Slots grow to the documented 30, or to a smaller cap."""
    assert flood(ConcurrencyLimiter(cap), 1_000, 60)[-1] == most


def test_a_429_halves_the_slots_once():
    """Several 429s to calls sent together halve the slots once; then the slots grow again."""
    limiter = ConcurrencyLimiter()
    used = flood(limiter, room=10, rounds=14)
    assert used == [5, 6, 7, 8, 9, 10, 11, 5, 6, 7, 8, 9, 10, 11]


def test_slots_that_are_not_used_prove_nothing():
    """Single calls never raise the first number of slots."""
    limiter = ConcurrencyLimiter()
    for _ in range(1_000):
        limiter = after(response(), limiter)
    assert slots(limiter) == 5


@pytest.mark.parametrize(
    "sent_back", [response(429), response(500), response(503), response(401), None]
)
def test_only_work_that_was_done_makes_slots_grow(sent_back):
    """A rate limit, a failure and a lost response neither raise nor halve the slots."""
    limiter = ConcurrencyLimiter()
    for _ in range(50):
        held = slots(limiter)
        for _ in range(held):
            limiter.give_back(NOW, NOW - 9, sent_back)
        limiter._paused_until = 0
    assert slots(limiter) == 5


def test_refused_rows_make_slots_grow_too():
    """A refusal of a row's content counts as a successful call."""
    limiter, code = ConcurrencyLimiter(), b'{"status":"error","error":{"code":"ATS.JOB_CLOSED"}}'
    for _ in range(slots(limiter)):
        limiter.give_back(NOW, NOW, response(400, code))
        assert limiter.take(NOW)
    assert slots(limiter) == 1


def test_a_limit_that_comes_later_rules():
    """From the first response that names limit and slots left, nothing else moves the slots."""
    limiter = ConcurrencyLimiter()
    flood(limiter, 1_000, 3)
    later = NOW + 999
    after(response(concurrency_limit=6, concurrency_remaining=0), limiter, later)
    assert slots(limiter, later) <= 6
    assert limiter.slots == limiter._in_flight
    for _ in range(limiter.slots):
        limiter.give_back(later, later, response())
    assert flood(limiter, 1_000, 3, later) == [limiter.slots] * 3


def test_an_error_of_the_ats_is_no_limit_of_kombos():
    """`REMOTE.RATE_LIMIT_EXCEEDED` delays the row, not the integration's sender."""
    error = {"code": "REMOTE.RATE_LIMIT_EXCEEDED", "title": None, "message": "", "log_url": None}
    body = json.dumps({"status": "error", "error": error}).encode()
    assert after(KomboResponse.of(429, {}, body)).pause(NOW) == 0
