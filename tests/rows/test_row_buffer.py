from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timezone
from decimal import Decimal

import pytest

from airflow_kombo.database.unreadable import Unreadable
from airflow_kombo.rows import row_buffer as spool
from airflow_kombo.rows.row_buffer import RowBuffer

VALUES = ("r1", None, 9007199254740993, Decimal("95.50"), date(2026, 11, 3), b"\x00", {"a": [1]})


@pytest.fixture(params=[16 * 1024 * 1024, 100], ids=["in memory", "on disk"])
def kept(request, monkeypatch):
    """Give an empty spool: one that stays in memory, and one that goes to the disk at once."""
    monkeypatch.setattr(spool, "_IN_MEMORY_BYTES", request.param)
    return RowBuffer([f"c{number}" for number in range(len(VALUES))])


def test_pages_come_back_as_they_were(kept):
    """Each integration has its own pages, in their order, with the driver's own types; any time."""
    moment = datetime(2026, 11, 3, 10, tzinfo=timezone.utc)
    kept.put("one", [VALUES, (moment,)])
    kept.put("two", [("a",)])
    kept.put("one", [("b",)])
    for _ in range(2):
        assert list(kept.pages("one")) == [[VALUES, (moment,)], [("b",)]]
        assert list(kept.pages("two")) == [[("a",)]]
    assert list(kept.pages("three")) == []


def test_a_binary_column_is_kept(kept):
    """psycopg2 gives such a column as a view, which no mapping needs, and must not stop a day."""
    kept.put("one", [(memoryview(b"scan"),)])
    assert list(kept.pages("one")) == [[(b"scan",)]]


def test_what_cannot_be_kept_is_unreadable(kept):
    """A handle of the driver's, or JSON nested too deep, is told by its column; the rest stays."""
    deep: list = []
    for _ in range(100_000):  # no version of Python goes as deep
        deep = [deep]
    kept.put("one", [("a", 1), (threading.Lock(), 2), ("b", deep)])
    ((good, handle, nested),) = kept.pages("one")
    assert good == ("a", 1)
    assert handle == (Unreadable("cannot be kept until it is sent", "c0"), 2)
    assert nested == ("b", Unreadable("is nested too deep", "c1"))


def test_lanes_read_at_the_same_time(kept):
    """Threads that read do not move the place where another one is."""
    for number in range(200):
        for name in "abcd":
            kept.put(name, [(name, number)] * 5)
    with ThreadPoolExecutor(4) as threads:
        read = dict(
            zip("abcd", threads.map(lambda name: list(kept.pages(name)), "abcd"), strict=True)
        )
    assert read == {name: [[(name, number)] * 5 for number in range(200)] for name in "abcd"}
