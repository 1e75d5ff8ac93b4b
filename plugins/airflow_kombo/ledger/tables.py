"""The tables that are ours in the warehouse: three, and one more for dry runs."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Connection,
    Date,
    DateTime,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    exc,
    inspect,
    text,
)

from airflow_kombo.database.transactions import begin, cause_of, is_passing, transaction
from airflow_kombo.database.unique_keys import unique_keys
from airflow_kombo.exceptions import ConfigurationError, LedgerError
from airflow_kombo.ledger.renamed_columns import rename_verdict
from airflow_kombo.statuses import COUNTED

log = logging.getLogger(__name__)


STATUS_TABLE: Final = "kombo_result_links"
KEY: Final = ("integration_id", "target_type", "target_id", "result_id")
"""What a delivery is known by, in both tables that hold it."""

_MAKERS: Final = 8
"""How often we look again when somebody else is making the tables too."""
_MOMENT: Final = DateTime(timezone=True)
_ID: Final = String(255)
_RUN_ID: Final = String(36)


@dataclass(frozen=True)
class Tables:
    """The status table, the attempts' history, the runs, and what dry runs foresee."""

    links: Table
    attempts: Table
    runs: Table
    preview: Table

    @classmethod
    def named(cls, status_table: str = STATUS_TABLE) -> Tables:
        """Give the tables, of which the others are named after the status table.

        :param status_table: Its name, after its schema and a dot where it has one.
        """
        schema, _, name = status_table.rpartition(".")
        stem = name.removesuffix("s")
        metadata = MetaData(schema=schema or None)
        return cls(
            links=Table(name, metadata, *_links(), *_link_indexes(name)),
            attempts=Table(f"{stem}_attempts", metadata, *_attempts(f"{stem}_attempts")),
            runs=Table(f"{stem}_runs", metadata, *_runs()),
            preview=Table(f"{stem}_preview", metadata, *_preview(f"{stem}_preview")),
        )

    def create(self, engine: Engine) -> None:
        """Make the tables of a run where they are missing, and add what an older version's lack.

        Many tasks may do so at once.

        :raises ConfigurationError: if a table of that name lacks columns that it always had, or a
            key: two runs could send a row twice.
        :raises LedgerError: if the database cannot be reached, or refuses.
        """
        tables = [self.links, self.attempts, self.runs]
        self._create(engine, tables)
        with transaction(engine, "look at its tables", reads_only=True) as connection:
            for table in tables:
                _refuse_without_keys(connection, table)

    def create_preview(self, engine: Engine) -> None:
        """Make the table of dry runs as `create` makes the others; only a dry run needs it.

        :raises LedgerError: as `create` does.
        """
        rename_verdict(engine, self.preview)
        self._create(engine, [self.preview])

    def _create(self, engine: Engine, tables: list[Table]) -> None:
        for look in range(_MAKERS):
            try:
                with begin(engine) as connection:
                    self.links.metadata.create_all(connection, tables)
                self._migrate(engine, tables)
                self._index(engine, tables)
                break
            except exc.DBAPIError as error:
                # Somebody else may have made one between our look and our CREATE or ALTER.
                if look == _MAKERS - 1 or error.connection_invalidated:
                    advice = " The connection's user needs CREATE and USAGE, and has to own the"
                    raise LedgerError(
                        f"The warehouse could not make {tables[0].fullname} and the tables beside"
                        f" it{self._lack(engine, tables)}: {cause_of(error)}."
                        + ("" if is_passing(error) else f"{advice} tables.")
                    ) from None

    def _lack(self, engine: Engine, tables: list[Table]) -> str:
        with suppress(exc.SQLAlchemyError):  # it would be the error that is being told
            lost = self._lost(engine, tables)
            names = [f"{table.name}.{one.name}" for table in lost for one in lost[table]]
            return f", or add the columns {', '.join(names)}" if names else ""
        return ""

    def _migrate(self, engine: Engine, tables: list[Table]) -> None:
        """Add the columns that came later; all of those may be empty.

        Each is a statement of its own, which changes no row, so it needs its lock for a moment.
        """
        lost = self._lost(engine, tables)
        for table, columns in lost.items():
            if not all(column.nullable for column in columns):
                names = ", ".join(sorted(column.name for column in columns))
                raise ConfigurationError(
                    f"The table {table.fullname} was not made by this project: it has no column"
                    f" {names}. Add what is missing, or name another target table."
                )
        if not lost:
            return
        from alembic.migration import MigrationContext  # noqa: PLC0415 - once in a table's life
        from alembic.operations import Operations  # noqa: PLC0415

        for table, columns in lost.items():
            for column in columns:
                with begin(engine) as connection:
                    operations = Operations(MigrationContext.configure(connection))
                    operations.add_column(table.name, column, schema=table.schema)

    def _index(self, engine: Engine, tables: list[Table]) -> None:
        """Add the indexes that came later; who may not still delivers, and waits for the page.

        A key is not among these: see `create`.
        """
        for table in tables:
            have = {
                index["name"] for index in inspect(engine).get_indexes(table.name, table.schema)
            }
            for index in sorted(table.indexes, key=lambda one: str(one.name)):
                if index.name in have or (index.unique and _holds(engine, table, index.columns)):
                    continue
                try:
                    with begin(engine) as connection:
                        index.create(connection, checkfirst=True)
                except exc.DBAPIError as error:
                    log.warning("There is no index %s: %s", index.name, cause_of(error))

    def _lost(self, engine: Engine, tables: list[Table]) -> Mapping[Table, list[Column[Any]]]:
        """Give the columns that tables of ours lack in the database."""
        inspector = inspect(engine)
        lost = {}
        for table in tables:
            have = {column["name"] for column in inspector.get_columns(table.name, table.schema)}
            if columns := [column for column in table.columns if column.name not in have]:
                lost[table] = columns
        return lost


