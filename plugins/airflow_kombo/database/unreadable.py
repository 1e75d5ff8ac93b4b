"""Placeholders for values beyond Python or the database's driver."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Unreadable:
    """Placeholder for one value without a counterpart in Python.

    :param reason: The reason why Python cannot hold the value.
    :param column: The value's column.
    """

    reason: str
    column: str = ""

    @classmethod
    def because(cls, error: Exception) -> Unreadable:
        """Build a placeholder for the error of a conversion, without the error's text.

        The text may quote the value.
        """
        if isinstance(error, RecursionError):
            return cls("is nested too deep")
        if isinstance(error, UnicodeError):
            return cls("is not valid in its encoding")
        return cls("has no counterpart in Python, such as an infinite date or a year beyond 9999")

    def of(self, column: str) -> Unreadable:
        """Return the same placeholder with its column."""
        return replace(self, column=column)

    def __str__(self) -> str:
        return (
            f"the value in the column {self.column} {self.reason}: mend it, or cast the column to"
            " text in the query"
        )

    def __repr__(self) -> str:
        return f"unreadable {self.column}"
