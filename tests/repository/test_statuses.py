"""The table of statuses: complete, and the only place that says what a status means."""

from __future__ import annotations

from airflow_kombo.kombo_api.verdicts import STATUS_OF, Verdict
from airflow_kombo.statuses import (
    BINDING,
    COUNTED,
    DECIDED,
    FINAL,
    HELD,
    MEANINGS,
    NOT_DELIVERED,
    OWNERS,
    SENT_AGAIN,
    SENT_WHEN_CHANGED,
    SKIPPED,
    Decision,
    Status,
)


def test_every_status_has_a_meaning():
    """A status without a line in the table would be left out of every group."""
    assert set(MEANINGS) == set(Status)


def test_every_colour_is_another():
    """Two statuses of one colour could not be told apart in the chart."""
    assert len({meaning.colour for meaning in MEANINGS.values()}) == len(Status)


def test_the_groups_are_what_the_promise_needs():
    """Only what was surely not made is sent again, and only what may exist binds its result."""
    assert {Status.SUCCESS, Status.UNKNOWN, Status.SENDING} == BINDING
    assert {Status.SUCCESS, Status.UNKNOWN} == FINAL
    assert {Status.RETRYABLE, Status.BLOCKED} == SENT_AGAIN
    assert {Status.FAILED, Status.INVALID} == SENT_WHEN_CHANGED
    assert OWNERS == BINDING | SENT_AGAIN
    assert not (SENT_AGAIN | SENT_WHEN_CHANGED) & BINDING


def test_a_run_counts_each_row_once():
    """The counts are the statuses that a run leaves behind, and two for rows that it left alone."""
    assert set(COUNTED) == set(Status) - {Status.SENDING} | {SKIPPED, HELD}
    assert set(NOT_DELIVERED) == set(COUNTED) - {Status.SUCCESS, SKIPPED}


def test_every_verdict_and_every_decision_gives_a_status():
    """What a call proves, and what a person decides, is always a status that a run may leave."""
    assert set(STATUS_OF) == set(Verdict)
    assert set(DECIDED) == set(Decision)
    assert {*STATUS_OF.values(), *DECIDED.values()} <= set(COUNTED)
