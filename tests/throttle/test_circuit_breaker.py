from __future__ import annotations

import pytest

from airflow_kombo.kombo_api.verdicts import Verdict
from airflow_kombo.throttle.circuit_breaker import PATIENCE_SECONDS, CircuitBreaker

NOW = 1000.0


def opened():
    """Return a breaker opened by failures in a row."""
    breaker = CircuitBreaker(failures=3, cool_down=30)
    for _ in range(3):
        assert breaker.allows(NOW)
        breaker.record_verdict(Verdict.UNKNOWN, NOW, probe=breaker.record_request())
    return breaker


@pytest.mark.parametrize("verdict", [Verdict.UNKNOWN, Verdict.RETRY])
def test_it_opens_after_failures_in_a_row(verdict):
    """Responses with the verdicts UNKNOWN and RETRY open the breaker."""
    breaker = CircuitBreaker(failures=2)
    breaker.record_verdict(verdict, NOW, probe=False)
    assert breaker.allows(NOW)
    breaker.record_verdict(verdict, NOW, probe=False)
    assert not breaker.allows(NOW)


@pytest.mark.parametrize("verdict", [Verdict.CREATED, Verdict.REFUSED])
def test_an_answer_of_use_closes_the_row_of_failures(verdict):
    """A verdict CREATED or REFUSED resets the count of failures."""
    breaker = CircuitBreaker(failures=2)
    for outcome in (Verdict.UNKNOWN, verdict, Verdict.UNKNOWN):
        breaker.record_verdict(outcome, NOW, probe=False)
    assert breaker.allows(NOW)


def test_a_limit_is_no_failure():
    """A limit neither counts as a failure nor resets the count."""
    breaker = CircuitBreaker(failures=2)
    for outcome in (Verdict.UNKNOWN, Verdict.WAIT, Verdict.WAIT, Verdict.WAIT):
        breaker.record_verdict(outcome, NOW, probe=False)
    assert breaker.allows(NOW)
    breaker.record_verdict(Verdict.UNKNOWN, NOW, probe=False)
    assert not breaker.allows(NOW)


def test_one_probe_passes_after_the_time_is_over():
    """An open breaker lets no call pass before the cool-down ends, and one call afterwards."""
    breaker = opened()
    assert breaker.pause(NOW + 10) == 20
    assert not breaker.allows(NOW + 29)
    assert breaker.allows(NOW + 30)
    assert breaker.record_request()
    assert not breaker.allows(NOW + 31)


def test_a_probe_that_succeeds_closes_it():
    """A successful probe closes the breaker."""
    breaker = opened()
    breaker.record_verdict(Verdict.CREATED, NOW + 30, probe=breaker.record_request())
    assert breaker.allows(NOW + 30)
    assert not breaker.record_request()


def test_a_probe_that_fails_gives_the_integration_up():
    """A failed probe gives the integration up for this run."""
    breaker = opened()
    breaker.record_verdict(Verdict.UNKNOWN, NOW + 30, probe=breaker.record_request())
    assert breaker.given_up
    assert not breaker.allows(NOW + 1000)


def test_calls_that_were_out_when_it_opened_do_not_count():
    """Late failures of earlier calls neither give the integration up nor delay the probe."""
    breaker = opened()
    for _ in range(9):
        breaker.record_verdict(Verdict.UNKNOWN, NOW + 29, probe=False)
    assert not breaker.given_up
    assert breaker.allows(NOW + 30)


def test_nothing_but_limits_for_long_is_an_outage():
    """An integration with nothing but limits is given up after 15 minutes, and not before."""
    breaker = CircuitBreaker()
    for seconds in (0, 1, PATIENCE_SECONDS - 1):
        breaker.record_verdict(Verdict.WAIT, NOW + seconds, probe=False)
    assert not breaker.given_up
    breaker.record_verdict(Verdict.WAIT, NOW + PATIENCE_SECONDS, probe=False)
    assert breaker.given_up


def test_an_answer_between_limits_is_patience_well_spent():
    """One success between limits starts the 15 minutes anew."""
    breaker = CircuitBreaker()
    breaker.record_verdict(Verdict.WAIT, NOW, probe=False)
    breaker.record_verdict(Verdict.CREATED, NOW + 1, probe=False)
    breaker.record_verdict(Verdict.WAIT, NOW + PATIENCE_SECONDS, probe=False)
    assert not breaker.given_up
