"""Garbage collection while many rows are handled."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def long_lived_objects() -> Iterator[None]:
    """Exclude all present objects from garbage collection until the block ends.

    Otherwise the collector would search all of Airflow again for every few rows, which takes a
    fifth of the time of a row. Garbage among them stays until the end: to collect it first would
    take 0.2 s, with Airflow and pandas imported.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
