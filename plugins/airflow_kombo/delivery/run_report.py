"""The account of a run: its rows by status, and the rows of dead runs that it answers for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from airflow_kombo.delivery.row_counts import RowCounts
from airflow_kombo.kombo_api.explanations import Cause
from airflow_kombo.ledger.day_rows import DayRows
from airflow_kombo.ledger.run_scope import Days, LeftRow
from airflow_kombo.statuses import COUNTED, LEFT_OUT, MEANINGS, SKIPPED, Status


@dataclass
class RunReport:
    """Counts of a run's rows. `planned` is the sum of all counts.

    :param planned: Rows that the run read to deliver, and the rows of `settled`.
    :param senders: Counts of the rows that the run read, by integration and status.
    :param settled: Counts of the rows of dead runs that the run answers for, by integration and
        status. They are part of the run's account, as no other run has them in its own.
    :param day: Rows of the run's own day in the ledger at the end. The rows of `settled` count as
        the run's own.
    :param rows_of_days: The task's rows in the ledger that shares refer to: of the run's own day,
        or of all days that it looked back to if it had no row of its own day.
    :param host: Host of Kombo's API.
    """

    planned: int = 0
    senders: dict[str, Counter[str]] = field(default_factory=dict)
    settled: dict[str, Counter[str]] = field(default_factory=dict)
    day: DayRows = field(default_factory=DayRows)
    rows_of_days: int = 0
    host: str = ""

    @property
    def integrations(self) -> Mapping[str, Counter[str]]:
        """Return the counts by integration and status."""
        names = {**self.senders, **self.settled}
        none = Counter[str]()
        return {name: self.senders.get(name, none) + self.settled.get(name, none) for name in names}

    @property
    def causes(self) -> Mapping[str, Counter[Cause]]:
        """Return the counts by integration and cause; an unknown cause has no code."""
        found = {}
        for name, rows in self.integrations.items():
            sender = self.senders.get(name)
            causes = Counter(sender.causes if isinstance(sender, RowCounts) else {})
            known = Counter[str]()
            for cause, number in causes.items():
                known[cause.status] += number
            for status, number in (rows - known).items():
                if status in MEANINGS:
                    causes[Cause(Status(status))] += number
            found[name] = causes
        return found

    @property
    def counts(self) -> Counter[str]:
        """Return the counts by status, over all integrations."""
        return sum(self.integrations.values(), Counter[str]())

    @property
    def tried(self) -> int:
        """Return the rows of the run but those that it left as they were."""
        counts = self.counts
        return self.planned - counts[SKIPPED] - counts[LEFT_OUT]

    @property
    def numbers(self) -> dict[str, int]:
        """Return the columns of the run's row."""
        counts = self.counts
        return {"planned": self.planned} | {name: counts[name] for name in COUNTED}

    def add(self, rows: Iterable[LeftRow]) -> None:
        """Add rows of dead runs to the account."""
        for row in rows:
            counts = self.settled.setdefault(row.key.integration_id, Counter())
            counts[row.status.value] += 1
            self.planned += 1

    async def count_days(
        self, days: Days, rows_of: Callable[[Days], Awaitable[DayRows]], left: Iterable[LeftRow]
    ) -> None:
        """Count the rows of the run's days in the ledger.

        :param days: The days of the run; the last one is its own day.
        :param rows_of: The function that counts the rows of some days.
        :param left: Rows of dead runs that count as the run's own.
        """
        self.day = await rows_of(Days(days.last, days.last))
        self.day.own.update(row.status.value for row in left if row.day == days.last)
        looked_back = self.tried and not self.day.own
        of_days = await rows_of(days) if looked_back else self.day
        self.rows_of_days = of_days.counts.total()
