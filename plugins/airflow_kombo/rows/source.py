"""Define what a source of rows is, and which rows a run asks it for."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final, Protocol

from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.rows.row_keys import Row, id_of

PAGE_ROWS: Final = 64
"""Rows of one integration that are in memory at once; mapping fewer together takes longer."""

FIRST_DAY: Final = "first_assessment_date"
LAST_DAY: Final = "assessment_date"
"""The days of a run, as a query names them; they are one unless the run looks back."""


@dataclass(frozen=True)
class Selection:
    """Which of the source's rows a run wants.

    :param integration_ids: Only these integrations; none means all.
    :param result_ids: Only these results, by their ids as the ledger has them; none means all.
    :param redeliver: Statuses that are sent again though they are final or unchanged; `changed`
        are the successful rows that would give another request now.
    :param limit: Rows to send at most, over all integrations.
    :param not_before: Only rows of this day, by their `assessment_date`, or later ones; a row that
        has no date is wanted.
    :param also_done: Also the rows that a run leaves alone since they are done: for a dry run.
    :param by_hand: Whether a person asked for just this run.
    """

    integration_ids: frozenset[str] = frozenset()
    result_ids: frozenset[str] = frozenset()
    redeliver: frozenset[str] = frozenset()
    limit: int | None = None
    not_before: date | None = None
    also_done: bool = False
    by_hand: bool = False

    def wants(self, integration_id: str) -> bool:
        """Say whether an integration is wanted."""
        return not self.integration_ids or integration_id in self.integration_ids

    def check(self, columns: Collection[str]) -> None:
        """Check that the rows have the columns that choose among them.

        :raises ConfigurationError: if a column lacks.
        """
        if self.not_before and LAST_DAY not in columns:
            raise ConfigurationError(
                f"not_before needs each row's day, and the rows have no column {LAST_DAY}: add it"
                " to them, or leave not_before empty."
            )


class Unmatched:
    """The ids that a selection names and that no row had so far."""

    def __init__(self, selection: Selection) -> None:
        self.integration_ids = set(selection.integration_ids)
        self.result_ids = set(selection.result_ids)
        self._selection = selection

    def admit(self, integration_id: str, result_id: object) -> bool:
        """Return whether a row is one of those that are named; its ids are matched then."""
        if not self._selection.wants(integration_id):
            return False
        if self._selection.result_ids:
            text = id_of(result_id)
            if text not in self._selection.result_ids:
                return False
            self.result_ids.discard(text)
        self.integration_ids.discard(integration_id)
        return True


class Source(Protocol):
    """Rows, by integration."""

    @property
    def unmatched(self) -> Unmatched:
        """Ids that were asked for and that no planned row has."""

    def columns(self) -> Collection[str]:
        """Give the rows' columns."""

    def plan(self) -> Mapping[str, int]:
        """Count the rows to deliver by integration; those of none are under the blank one."""

    def pages(self, integration_id: str, rows: int) -> Iterator[list[Row]]:
        """Give an integration's rows, at most so many."""

    def cancel(self) -> None:
        """End what reads rows now, from any thread: it raises there."""