def _holds(engine: Engine, table: Table, key: Iterable[ColumnElement[Any]]) -> bool:
    with begin(engine, reads_only=True) as connection:
        return frozenset(column.name for column in key) in unique_keys(connection, table)


def _refuse_without_keys(connection: Connection, table: Table) -> None:
    have = unique_keys(connection, table)
    keys = {f"{table.name}_key": table.primary_key.columns.keys()} | {
        str(index.name): index.columns.keys() for index in table.indexes if index.unique
    }
    for name, columns in keys.items():
        if frozenset(columns) in have:
            continue
        raise ConfigurationError(
            f"The table {table.fullname} has no unique key ({', '.join(columns)}), so two runs"
            f" could send a row twice: nothing is sent. Its owner has to add it:"
            f" {_statement(connection, table, name, columns)}; all statements:"
            " python -m airflow_kombo.ledger.ddl"
        )


def _statement(connection: Connection, table: Table, name: str, columns: Iterable[str]) -> str:
    """Write the statement that adds a key, after the one that makes room for it."""
    preparer = connection.dialect.identifier_preparer
    index = preparer.quote(name)
    on = f"{preparer.format_table(table)} ({', '.join(map(preparer.quote, columns))})"
    indexes = inspect(connection).get_indexes(table.name, table.schema)
    in_the_way = ""
    if name in {one["name"] for one in indexes}:
        schema = f"{preparer.quote_schema(table.schema)}." if table.schema else ""
        in_the_way = f"DROP INDEX {schema}{index}; "
    return f"{in_the_way}CREATE UNIQUE INDEX {index} ON {on}"


def _key() -> list[Column[Any]]:
    return [
        Column("integration_id", _ID, primary_key=True),
        Column("target_type", String(16), primary_key=True),
        Column("target_id", _ID, primary_key=True),
        Column("result_id", _ID, primary_key=True),
    ]


def _outcome(*, status_known: bool) -> list[Column[Any]]:
    return [
        Column("status", String(16), nullable=not status_known),
        Column("warnings", JSON(none_as_null=True)),
        Column("error_code", Text),
        Column("error_title", Text),
        Column("error_message", Text),
        Column("log_url", Text),
        Column("http_status", Integer),
    ]


