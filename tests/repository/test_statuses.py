"""Table of statuses: complete, and the only definition of a status."""

from __future__ import annotations

import ast
import re

import pytest
from support.harness import ROOT

from airflow_kombo.kombo_api.verdicts import STATUS_OF, Verdict
from airflow_kombo.statuses import (
    BINDING,
    COUNTED,
    DECIDED,
    FINAL,
    HELD,
    LEFT_OUT,
    MEANINGS,
    NOT_DELIVERED,
    OWNERS,
    SENT_AGAIN,
    SENT_WHEN_CHANGED,
    SKIPPED,
    Action,
    Decision,
    ErrorCode,
    Status,
)


def test_every_status_has_a_meaning():
    """A status without a line in the table would be in no group."""
    assert set(MEANINGS) == set(Status)


def test_every_colour_is_another():
    """Two statuses never have the same colour in the chart."""
    assert len({meaning.colour for meaning in MEANINGS.values()}) == len(Status)


def test_the_groups_are_what_the_promise_needs():
    """Only a row without a link is sent again, and only a possible link binds a result."""
    assert {Status.SUCCESS, Status.UNKNOWN, Status.SENDING} == BINDING
    assert {Status.SUCCESS, Status.UNKNOWN} == FINAL
    assert {Status.RETRYABLE, Status.BLOCKED} == SENT_AGAIN
    assert {Status.FAILED, Status.INVALID} == SENT_WHEN_CHANGED
    assert OWNERS == BINDING | SENT_AGAIN
    assert not (SENT_AGAIN | SENT_WHEN_CHANGED) & BINDING
    assert all(MEANINGS[status].action is Action.SEND for status in SENT_AGAIN)


@pytest.mark.parametrize(
    ("document", "line"),
    [
        ("README.md", "| `{}` |"),
        ("docs/glossary.md", "| `{}` |"),
        ("docs/architecture.md", "--> {}: "),
    ],
)
def test_the_docs_name_every_status(document, line):
    """The tables of statuses and the diagram of their lifecycle have every status."""
    text = (ROOT / document).read_text(encoding="utf-8")
    assert [status.value for status in Status if line.format(status.value) not in text] == []


def test_the_docs_name_every_count():
    """The docs of the XCom and of `fail_on` have every count that each of them may have."""
    text = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    (example,) = re.findall(r'`{"planned": 2000, (.+)}`', text)
    assert set(re.findall(r'"(\w+)"', example)) == set(COUNTED)
    (named,) = re.findall(r"`fail_on` may name (.+?)\. ", text)
    assert set(re.findall(r"`(\w+)`", named)) == set(NOT_DELIVERED)


def test_a_run_counts_each_row_once():
    """The counts are the statuses after a run, and three counts of rows left alone."""
    assert set(COUNTED) == set(Status) - {Status.SENDING} | {SKIPPED, HELD, LEFT_OUT}
    assert set(NOT_DELIVERED) == set(COUNTED) - {Status.SUCCESS, SKIPPED, LEFT_OUT}


def test_every_verdict_and_every_decision_gives_a_status():
    """Each verdict and each decision about a link leads to a status that a run may leave."""
    assert set(STATUS_OF) == set(Verdict)
    assert set(DECIDED) == set(Decision) - {Decision.LEAVE_OUT, Decision.TAKE_BACK}
    assert {*STATUS_OF.values(), *DECIDED.values()} <= set(COUNTED)


def test_an_error_code_is_spelled_in_one_place():
    """No module but `statuses` has the text of one of our error codes."""
    codes = {code.value for code in ErrorCode}
    found = [
        (path.name, node.value)
        for path in (ROOT / "plugins").rglob("*.py")
        if path.name != "statuses.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in codes
    ]
    assert found == []
