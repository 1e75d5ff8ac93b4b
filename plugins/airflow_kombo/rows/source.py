"""The interface of a source of rows, and the selection of a run's rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final, Protocol

from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.rows.shard import WHOLE, Shard
from airflow_kombo.statuses import CHANGED, SENT_AGAIN, SENT_WHEN_CHANGED, Status

if TYPE_CHECKING:
    from pandas import DataFrame

    from airflow_kombo.delivery_key import LinkKey
    from airflow_kombo.rows.integration_counts import IntegrationCount

FIRST_DAY: Final = "first_assessment_date"
LAST_DAY: Final = "assessment_date"
"""Parameters of a query: the days of a run. They are equal unless the run looks back."""


@dataclass(frozen=True)
class Selection:
    """The rows of a source for one run.

    :param integration_ids: Only these integrations; an empty set means all.
    :param result_ids: Only these results, by their ids as the ledger writes them; an empty set
        means all.
    :param redeliver: Statuses to send again although they are final or unchanged. `changed` means
        successful rows whose request has changed.
    :param limit: Most rows to send, over all integrations.
    :param not_before: Only rows of this day or later, by their `assessment_date`. Rows without a
        date are included.
    :param also_done: True to include rows that are done: for a dry run.
    :param by_hand: True if a person started the run.
    :param shard: Only the integrations of this shard.
    """

    integration_ids: frozenset[str] = frozenset()
    result_ids: frozenset[str] = frozenset()
    redeliver: frozenset[str] = frozenset()
    limit: int | None = None
    not_before: date | None = None
    also_done: bool = False
    by_hand: bool = False
    shard: Shard = WHOLE

    def wants(self, integration_id: str) -> bool:
        """Return true for an integration of the selection."""
        is_named = not self.integration_ids or integration_id in self.integration_ids
        return is_named and self.shard.has(integration_id)

    @property
    def open_statuses(self) -> frozenset[str]:
        """Return the statuses with which a run reads a row; it leaves out rows with another one."""
        open_ = {*SENT_AGAIN, *SENT_WHEN_CHANGED, *self.redeliver}
        if CHANGED in open_:  # the request shows later if a row has changed
            open_ = open_ - {CHANGED} | {Status.SUCCESS}
        return frozenset(open_)

    def check(self, columns: Collection[str]) -> None:
        """Check the rows' columns against the selection.

        :param columns: The columns of the rows.
        :raises ConfigurationError: if a column is missing.
        """
        if self.not_before and LAST_DAY not in columns:
            raise ConfigurationError(
                f"not_before needs each row's day, and the rows have no column {LAST_DAY}: add it"
                " to them, or leave not_before empty."
            )


class Unmatched:
    """Ids of a selection without a row so far."""

    def __init__(self, selection: Selection) -> None:
        self.integration_ids = set(selection.integration_ids)
        self.result_ids = set(selection.result_ids)
        self._selection = selection

    def admit(self, key: LinkKey) -> bool:
        """Return true for a row of the selection, and mark the row's ids as matched."""
        selection = self._selection
        if not selection.wants(key.integration_id):
            return False
        if selection.result_ids:
            if key.result_id not in selection.result_ids:
                return False
            self.result_ids.discard(key.result_id)
        self.integration_ids.discard(key.integration_id)
        return True


class Source(Protocol):
    """A source of rows."""

    @property
    def divides(self) -> bool:
        """Return True if the source itself leaves out the rows of other shards."""

    def columns(self) -> Collection[str]:
        """Return the rows' columns; none if they are known only while the rows are read."""

    def chunks(self) -> Iterator[DataFrame]:
        """Read the rows in chunks of a few thousand.

        The cells are as the database or the task gave them.
        """

    def counts(self) -> list[IntegrationCount] | None:
        """Count the rows by integration, whatever their shard; None if they have to be read."""

    def cancel(self) -> None:
        """End a running query soon, where the database can do so; any thread may call this."""