def _links() -> list[Column[Any]]:
    return [
        *_key(),
        Column("assessment_date", Date),
        *_outcome(status_known=True),
        Column("attempts", Integer, nullable=False),
        Column("request_hash", String(64)),
        Column("url_hash", String(64)),
        Column("run_id", _RUN_ID, nullable=False),
        Column("first_sent_at", _MOMENT),
        Column("updated_at", _MOMENT, nullable=False),
    ]


def _link_indexes(name: str) -> list[Index]:
    return [
        # The database itself holds that one link is not sent under two result ids.
        Index(f"{name}_url", "integration_id", "target_type", "target_id", "url_hash", unique=True),
        _partial(f"{name}_sending", "status = 'sending'", "run_id"),
        _partial(f"{name}_unknown", "status = 'unknown'", *KEY),
        Index(f"{name}_result", "result_id"),  # a result on whichever target
        Index(f"{name}_day", "assessment_date", "status"),  # what people ask for
        # What the page asks for: a result or a page of the list, and the few rows that matter.
        Index(f"{name}_listed", "assessment_date", "result_id", "integration_id"),
        _partial(
            f"{name}_trouble",
            "status NOT IN ('success', 'sending')",
            "assessment_date",
            "result_id",
        ),
        _partial(f"{name}_warned", "warnings IS NOT NULL", "assessment_date"),
    ]


def _attempts(name: str) -> list[Column[Any] | Index]:
    return [
        *_key(),
        Column("attempt", Integer, primary_key=True),
        Column("run_id", _RUN_ID, nullable=False),
        Column("request", Text),
        *_outcome(status_known=False),
        Column("claimed_at", _MOMENT, nullable=False),
        Column("answered_at", _MOMENT),
        Column("milliseconds", Integer),
        # What a person decided about an attempt that nobody heard of; its status stays beside it.
        Column("resolution", String(16)),
        Column("resolved_by", Text),
        Column("resolved_at", _MOMENT),
        Column("resolution_reason", Text),
        _partial(f"{name}_open", "status IS NULL", "run_id"),
        Index(f"{name}_result", "result_id"),
    ]


def _partial(name: str, condition: str, *columns: str) -> Index:
    """Index only the rows that somebody has to settle: they are few, whatever the table holds.

    An index on all rows would also tempt PostgreSQL, while it has no statistics yet, to look for
    one row to record among all that are being sent.
    """
    only = text(condition)
    return Index(name, *columns, postgresql_where=only, sqlite_where=only)


def _runs() -> list[Column[Any]]:
    return [
        Column("run_id", _RUN_ID, primary_key=True),
        Column("dag_id", Text),
        Column("dag_run_id", Text),
        Column("task_id", Text),
        Column("map_index", Integer),
        Column("try_number", Integer),
        Column("assessment_date", Date),
        Column("started_at", _MOMENT, nullable=False),
        Column("heartbeat_at", _MOMENT, nullable=False),
        Column("ended_at", _MOMENT),
        Column("planned", Integer),
        *(Column(name, Integer) for name in COUNTED),
        Column("error", Text),
    ]


def _preview(name: str) -> list[Column[Any] | Index]:
    return [
        Column("run_id", _RUN_ID, primary_key=True),
        Column("number", Integer, primary_key=True, autoincrement=False),
        *(Column(one, _ID, nullable=False) for one in KEY),
        Column("assessment_date", Date),
        Column("action", String(16), nullable=False),
        Column("error_code", Text),
        Column("error_message", Text),
        Column("status", String(16)),
        Column("request", Text),
        Column("url_hash", String(64)),
        Column("dag_id", Text),
        Column("dag_run_id", Text),
        Column("task_id", Text),
        Column("map_index", Integer),
        Column("run_date", Date),
        Column("previewed_at", _MOMENT, nullable=False),
        Index(f"{name}_target", "run_id", "integration_id", "target_id"),
    ]
