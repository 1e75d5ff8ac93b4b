"""Failure of a task by shares and numbers of rows, by status."""

from __future__ import annotations

import pytest

from airflow_kombo.airflow_compat import AirflowFailException
from airflow_kombo.exceptions import (
    ConfigurationError,
    LedgerError,
    MappingError,
    NoConnectionError,
    RunStoppedError,
    TooManyRefusedError,
)
from airflow_kombo.operators.failure_policy import FAIL_ON, Policy, not_tried_again
from airflow_kombo.statuses import NOT_DELIVERED


@pytest.mark.parametrize(
    ("fail_on", "counts", "tried", "red"),
    [
        ({}, {"failed": 100, "unknown": 100}, 200, []),
        (FAIL_ON, {"failed": 5}, 100, []),
        (FAIL_ON, {"failed": 6}, 100, ["6 of 100 rows are failed, and at most 5% may be"]),
        (FAIL_ON, {"blocked": 100}, 100, []),
        ({"blocked": 100}, {"blocked": 100}, 100, []),
        (
            {"blocked": 1_000},
            {"blocked": 1_001},
            2_000,
            ["1001 of 2000 rows are blocked, and at most 1,000 may be"],
        ),
        ({"unknown": 0}, {"success": 9}, 9, []),
        (
            {"unknown": 0},
            {"unknown": 1},
            9_999,
            ["1 of 9999 rows are unknown, and at most 0 may be"],
        ),
        (
            {"failed": 0.005, "invalid": 1},
            {"failed": 6, "invalid": 2},
            1_000,
            [
                "6 of 1000 rows are failed, and at most 0.5% may be",
                "2 of 1000 rows are invalid, and at most 1 may be",
            ],
        ),
        ({"retryable": 1}, {"retryable": 1}, 1, []),
        ({"retryable": 1.0}, {"retryable": 10}, 10, []),
        ({"failed": 0.0}, {}, 0, []),
    ],
)
def test_a_float_is_a_share_and_an_int_a_number(fail_on, counts, tried, red):
    """Each limit that is exceeded is reported with the limit and the number of rows."""
    assert Policy(fail_on).exceeded(counts, tried) == red


@pytest.mark.parametrize("status", ["success", "sending", "skipped", "nonsense"])
def test_a_policy_names_statuses_that_are_not_delivered(status):
    """A limit for another status is refused, and the error lists the statuses to choose from."""
    with pytest.raises(ConfigurationError, match=", ".join(sorted(NOT_DELIVERED))):
        Policy({status: 0.5})


@pytest.mark.parametrize(
    "limit", [5.0, 1.01, -1, -0.1, float("nan"), float("inf"), True, "5%", None]
)
def test_a_limit_is_a_share_or_a_number(limit):
    """Any other value is refused before a run: 5.0 is no share, because 5 % is 0.05."""
    with pytest.raises(
        ConfigurationError, match=r"such as 0\.05, or a number of rows, such as 100"
    ):
        Policy({"failed": limit})


@pytest.mark.parametrize(
    "error",
    [
        ConfigurationError("limit is 0"),
        MappingError("no column"),
        NoConnectionError("nowhere"),
        TooManyRefusedError("6 of 100"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_for_a_person_are_not_tried_again(error):
    """Airflow's own exception is raised, with our message, and our error as its cause."""
    with pytest.raises(AirflowFailException) as raised, not_tried_again():
        raise error
    assert str(raised.value) == str(error)
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [LedgerError("down"), RunStoppedError("stopped"), RuntimeError("a bug")]
)
def test_other_errors_are_tried_again(error):
    """Any other error is raised unchanged, so that Airflow retries the task."""
    with pytest.raises(type(error)) as raised, not_tried_again():
        raise error
    assert raised.value is error
