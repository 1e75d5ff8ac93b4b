"""Dry run: the action for each row in a table, without a request and without a claim.

The log has counts, result ids and the query for the rest. A request is personal data, so only the
warehouse gets it.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import and_, delete, or_, select

from airflow_kombo.database.bulk_writes import Bulk
from airflow_kombo.database.sql import in_utc, utc_now
from airflow_kombo.database.transactions import transaction
from airflow_kombo.delivery_key import LinkKey, Target
from airflow_kombo.kombo_api.in_flight_cap import MaxInFlight
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.lookup import Lookup
from airflow_kombo.ledger.runs import Run
from airflow_kombo.planning.estimate import PastRuns, estimate
from airflow_kombo.planning.planner import PlannedRow, Planner, duplicate_of
from airflow_kombo.statuses import Action

log = logging.getLogger(__name__)

KEPT_DAYS: Final = 7
"""Days for which the rows of a dry run are kept: they are personal data."""
_SCOPE: Final = ("dag_id", "task_id", "map_index")
_EXAMPLES: Final = 3
_REASONS: Final = 10
_Link = tuple[Target, str | None]


@dataclass(frozen=True)
class DryRunReport:
    """Counts of a dry run's rows, by integration and action."""

    senders: Mapping[str, Counter[str]]

    @property
    def counts(self) -> Counter[str]:
        """Count the rows by action, over all integrations."""
        return sum(self.senders.values(), Counter[str]())

    @property
    def to_send(self) -> dict[str, int]:
        """Count the rows to send, by integration."""
        return {
            name: rows for name, sender in self.senders.items() if (rows := sender[Action.SEND])
        }


class PreviewTable:
    """Rows of one dry run in the preview table.

    :raises LedgerError: from each method, if the warehouse failed.
    """

    def __init__(self, ledger: Ledger, run: Run) -> None:
        self._ledger = ledger
        self._run = run
        self._engine = ledger.engine
        self._table = ledger.tables.preview
        self._rows = 0
        written = [column for column in self._table.columns if column.name != "previewed_at"]
        self._bulk = Bulk(self._engine, written)
        values: dict[str, Any] = {column.name: self._bulk.c[column.name] for column in written}
        self._insert = self._bulk.insert(self._table, {**values, "previewed_at": utc_now()})
        self._known = Lookup(
            self._engine,
            self._table,
            where=[
                self._table.c.run_id == run.run_id,
                self._table.c.action == Action.SEND.value,
            ],
        )

    def clear(self) -> None:
        """Delete the task's earlier dry runs of this day, and all dry runs older than a week."""
        table, run = self._table.c, self._run
        earlier = and_(
            *(table[name] == getattr(run, name) for name in _SCOPE),
            table.run_date == run.assessment_date,
        )
        with transaction(self._engine, "delete earlier dry runs") as connection:
            now = in_utc(connection.execute(select(utc_now())).scalar_one())
            too_old = table.previewed_at < now - timedelta(days=KEPT_DAYS)
            connection.execute(delete(self._table).where(or_(earlier, too_old)))

    def write(self, rows: Iterable[PlannedRow]) -> list[PlannedRow]:
        """Write rows and return them as written.

        A row is a duplicate if an earlier row of this dry run has the same key or link.
        """
        with transaction(self._engine, "write the dry run") as connection:
            known = self._known.read(connection, self._to_look_up(rows))
            keys = {LinkKey.of(row) for row in known}
            owners = {
                (LinkKey.of(row).target, row.url_hash): row.result_id
                for row in known
                if row.url_hash
            }
            written = [_without_duplicate(row, keys, owners) for row in rows]
            values = [self._values(number, row) for number, row in enumerate(written, self._rows)]
            self._bulk.execute(connection, values, self._insert)
        self._rows += len(written)
        return written

    @staticmethod
    def _to_look_up(rows: Iterable[PlannedRow]) -> Iterator[tuple[LinkKey, str | None]]:
        for row in rows:
            if row.action is Action.SEND:
                yield row.key, row.request.url_hash if row.request else None

    def _values(self, number: int, row: PlannedRow) -> dict[str, Any]:
        run, request = self._run, row.request
        return {
            **row.key.columns,
            **{name: getattr(run, name) for name in ("run_id", "dag_run_id", *_SCOPE)},
            "run_date": run.assessment_date,
            "number": number,
            "assessment_date": row.assessment_date,
            "action": row.action.value,
            "error_code": row.error_code,
            "error_message": row.error_message,
            "status": row.status,
            "request": self._ledger.redact.request(request.body) if request else None,
            "url_hash": request.url_hash if request else None,
        }


def _without_duplicate(
    row: PlannedRow, keys: Iterable[tuple[str, ...]], owners: Mapping[_Link, str]
) -> PlannedRow:
    """Return the row, or a duplicate where an earlier row has the same key or link."""
    if row.action is not Action.SEND or row.request is None:
        return row
    if row.key in keys:
        return duplicate_of(row)
    owner = owners.get((row.key.target, row.request.url_hash))
    return duplicate_of(row, owner) if owner else row


@dataclass
class _Summary:
    """Counts, reasons and examples of a dry run, for the log."""

    senders: dict[str, Counter[str]] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, integration_id: str, rows: Iterable[PlannedRow]) -> None:
        """Count an integration's rows."""
        counts = self.senders.setdefault(integration_id, Counter())
        for row in rows:
            counts[row.action.value] += 1
            if row.action is Action.INVALID:
                self.reasons[str(row.error_message)] += 1
            if len(examples := self.examples[row.action.value]) < _EXAMPLES:
                examples.append(row.key.result_id)

    def write(self) -> None:
        """Log the reasons and the examples."""
        for reason, times in self.reasons.most_common(_REASONS):
            log.info("%d rows would be invalid: %s", times, reason)
        for action, examples in sorted(self.examples.items()):
            log.info("Examples of %s: %s", action, ", ".join(examples))


def dry_run(run: Run, planner: Planner, max_in_flight: MaxInFlight = None) -> DryRunReport:
    """Write the action for each row into the preview table, and log a summary.

    The rows replace those of the task's earlier dry runs of the same day. Nothing is sent to
    Kombo, and no other table is written.

    :param max_in_flight: The task's own limit of calls of one integration at once.
    :raises LedgerError: if the warehouse failed.
    """
    ledger = planner.ledger
    ledger.tables.create_preview(ledger.engine)
    table, summary = PreviewTable(ledger, run), _Summary()
    table.clear()
    for integration_id, rows in planner.rows():
        summary.add(integration_id, table.write(rows))
    summary.write()
    if not summary.senders:
        log.warning(
            "The query gives no row for %s. If the table has results of this day, compare days in"
            " the query: a timestamp has to become a day with CAST(... AS date).",
            run.assessment_date,
        )
    log.info(
        "Each row, with its request: SELECT * FROM %s WHERE run_id = '%s'",
        ledger.tables.preview.fullname,
        run.run_id,
    )
    report = DryRunReport(summary.senders)
    history = PastRuns(ledger.engine, ledger.tables)
    rates = history.rates(report.to_send, run.assessment_date, max_in_flight)
    for line in estimate(report.to_send, rates):
        log.info("%s", line)
    return report
