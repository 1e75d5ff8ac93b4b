"""Garbage collection while a task imports what it needs and handles many rows."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_NEW_OBJECTS: Final = 20_000
"""Objects after which the collector looks for garbage, in place of Python's 700 or 2,000. A row
leaves next to no garbage in circles, and its other objects end without the collector."""


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """Collect garbage rarely, and not among the objects of before, until the block ends.

    Otherwise the collector would search all of Airflow twice while the task's modules are imported
    and the tables are looked at, which takes 0.2 s each, and again for every few rows, which takes
    a fifth of the time of a row (docs/performance.md). Garbage among the objects of before stays
    until the end: to collect it first would take as long.
    """
    first, *older = gc.get_threshold()
    gc.freeze()
    if first:  # otherwise somebody has switched the collector off
        gc.set_threshold(max(first, _NEW_OBJECTS), *older)
    try:
        yield
    finally:
        gc.set_threshold(first, *older)
        gc.unfreeze()
