"""Claim window: rows for one commit and a half, and no single time that changes it much."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_kombo.delivery.claim_window import MOST_ROWS, ClaimWindow, MovingAverage

SLOTS = 28
SECONDS = st.floats(0, 1e6)


def window(*, commit, response, times=200):
    """Return a window after many commits and responses of the same times."""
    known = ClaimWindow()
    for _ in range(times):
        known.commit.observe(commit)
        known.response.observe(response)
    return known


@pytest.mark.parametrize(("slots", "rows"), [(1, 1), (5, 1), (28, 3), (100, 8)])
def test_before_anything_was_measured_the_window_is_small(slots, rows):
    """The first values are a commit of 10 ms and a response of 200 ms."""
    assert ClaimWindow().rows(slots) == rows


@pytest.mark.parametrize(
    ("commit", "response", "rows"),
    [
        (0.001, 0.2, 1),
        (0.005, 0.2, 2),
        (0.010, 0.2, 3),
        (0.030, 0.2, 7),
        (0.011, 0.02, 24),
        (0.0145, 0.01, 61),
        (0.020, 0.001, MOST_ROWS),
        (5.0, 0.2, MOST_ROWS),
        (0.010, 300.0, 1),
    ],
)
def test_it_holds_what_one_commit_and_a_half_use_up_and_one_more(commit, response, rows):
    """The window is 1.5 * slots * commit time / response time, and one, up to a cap."""
    assert window(commit=commit, response=response).rows(SLOTS) == rows


def test_one_slow_commit_does_not_open_the_window():
    """After a commit of a minute, few more rows are claimed than before."""
    known = window(commit=0.03, response=0.2)
    known.commit.observe(60.0)
    assert known.rows(SLOTS) == 8


def test_one_response_that_hung_does_not_close_the_window():
    """After a response of 300 s, few rows less are claimed than before."""
    known = window(commit=0.03, response=0.2)
    known.response.observe(300.0)
    assert known.rows(SLOTS) == 6


def test_a_server_that_becomes_slow_closes_the_window_soon():
    """After some dozen responses of the new time, the window has the new size."""
    known = window(commit=0.02, response=0.005)
    assert known.rows(SLOTS) == MOST_ROWS
    for _ in range(60):
        known.response.observe(0.2)
    assert known.rows(SLOTS) == 5


@given(st.lists(SECONDS), st.lists(SECONDS), st.integers(1, 100))
@example([1e6] * 500, [0.0] * 500, 100)
@example([0.0] * 12_000, [0.0] * 12_000, 1)
def test_whatever_was_measured_it_neither_starves_nor_bursts(commits, responses, slots):
    """The window has one row at least, and the cap at most."""
    known = ClaimWindow()
    for seconds in commits:
        known.commit.observe(seconds)
    for seconds in responses:
        known.response.observe(seconds)
    assert 1 <= known.rows(slots) <= MOST_ROWS


@given(st.floats(0.001, 10), SECONDS)
def test_one_time_moves_an_average_by_an_eighth_at_most(before, seconds):
    """No single time, however long or short, changes an average much."""
    average = MovingAverage(before)
    average.observe(seconds)
    assert before * 15 / 16 <= average.seconds <= before * 9 / 8


@given(st.floats(0.001, 10), st.lists(st.floats(0.01, 1.0), min_size=400, max_size=400))
def test_an_average_ends_up_within_what_was_measured(first, times):
    """The first value is forgotten."""
    average = MovingAverage(first)
    for seconds in times:
        average.observe(seconds)
    assert min(times) * 0.999 <= average.seconds <= max(times) * 1.001
