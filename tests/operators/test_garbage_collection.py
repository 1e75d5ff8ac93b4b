"""Garbage collection while many rows are handled."""

from __future__ import annotations

import gc
from types import SimpleNamespace

import pytest

from airflow_kombo.operators.delivery_group import KomboAccountOperator, KomboPlanOperator
from airflow_kombo.operators.garbage_collection import collecting_rarely
from airflow_kombo.operators.result_link import KomboResultLinkOperator


@pytest.fixture
def threshold():
    """Set the threshold of an ordinary process, and restore the tests' own."""
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def collections_of(rows):
    """Return how many collections the objects of some rows under way cost."""
    before = sum(one["collections"] for one in gc.get_stats())
    under_way = [[number] for number in range(rows)]
    del under_way
    return sum(one["collections"] for one in gc.get_stats()) - before


def test_few_objects_cost_no_collection(threshold):
    """The objects of many rows under way are searched once, not for every ten rows."""
    assert collections_of(15_000) >= 5
    with collecting_rarely():
        assert collections_of(15_000) <= 1


@pytest.mark.parametrize(
    "operator", [KomboResultLinkOperator, KomboPlanOperator, KomboAccountOperator]
)
def test_a_task_collects_rarely_from_its_first_import_on(operator, threshold):
    """The imports of a task cause no search of all objects."""

    def covers():
        raise ZeroDivisionError(gc.get_threshold()[0])

    task = SimpleNamespace(_stop=SimpleNamespace(covers=covers))
    with pytest.raises(ZeroDivisionError, match=r"^20000$"):
        operator.execute.__wrapped__(task, {})  # Airflow's own guard needs a running task


def test_the_process_is_as_before_at_the_end(threshold):
    """Also after an error, the collector works as before, and finds the objects of before."""
    with collecting_rarely():
        assert gc.get_freeze_count()
    with pytest.raises(ZeroDivisionError), collecting_rarely():
        _ = 1 / 0
    assert gc.get_threshold() == (700, 10, 10)
    assert gc.get_freeze_count() == 0


def test_a_collector_that_is_off_stays_off(threshold):
    """A worker that has switched the collector off has a reason."""
    gc.set_threshold(0, 10, 10)
    with collecting_rarely():
        assert gc.get_threshold()[0] == 0
    assert gc.get_threshold() == (0, 10, 10)
