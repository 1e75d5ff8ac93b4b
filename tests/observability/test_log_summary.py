"""The table at the end of a task's log."""

from __future__ import annotations

from airflow_kombo.observability.log_summary import MOST_LINES, table


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
