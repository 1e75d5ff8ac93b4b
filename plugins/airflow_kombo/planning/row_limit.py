"""The guard against surprise: a run that would send far more than usual asks first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LEAST: Final = 1_000
"""Rows that no run is asked about."""
_TIMES: Final = 10
"""How many times the usual day a run may send."""


@dataclass(frozen=True)
class RowLimit:
    """How many rows a run may send without a person's word.

    :param max_rows: Rows at most.
    :param because: Where the number comes from.
    """

    max_rows: int
    because: str

    @classmethod
    def over(cls, usual: float | None) -> RowLimit:
        """Derive the number from what a day usually sends; None says that there was no day yet."""
        if usual is None:
            return cls(LEAST, "nothing was sent before to compare it with")
        return cls(max(LEAST, int(_TIMES * usual)), f"a day usually sends {usual:,.0f}")

    def refuses(self, rows: int) -> str | None:
        """Say why so many rows may not be sent unasked, and what to do; None if they may."""
        if rows <= self.max_rows:
            return None
        return (
            f"{rows:,} rows would be sent, and at most {self.max_rows:,} may be without approval:"
            f" {self.because}. If they are meant, trigger the day, or backfill the days, with"
            " approve_rows, or raise max_rows; not_before leaves out what is too old."
        )
