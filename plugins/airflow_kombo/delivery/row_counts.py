"""Counts of one integration's rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from airflow_kombo.kombo_api.explanations import Cause
from airflow_kombo.ledger.outcomes import RowOutcome


class RowCounts(Counter[str]):
    """Rows of one integration by status, and by cause as far as the cause is known."""

    def __init__(self, counts: Mapping[str, int] | None = None) -> None:
        super().__init__(counts)
        self.causes = Counter[Cause]()

    def add(self, status: str, rows: int = 1) -> None:
        """Count rows of a status."""
        if rows:
            self[str(status)] += rows  # a plain text: the counts become JSON

    def add_outcomes(self, outcomes: Iterable[RowOutcome]) -> None:
        """Count rows by their outcomes."""
        for outcome in outcomes:
            self.add(outcome.status)
            self.causes[Cause(outcome.status, outcome.error_code, outcome.http_status)] += 1
