"""The buffer of rows on the worker's disk."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timezone
from decimal import Decimal

import pytest

from airflow_kombo.rows import row_buffer
from airflow_kombo.rows.row_buffer import RowBuffer

VALUES = ("r1", None, 9007199254740993, Decimal("95.50"), date(2026, 11, 3), b"\x00", {"a": [1]})


@pytest.fixture(params=[16 * 1024 * 1024, 100], ids=["in memory", "on disk"])
def buffer(request, monkeypatch):
    """Return an empty buffer: one in memory, and one on the disk from the start."""
    monkeypatch.setattr(row_buffer, "_IN_MEMORY_BYTES", request.param)
    return RowBuffer()


def test_pages_come_back_as_they_were(buffer):
    """Each integration's pages come back in order, with the driver's types, more than once."""
    moment = datetime(2026, 11, 3, 10, tzinfo=timezone.utc)
    buffer.put("one", [VALUES, (moment,)])
    buffer.put("two", [("a",)])
    buffer.put("one", [("b",)])
    for _ in range(2):
        assert list(buffer.pages("one")) == [[VALUES, (moment,)], [("b",)]]
        assert list(buffer.pages("two")) == [[("a",)]]
    assert list(buffer.pages("three")) == []


def test_integrations_are_read_at_the_same_time(buffer):
    """A reading thread does not move another thread's position."""
    for number in range(200):
        for name in "abcd":
            buffer.put(name, [(name, number)] * 5)
    with ThreadPoolExecutor(4) as threads:
        read = dict(
            zip("abcd", threads.map(lambda name: list(buffer.pages(name)), "abcd"), strict=True)
        )
    assert read == {name: [[(name, number)] * 5 for number in range(200)] for name in "abcd"}
