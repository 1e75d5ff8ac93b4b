"""Row limit: a run with far more rows than usual needs approval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LEAST: Final = 1_000
"""Rows that every run may send without approval."""
_TIMES: Final = 10
"""The limit, as a multiple of the rows of a usual day."""


@dataclass(frozen=True)
class RowLimit:
    """Number of rows for a run to send without approval.

    :param max_rows: The number.
    :param reason: Where the number comes from.
    """

    max_rows: int
    reason: str

    @classmethod
    def over(cls, usual: float | None) -> RowLimit:
        """Derive the limit from the rows of a usual day.

        :param usual: Rows a day, or None if no day is known.
        """
        if usual is None:
            return cls(LEAST, "nothing was sent before to compare it with")
        return cls(max(LEAST, int(_TIMES * usual)), f"a day usually sends {usual:,.0f}")

    def refuses(self, rows: int) -> str | None:
        """Return why a run may not send so many rows, and the fix; None if the run may."""
        if rows <= self.max_rows:
            return None
        return (
            f"{rows:,} rows would be sent, and at most {self.max_rows:,} may be without approval:"
            f" {self.reason}. To send them, trigger the day, or backfill the days, with"
            " approve_rows, or raise max_rows. To leave out old rows, set not_before."
        )
