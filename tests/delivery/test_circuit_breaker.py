from __future__ import annotations

import pytest

from airflow_kombo.delivery.circuit_breaker import PATIENCE_SECONDS, CircuitBreaker
from airflow_kombo.kombo_api.verdicts import Verdict

NOW = 1000.0


def opened():
    """Give a breaker that has seen as many failures in a row as open it."""
    breaker = CircuitBreaker(failures=3, cool_down=30)
    for _ in range(3):
        assert breaker.allows(NOW)
        breaker.record_verdict(Verdict.UNKNOWN, NOW, probe=breaker.record_request())
    return breaker


@pytest.mark.parametrize("verdict", [Verdict.UNKNOWN, Verdict.RETRY])
def test_it_opens_after_failures_in_a_row(verdict):
    """Answers that leave rows in doubt, or that only ask to try again, open it."""
    breaker = CircuitBreaker(failures=2)
    breaker.record_verdict(verdict, NOW, probe=False)
    assert breaker.allows(NOW)
    breaker.record_verdict(verdict, NOW, probe=False)
    assert not breaker.allows(NOW)


@pytest.mark.parametrize("verdict", [Verdict.CREATED, Verdict.REFUSED])
def test_an_answer_of_use_closes_the_row_of_failures(verdict):
    """An integration that creates, or refuses, is at work: what failed before is forgotten."""
    breaker = CircuitBreaker(failures=2)
    for outcome in (Verdict.UNKNOWN, verdict, Verdict.UNKNOWN):
        breaker.record_verdict(outcome, NOW, probe=False)
    assert breaker.allows(NOW)


def test_a_limit_is_no_failure():
    """Limits that are met neither open it nor make failures forgotten."""
    breaker = CircuitBreaker(failures=2)
    for outcome in (Verdict.UNKNOWN, Verdict.WAIT, Verdict.WAIT, Verdict.WAIT):
        breaker.record_verdict(outcome, NOW, probe=False)
    assert breaker.allows(NOW)
    breaker.record_verdict(Verdict.UNKNOWN, NOW, probe=False)
    assert not breaker.allows(NOW)


def test_one_probe_passes_after_the_time_is_over():
    """An open breaker lets nothing pass before its time, and one call after it."""
    breaker = opened()
    assert breaker.pause(NOW + 10) == 20
    assert not breaker.allows(NOW + 29)
    assert breaker.allows(NOW + 30)
    assert breaker.record_request()
    assert not breaker.allows(NOW + 31)


def test_a_probe_that_succeeds_closes_it():
    """After an answer of use to the probe, calls pass as before."""
    breaker = opened()
    breaker.record_verdict(Verdict.CREATED, NOW + 30, probe=breaker.record_request())
    assert breaker.allows(NOW + 30)
    assert not breaker.record_request()


def test_a_probe_that_fails_gives_the_integration_up():
    """After a second disappointment nothing more is sent in this run."""
    breaker = opened()
    breaker.record_verdict(Verdict.UNKNOWN, NOW + 30, probe=breaker.record_request())
    assert breaker.given_up
    assert not breaker.allows(NOW + 1000)


def test_calls_that_were_out_when_it_opened_do_not_count():
    """Failures of earlier calls, which come late, neither give up nor put off the probe."""
    breaker = opened()
    for _ in range(9):
        breaker.record_verdict(Verdict.UNKNOWN, NOW + 29, probe=False)
    assert not breaker.given_up
    assert breaker.allows(NOW + 30)


def test_nothing_but_limits_for_long_is_an_outage():
    """An integration that only ever meets limits is given up after a while, and not before."""
    breaker = CircuitBreaker()
    for seconds in (0, 1, PATIENCE_SECONDS - 1):
        breaker.record_verdict(Verdict.WAIT, NOW + seconds, probe=False)
    assert not breaker.given_up
    breaker.record_verdict(Verdict.WAIT, NOW + PATIENCE_SECONDS, probe=False)
    assert breaker.given_up


def test_an_answer_between_limits_is_patience_well_spent():
    """Whoever gets through now and then may go on meeting limits in between."""
    breaker = CircuitBreaker()
    breaker.record_verdict(Verdict.WAIT, NOW, probe=False)
    breaker.record_verdict(Verdict.CREATED, NOW + 1, probe=False)
    breaker.record_verdict(Verdict.WAIT, NOW + PATIENCE_SECONDS, probe=False)
    assert not breaker.given_up
