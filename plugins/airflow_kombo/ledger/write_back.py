"""Write statuses and warnings back to the user's warehouse, where the ledger is elsewhere.

The ledger is the truth. The warehouse's table follows it at the end of each run: it gets all rows
that changed since its newest row, in the order of their change. So the table itself says how far
it is, and a crash anywhere is mended by the next run.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Engine, select

from airflow_kombo.database.hook_database import HookConnection, HookDatabase
from airflow_kombo.database.same_table import is_same_table
from airflow_kombo.database.sql import in_utc, utc_now
from airflow_kombo.database.transactions import locked, transaction
from airflow_kombo.database.warehouse_kinds import kind_of
from airflow_kombo.database.warehouse_table import WarehouseTable, moment_of
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.exceptions import ConfigurationError, WarehouseError
from airflow_kombo.ledger.changed_results import ChangedResults, Page, Version
from airflow_kombo.ledger.tables import KEY, LEFT_OUT, Tables

log = logging.getLogger(__name__)

BATCH_RESULTS: Final = 1_000
"""Results of one DELETE and the INSERTs after it."""
MARGIN: Final = timedelta(minutes=10)
"""Time before the newest row that is compared again.

`updated_at` is the beginning of a transaction, so a row may appear when later ones are written
back already. A run that is silent for a minute counts as dead: no transaction of ours takes ten.
"""
_TOLERANCE: Final = timedelta(minutes=1)
"""Most time by which a ledger's row may be older than the warehouse's. Two transactions may change
one row in the opposite order of their beginnings, and a warehouse may round to seconds."""
_PATIENCE_SECONDS: Final = 600
"""Seconds to wait for the write-back of another run."""
_VERSION: Final = (*KEY, "updated_at", "status", "attempts")


class WriteBack:
    """The status table in the user's warehouse.

    :param engine: The ledger's database.
    :param tables: The ledger's tables. The warehouse's table has the status table's name.
    :param warehouse: Another database than the ledger's.
    """

    def __init__(self, engine: Engine, tables: Tables, warehouse: HookDatabase) -> None:
        self._engine = engine
        self._links = tables.links
        self._warehouse = warehouse
        self._table = WarehouseTable(tables.links, kind_of(warehouse.conn_type))

    def check(self) -> None:
        """Create the warehouse's table if it is missing, and refuse a ledger that lost rows.

        :raises ConfigurationError: if both tables are one, if the table lacks columns, or if it
            has results that the ledger does not know: they would be sent a second time.
        :raises WarehouseError: if the warehouse fails.
        """
        name = self._table.name
        if is_same_table(self._engine, self._warehouse, name):
            raise ConfigurationError(
                f"ledger_conn_id names the database of the warehouse: its {name} would be written"
                " back to itself. Leave ledger_conn_id out, or name another database."
            )
        existing = self._existing_columns()
        missing = [one for one in self._table.columns if one not in existing]
        if missing and set(missing) <= set(LEFT_OUT):
            log.warning(
                "The warehouse's table %s has no column %s: the table does not show which rows a"
                " person has left out. docs/written-back-table.md has the types, to add them.",
                name,
                ", ".join(missing),
            )
            self._table = self._table.without(LEFT_OUT)
        elif missing:
            raise ConfigurationError(
                f"The warehouse's table {name} has no column {', '.join(missing)}, so statuses"
                " cannot be written back. Add what is missing: docs/written-back-table.md has the"
                " types."
            )
        if lost := self._lost():
            raise ConfigurationError(
                f"The ledger lost rows: {len(lost)} of the newest results of the warehouse's table"
                f" {name} are missing or older in the ledger, such as {lost[0]}. It is empty,"
                " replaced, or restored from an old backup, and a run would send delivered rows a"
                " second time: nothing is sent. Restore the ledger, or copy the warehouse's rows"
                " into it (docs/written-back-table.md)."
            )

    def run(self) -> int:
        """Write back what changed, and return the number of rows written.

        :raises WarehouseError: if the warehouse fails. The next call goes on.
        :raises LedgerError: if the ledger fails, or another run writes back for ten minutes.
        """
        with (
            locked(self._engine, f"the write-back of {self._table.name}", _PATIENCE_SECONDS),
            self._warehouse.connected("take the statuses") as connection,
        ):
            changed = ChangedResults(self._engine, self._links, self._now())
            newest = self._newest(connection, changed.until)
            rows = 0
            for page in changed.pages(newest and newest - MARGIN):
                known = self._known(connection, page) if newest and page.first <= newest else {}
                stale = [
                    result
                    for result, versions in page.versions.items()
                    if (there := known.get(result, [])) != versions
                    and sorted(there) != sorted(versions)
                ]
                rows += sum(self._write(connection, changed, stale, page.last))
        log.info("%d rows were written back to %s", rows, self._table.name)
        return rows

    def _write(
        self,
        connection: HookConnection,
        changed: ChangedResults,
        result_ids: Sequence[str],
        last: datetime,
    ) -> Iterator[int]:
        """Replace the rows of results, and yield the number of rows of each batch.

        :param last: The end of the results' page.
        """
        for start in range(0, len(result_ids), BATCH_RESULTS):
            rows = changed.rows(result_ids[start : start + BATCH_RESULTS], last)
            if rows:
                results = list(dict.fromkeys(row.result_id for row in rows))
                connection.execute(self._table.delete("result_id", results))
                self._table.insert(connection, rows)
                connection.commit()
            yield len(rows)

    def _now(self) -> datetime:
        with transaction(self._engine, "read its clock", reads_only=True) as connection:
            return in_utc(connection.execute(select(utc_now())).scalar_one())

    def _newest(self, connection: HookConnection, until: datetime | None = None) -> datetime | None:
        """Return the time of the newest row in the warehouse, or None without a row.

        :param until: The latest time to believe: a clock that was set back must not stop us.
        """
        connection.execute(self._table.latest("updated_at", until))
        ((newest,),) = connection.rows(2)  # a driver waits for the end of the rows
        return None if newest is None else moment_of(newest)

    def _known(self, connection: HookConnection, page: Page) -> Mapping[str, list[Version]]:
        """Return the warehouse's rows of a page's time, by result."""
        connection.execute(self._table.between(_VERSION, "updated_at", page.first, page.last))
        known: defaultdict[str, list[Version]] = defaultdict(list)
        while rows := connection.rows(BATCH_RESULTS):
            for *key, updated_at, status, attempts in rows:
                version = Version(LinkKey._make(key), moment_of(updated_at), status, attempts)
                known[version.key.result_id].append(version)
        return known

    def _existing_columns(self) -> set[str]:
        """Return the columns of the warehouse's table, and create the table if it is missing."""
        try:
            return self._look()
        except (ConfigurationError, WarehouseError):  # drivers call a missing table either way
            self._create()
            return self._look()

    def _create(self) -> None:
        """Create the table; another run may be faster, as PostgreSQL's UniqueViolation says."""
        try:
            with self._warehouse.connected(f"create {self._table.name}") as connection:
                connection.execute(self._table.create)
                connection.commit()
        except (ConfigurationError, WarehouseError):
            if not self._is_there():
                raise

    def _is_there(self) -> bool:
        with suppress(ConfigurationError, WarehouseError):
            self._look()
            return True
        return False

    def _look(self) -> set[str]:
        with self._warehouse.connected(f"read {self._table.name}") as connection:
            return {name.lower() for name in connection.execute(self._table.look)}

    def _lost(self) -> list[str]:
        """Return the newest results of the warehouse that the ledger does not know as well.

        An older backup lacks the newest rows, so these are enough.
        """
        with self._warehouse.connected(f"read {self._table.name}") as connection:
            newest = self._newest(connection)
            if newest is None:
                return []
            columns = ("result_id", "updated_at", "attempts")
            since = newest - MARGIN
            connection.execute(self._table.between(columns, "updated_at", since, newest))
            rows = connection.rows(BATCH_RESULTS)
        changed = ChangedResults(self._engine, self._links, newest)
        known = changed.newest([result_id for result_id, _, _ in rows])
        return [
            result_id
            for result_id, updated_at, attempts in rows
            if result_id not in known
            or _is_older(known[result_id], (moment_of(updated_at), attempts))
        ]


def _is_older(ledger: tuple[datetime, int], warehouse: tuple[datetime, int]) -> bool:
    """Return True if the ledger's row is from before the warehouse's: it was restored."""
    if ledger[0] < warehouse[0] - _TOLERANCE:
        return True
    return ledger[0] < warehouse[0] and ledger[1] < warehouse[1]
