"""Counts of one integration's rows."""

from __future__ import annotations

from collections import Counter


class RowCounts(Counter[str]):
    """Rows of one integration by status."""

    def add(self, status: str, rows: int = 1) -> None:
        """Count rows of a status."""
        if rows:
            self[str(status)] += rows  # a plain text: the counts become JSON
