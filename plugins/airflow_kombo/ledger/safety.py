"""Try a database before a run relies on it: version, ids, keys, transactions and clock.

A table may be made by hand. So what the catalogue says is not enough: rows are written to our
tables in one transaction, looked for, and taken back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Select,
    Table,
    and_,
    delete,
    exc,
    insert,
    select,
)

from airflow_kombo.database.dialects import dialect_of
from airflow_kombo.database.sql import in_utc, utc_now
from airflow_kombo.database.transactions import (
    bare_connection,
    cause_of,
    is_unstorable,
    transaction,
)
from airflow_kombo.exceptions import ConfigurationError, LedgerError
from airflow_kombo.statuses import Status

_MOST_WRONG: Final = timedelta(minutes=7, seconds=30)
"""Difference of two clocks that is an error.

Zones differ by quarters of an hour, so from half of one on it is a wrong zone. A smaller
difference does no harm: the ledger compares only times of the database with each other.
"""
_IDS: Final = ("integration_id", "target_id", "result_id")
_CONFUSES: Final = "takes two ids for one that differ only in case or accents, in"
_ELSEWHERE: Final = (
    "Nothing is sent. Mend it, or set ledger_conn_id to a connection to PostgreSQL, SQLite, MySQL"
    " or MariaDB."
)


def refuse_unfit_server(engine: Engine) -> None:
    """Refuse a database that cannot hold the ledger, before a table is made.

    :raises ConfigurationError: with what is missing, and the remedy; also if the server refuses
        the connection's login, or has no such database.
    :raises LedgerError: if the database cannot be reached.
    """
    with bare_connection(engine, "say its version") as connection:
        lack = dialect_of(connection).lack(connection)
    if lack:
        raise ConfigurationError(f"This database cannot hold the ledger: {lack}. {_ELSEWHERE}")


def refuse_unsafe_tables(engine: Engine, links: Table, attempts: Table, runs: Table) -> None:
    """Refuse tables after a trial with rows: ids, keys, transactions and clock.

    :raises ConfigurationError: with the table, what is wrong, and the remedy.
    :raises LedgerError: if the database cannot be reached, or refuses to write.
    """
    run_id = str(uuid4())
    key = dict.fromkeys(_IDS, f"Probé {run_id}") | {"target_type": "probe", "run_id": run_id}
    status = {"status": Status.INVALID.value, "attempts": 0, "url_hash": run_id}
    trials = [
        _Trial(links, {**key, **status}, ("updated_at",), {"trouble": status["status"]}),
        _Trial(attempts, {**key, "attempt": 0}, ("claimed_at",)),
        _Trial(runs, {"run_id": run_id}, ("started_at", "heartbeat_at")),
    ]
    written: list[_Trial] = []
    try:
        with transaction(engine, "try its tables") as connection:
            for trial in trials:
                trial.insert_the_row(connection)
                written.append(trial)
                trial.check(connection)
            connection.rollback()
    finally:
        kept = _taken_back(engine, written) if written else []
    for table in kept:
        mend = dialect_of(engine).mend_transactions.format(table=table.fullname)
        raise _refusal(table, f"keeps rows that were rolled back: it has no transactions{mend}")


def _taken_back(engine: Engine, written: Iterable[_Trial]) -> list[Table]:
    """Delete the rows that survived the rollback, and return their tables."""
    doing = "look for what it rolled back"
    with transaction(engine, doing, reads_only=True) as connection:
        kept = [trial for trial in written if trial.is_there(connection)]
    for trial in kept:
        with suppress(LedgerError), transaction(engine, "delete rows") as connection:
            trial.delete(connection)
    return [trial.table for trial in kept]


@dataclass(frozen=True)
class _Trial:
    """The trial of one table.

    :param row: The values of a row that no other run has, by column.
    :param moments: The columns to be filled with the database's time.
    :param derived: The values of columns that the database derives.
    """

    table: Table
    row: Mapping[str, Any]
    moments: Sequence[str]
    derived: Mapping[str, Any] = field(default_factory=dict)

    def insert_the_row(self, connection: Connection) -> None:
        """Write the row, with a character that is not ASCII."""
        try:
            self._insert(connection, [self.row])
        except exc.DBAPIError as error:
            if not is_unstorable(error):
                raise
            raise _refusal(
                self.table, f"does not take every character ({cause_of(error)}): it has to be UTF-8"
            ) from None

    def check(self, connection: Connection) -> None:
        """Read the row, and write others that differ from it too little."""
        if not self.is_there(connection):
            raise _refusal(
                self.table,
                "does not show a row that was just written: a trigger, a rule or a row-level"
                " policy takes it away",
            )
        for name, value in self.derived.items():
            if connection.execute(self._find(name)).scalar_one() != value:
                raise _refusal(
                    self.table,
                    f"does not derive the column {name} from the others. Drop the column, and add"
                    " it as python -m airflow_kombo.ledger.ddl prints it",
                )
        for moment in self.moments:
            self._refuse_wrong_time(connection, moment)
        if "result_id" in self.row:
            self._refuse_confusion(connection)
        self._refuse_second(
            connection, self.table.primary_key.columns.keys(), **self._another_link()
        )
        for index in self.table.indexes:
            if index.unique:
                self._refuse_second(connection, index.columns.keys(), result_id="another")

    def is_there(self, connection: Connection) -> bool:
        """Return True if the row is in the table."""
        return connection.execute(self._find("run_id")).first() is not None

    def delete(self, connection: Connection) -> None:
        """Delete all rows of the trial."""
        ours = self.table.c.run_id == self.row["run_id"]
        connection.execute(delete(self.table).where(ours))

    @property
    def _is_row(self) -> ColumnElement[bool]:
        return and_(*(one == self.row[one.name] for one in self.table.primary_key.columns))

    def _another_link(self) -> dict[str, str]:
        """Return another link where the table has one: no two rows may have one on a target."""
        return {"url_hash": str(uuid4())} if "url_hash" in self.row else {}

    def _find(self, column: str) -> Select[Any]:
        return select(self.table.c[column]).where(self._is_row)

    def _insert(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        statement = insert(self.table).values(dict.fromkeys(self.moments, utc_now()))
        connection.execute(statement, [dict(row) for row in rows])

    def _refuse_wrong_time(self, connection: Connection, moment: str) -> None:
        """Compare the time in the table with the worker's."""
        column = self.table.c[moment]
        stored = in_utc(connection.execute(self._find(moment)).scalar_one())
        ours = datetime.now(timezone.utc)
        if abs(stored - ours) >= _MOST_WRONG:
            kind = column.type.compile(connection.dialect)
            raise _refusal(
                self.table,
                f"has the time {stored:%H:%M} UTC for now in {moment}, and this worker's clock"
                f" {ours:%H:%M}. The column has to be {kind}, and both clocks have to be right",
            )

    def _refuse_confusion(self, connection: Connection) -> None:
        """Look for the row by ids that differ in case or in an accent, then insert these."""
        others = {name: _alike(self.row[name]) for name in _IDS}
        matches = (self.table.c[name].in_(texts) for name, texts in others.items())
        found = connection.execute(select(*matches).where(self._is_row)).one()
        if confused := [name for name, is_same in zip(_IDS, found, strict=True) if is_same]:
            mend = dialect_of(connection).mend_ids(self.table.fullname, confused)
            raise _refusal(self.table, f"{_CONFUSES} {', '.join(confused)}. {mend}")
        rows = [
            {**self.row, name: text, **self._another_link()}
            for name in _IDS
            for text in others[name]
        ]
        try:
            with connection.begin_nested():
                self._insert(connection, rows)
        except exc.IntegrityError:
            raise _refusal(
                self.table,
                f"{_CONFUSES} its keys. Make the keys anew: python -m airflow_kombo.ledger.ddl"
                " prints the statements",
            ) from None

    def _refuse_second(
        self, connection: Connection, columns: Iterable[str], **changes: str
    ) -> None:
        """Insert a row with the same values of a key, which has to fail."""
        try:
            with connection.begin_nested():
                self._insert(connection, [{**self.row, **changes}])
        except exc.IntegrityError:
            return
        raise _refusal(
            self.table,
            f"takes a second row with the same {', '.join(columns)}. The key has to refuse it, with"
            " no ON CONFLICT and no trigger in between",
        )


def _alike(text: str) -> list[str]:
    """Return texts with another case, of an ASCII letter or another, and without an accent."""
    return [text.replace("P", "p"), text.replace("é", "É"), text.replace("é", "e")]


def _refusal(table: Table, what: str) -> ConfigurationError:
    return ConfigurationError(f"The table {table.fullname} {what}. {_ELSEWHERE}")
