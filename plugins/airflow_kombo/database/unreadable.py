"""Mark a value that the database's driver cannot convert."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Unreadable:
    """A value of the database that Python cannot hold: it stands in its place.

    :param reason: What is wrong with it.
    :param column: The column that it is in.
    """

    reason: str
    column: str = ""

    @classmethod
    def because(cls, error: Exception) -> Unreadable:
        """Tell the reason by the error of who tried to convert it, whose text may quote it."""
        if isinstance(error, RecursionError):
            return cls("is nested too deep")
        if isinstance(error, UnicodeError):
            return cls("is not valid in its encoding")
        return cls("has no counterpart in Python, such as an infinite date or a year beyond 9999")

    def of(self, column: str) -> Unreadable:
        """Return the same value with its column."""
        return replace(self, column=column)

    def __str__(self) -> str:
        return (
            f"the value in the column {self.column} {self.reason}: mend it, or cast the column to"
            " text in the query"
        )

    def __repr__(self) -> str:
        return f"unreadable {self.column}"
