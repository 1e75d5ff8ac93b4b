"""The table at the end of a task's log."""

from __future__ import annotations

from airflow_kombo.kombo_api.explanations import Cause
from airflow_kombo.observability.log_summary import MOST_LINES, explained, table
from airflow_kombo.statuses import Status


def test_the_table_has_integrations_and_statuses():
    """Each integration has a line, those with undelivered rows first, and the sum is last."""
    senders = {
        "workday:one": {"success": 1_200, "skipped": 3, "failed": 0},
        "lever:two": {"success": 7, "unknown": 2},
        "": {"invalid": 1},
    }
    assert table(senders) == [
        "integration       success  skipped  invalid  unknown   rows",
        "lever:two               7        0        0        2      9",
        "(no integration)        0        0        1        0      1",
        "workday:one         1,200        3        0        0  1,203",
        "all                 1,207        3        1        2  1,213",
    ]


def test_the_table_is_of_bounded_length():
    """Of many integrations, those with the most undelivered rows have a line of their own."""
    senders = {f"ats:{number}": {"success": 1, "failed": number} for number in range(1_000)}
    lines = table(senders)
    assert len(lines) == MOST_LINES + 3
    assert lines[1].split() == ["ats:999", "1", "999", "1,000"]
    assert lines[-2].split() == [
        f"({1_000 - MOST_LINES}",
        "others)",
        "975",
        f"{sum(range(975)):,}",
        f"{sum(range(975)) + 975:,}",
    ]
    assert lines[-1].split() == ["all", "1,000", "499,500", "500,500"]


def test_a_line_is_of_bounded_length():
    """An integration's id that is too long or has a line break is cut to one line."""
    lines = table({"x" * 10_000: {"invalid": 1}, "a\nb": {"invalid": 1}, "c": {"success": 1}})
    assert len(lines) == 5
    assert all("\n" not in line and len(line) < 100 for line in lines)


def test_a_day_without_rows_has_no_table():
    """A day without rows has a line instead of a table."""
    assert table({}) == ["no rows"]


def test_the_causes_of_undelivered_rows_are_explained():
    """Each cause has a line with rows, meaning, turn and next step, the most frequent first."""
    missing = Cause(Status.BLOCKED, "INTEGRATION.PERMISSION_MISSING", 403)
    lost = Cause(Status.UNKNOWN, "answer_lost")
    lines = explained(
        {
            "lever:two": {missing: 12, Cause(Status.SUCCESS): 5},
            "workday:one": {lost: 1},
            "personio:three": {lost: 1, Cause(Status.FAILED): 0},
        }
    )
    assert lines == [
        "blocked INTEGRATION.PERMISSION_MISSING: 12 of lever:two. "
        + missing.explanation.meaning
        + f" Whose turn: the customer. {missing.explanation.to_do}",
        "unknown answer_lost: 2 of 2 integrations, such as personio:three. "
        + lost.explanation.meaning
        + f" Whose turn: us. {lost.explanation.to_do}",
    ]


def test_the_causes_are_of_bounded_length():
    """Of many causes, those with the most rows have a line, and a foreign code is cut."""
    causes = {Cause(Status.UNKNOWN, f"X\n{'Y' * 10_000}{n}"): n for n in range(1, 100)}
    lines = explained({"ats:one": causes})
    assert len(lines) == MOST_LINES + 1
    assert lines[-1] == f"({99 - MOST_LINES} other causes: see the status table)"
    assert all("\n" not in line and len(line) < 500 for line in lines)
