"""A dry run: every row with what a run would do with it, in a table; no request, and no claim.

The log has counts, ids and the question that finds the rest: a request is about a person, and so
is whole only in the warehouse, where the person's data is already.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import and_, delete, or_, select

from airflow_kombo.database.bulk_writes import Bulk
from airflow_kombo.database.sql import in_utc, utc_now
from airflow_kombo.database.transactions import transaction
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.kombo_api.in_flight_cap import MaxInFlight
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.lookup import Lookup
from airflow_kombo.ledger.runs import Run
from airflow_kombo.planning.estimate import PastRuns, told
from airflow_kombo.planning.planner import PlannedRow, Planner, duplicate_of
from airflow_kombo.statuses import Action

log = logging.getLogger(__name__)

KEPT_DAYS: Final = 7
"""How long a preview is kept: it is there to be looked at before a run, and holds personal data."""
_SCOPE: Final = ("dag_id", "task_id", "map_index")
_EXAMPLES: Final = 3
_REASONS: Final = 10
_Link = tuple[str, str, str, str | None]


@dataclass(frozen=True)
class DryRunReport:
    """What a dry run foresaw: rows by integration and verdict."""

    senders: Mapping[str, Counter[str]]

    @property
    def counts(self) -> Counter[str]:
        """By verdict, over all integrations."""
        return sum(self.senders.values(), Counter[str]())

    @property
    def to_send(self) -> dict[str, int]:
        """The rows that a run would send, by integration."""
        return {
            name: rows for name, sender in self.senders.items() if (rows := sender[Action.SEND])
        }


class PreviewTable:
    """The rows of one dry run in the table of dry runs.

    :raises LedgerError: from each method, if the warehouse could not do it.
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
                self._table.c.verdict == Action.SEND.value,
            ],
        )

    def clear(self) -> None:
        """Delete what the task's dry runs of this day wrote before, and every preview too old."""
        table, run = self._table.c, self._run
        earlier = and_(
            *(table[name] == getattr(run, name) for name in _SCOPE),
            table.run_date == run.assessment_date,
        )
        with transaction(self._engine, "delete earlier previews") as connection:
            now = in_utc(connection.execute(select(utc_now())).scalar_one())
            too_old = table.previewed_at < now - timedelta(days=KEPT_DAYS)
            connection.execute(delete(self._table).where(or_(earlier, too_old)))

    def write(self, rows: Iterable[PlannedRow]) -> list[PlannedRow]:
        """Write rows, and give them: one whose link an earlier one has already is a duplicate."""
        with transaction(self._engine, "write the preview") as connection:
            known = self._known.read(connection, self._asked(rows))
            keys = {tuple(row[:4]) for row in known}
            owners = {(*row[:3], row.url_hash): row.result_id for row in known if row.url_hash}
            written = [_among(row, keys, owners) for row in rows]
            values = [self._values(number, row) for number, row in enumerate(written, self._rows)]
            self._bulk.execute(connection, values, self._insert)
        self._rows += len(written)
        return written

    @staticmethod
    def _asked(rows: Iterable[PlannedRow]) -> Iterator[tuple[LinkKey, str | None]]:
        for row in rows:
            if row.action is Action.SEND:
                yield row.key, row.delivery.url_hash if row.delivery else None

    def _values(self, number: int, row: PlannedRow) -> dict[str, Any]:
        run, request = self._run, row.delivery
        return {
            **row.key.columns,
            **{name: getattr(run, name) for name in ("run_id", "dag_run_id", *_SCOPE)},
            "run_date": run.assessment_date,
            "number": number,
            "assessment_date": row.assessment_date,
            "verdict": row.action.value,
            "error_code": row.error_code,
            "error_message": row.error_message,
            "status": row.status,
            "request": self._ledger.redact(request.body) if request else None,
            "url_hash": request.url_hash if request else None,
        }


def _among(
    row: PlannedRow, keys: Iterable[tuple[str, ...]], owners: Mapping[_Link, str]
) -> PlannedRow:
    if row.action is not Action.SEND or row.delivery is None:
        return row
    if row.key in keys:
        return duplicate_of(row)
    owner = owners.get((*row.key[:3], row.delivery.url_hash))
    return duplicate_of(row, owner) if owner else row


def preview(run: Run, planner: Planner, max_in_flight: MaxInFlight = None) -> DryRunReport:
    """Write what a run would do with each row into the table of dry runs, and tell of it.

    It replaces what the task's earlier dry runs of the same day wrote. Kombo is not asked, and no
    row of another table is written.

    :param max_in_flight: Calls of one integration at once that the task allows itself.
    :raises LedgerError: if the warehouse could not.
    """
    ledger = planner.ledger
    ledger.tables.create_preview(ledger.engine)
    table = PreviewTable(ledger, run)
    table.clear()
    senders: dict[str, Counter[str]] = {}
    reasons: Counter[str] = Counter()
    examples: dict[str, list[str]] = defaultdict(list)
    for integration_id, rows in planner.rows():
        written = table.write(rows)
        senders.setdefault(integration_id, Counter()).update(row.action.value for row in written)
        invalid = (row for row in written if row.action is Action.INVALID)
        reasons.update(str(row.error_message) for row in invalid)
        for row in written:
            if len(few := examples[row.action.value]) < _EXAMPLES:
                few.append(row.key.result_id)
    for reason, times in reasons.most_common(_REASONS):
        log.info("%d rows would be invalid: %s", times, reason)
    for verdict, few in sorted(examples.items()):
        log.info("For example %s: %s", verdict, ", ".join(few))
    log.info(
        "Each row, with its request: SELECT * FROM %s WHERE run_id = '%s'",
        ledger.tables.preview.fullname,
        run.run_id,
    )
    previewed = DryRunReport(senders)
    history = PastRuns(ledger.engine, ledger.tables)
    rates = history.rates(previewed.to_send, run.assessment_date, max_in_flight)
    for line in told(previewed.to_send, rates):
        log.info("%s", line)
    return previewed
