"""The table at the end of a task's log."""

from __future__ import annotations

from airflow_kombo.observability.log_summary import MOST_LINES, table


def test_the_table_has_integrations_and_statuses():
    """Each integration has a line, the ones to look at first, then the sum; columns are aligned."""
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
    """Of many integrations, those with the most to look at have a line, the others one together."""
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
    """A column that holds nonsense does not break the table: it is cut, and stays on its line."""
    lines = table({"x" * 10_000: {"invalid": 1}, "a\nb": {"invalid": 1}, "c": {"success": 1}})
    assert len(lines) == 5
    assert all("\n" not in line and len(line) < 100 for line in lines)


def test_nothing_to_deliver_is_said():
    """A day without rows has no table."""
    assert table({}) == ["no rows"]
