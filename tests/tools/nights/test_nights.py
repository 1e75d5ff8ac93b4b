"""Simulated nights: the first ones, and those that once showed a broken promise."""

import pytest

from tools.nights.check_night import check_night
from tools.nights.plans import plan_of
from tools.nights.stage import stage

FOUND = (
    5712,  # a run that stood still right after its first heartbeat sent, declared dead
    1808,  # a claim given back late left its doubt on a row that had been sent since
    3973,  # of such a row the later claim was given back too: it stayed unknown without an attempt
    8627,  # a result sent to two targets got an invalid row on a target with a link
)


@pytest.fixture(scope="module")
def one():
    with stage() as stage_:
        yield stage_


@pytest.mark.parametrize("seed", [*range(1, 21), *FOUND])
def test_a_night_keeps_every_promise(one, seed):
    """Nothing is lost, nothing is there twice, and no status is a guess."""
    assert check_night(plan_of(seed), one).findings == []
