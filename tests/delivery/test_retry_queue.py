"""Retry queue of one integration, with simulated time: no test waits."""

from __future__ import annotations

import pytest
from support.harness import delivery

from airflow_kombo.delivery.retry_queue import MOST_RETRIES, RetryQueue
from airflow_kombo.delivery.run_context import Settings
from airflow_kombo.kombo_api.verdicts import Verdict

NOW = 1_000.0
SETTINGS = Settings(max_tries=3, first_retry=2.0, longest_retry=3.0)


def test_tries_are_counted_per_row_and_bounded():
    """A row has as many tries as the settings allow, and a finished row starts anew."""
    queue, request = RetryQueue(SETTINGS), delivery()
    assert [queue.retry(request, Verdict.RETRY, NOW, 0.0) for _ in range(3)] == [True, True, False]
    assert queue.retry(delivery("r2"), Verdict.RETRY, NOW, 0.0)
    queue.forget(request.key)
    assert queue.retry(request, Verdict.RETRY, NOW, 0.0)


def test_a_limit_uses_up_no_try_and_waits_as_asked():
    """A limit may be met any number of times, and the request waits for the pause only."""
    queue, request = RetryQueue(SETTINGS), delivery()
    assert all(queue.retry(request, Verdict.WAIT, NOW, 7.0) for _ in range(50))
    assert queue.next_due == NOW + 7
    assert queue.take_due(NOW + 6.9, 100) == []
    assert len(queue.take_due(NOW + 7, 100)) == 50


@pytest.mark.parametrize(("tries", "longest"), [(1, 2.0), (2, 3.0)])
def test_the_backoff_doubles_up_to_the_longest_wait(tries, longest):
    """The wait is a random part of the backoff, and the backoff has a maximum."""
    dues = set()
    for _ in range(50):
        queue = RetryQueue(SETTINGS)
        for _ in range(tries - 1):
            queue.retry(delivery(), Verdict.RETRY, NOW, 0.0)
            queue.take_due(NOW + 99, 1)
        queue.retry(delivery(), Verdict.RETRY, NOW, 0.0)
        dues.add(queue.next_due - NOW)
    assert len(dues) > 1
    assert 0 <= min(dues) <= max(dues) <= longest
    assert max(dues) > longest / 2


def test_many_retries_stop_the_reading_of_new_rows():
    """The queue is full at 1,000 requests, so memory stays bounded."""
    queue = RetryQueue(SETTINGS)
    for number in range(MOST_RETRIES):
        assert not queue.is_full
        queue.retry(delivery(f"r{number}"), Verdict.WAIT, NOW, 0.0)
    assert queue.is_full
