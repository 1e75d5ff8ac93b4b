"""Create the tables, migrate an older version's tables, and refuse a newer version's.

A version of the tables is a number. Each run writes the number that it knows into its own row.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    Index,
    MetaData,
    Table,
    exc,
    func,
    inspect,
    select,
)
from sqlalchemy.engine.reflection import ObjectKind
from sqlalchemy.schema import CreateColumn, CreateIndex, DropIndex

from airflow_kombo.database.advice import lacks_rights
from airflow_kombo.database.dialects import dialect_of
from airflow_kombo.database.dialects.indexes import is_made_on
from airflow_kombo.database.transactions import begin, cause_of, is_passing, transaction
from airflow_kombo.exceptions import ConfigurationError, LedgerError
from airflow_kombo.ledger.indexes import RETIRED

log = logging.getLogger(__name__)

SCHEMA_VERSION: Final = 6
"""Version of the tables of a run. Raise it with every change of their columns or their meaning."""

_Indexes = Mapping[Table, Sequence[Any]]
"""The indexes that each table has, as SQLAlchemy describes them."""

_TRIES: Final = 20
"""Tries to create the tables while other tasks create them too. Each try that fails because another
task was faster leaves one table or one later column less to make."""


def create(engine: Engine, tables: Sequence[Table]) -> None:
    """Create missing tables, and add missing columns and indexes.

    Many tasks may do so at once.

    :raises ConfigurationError: if a table lacks columns that no version may add, or if the
        connection's user may not make tables.
    :raises LedgerError: if the database cannot be reached, or refuses.
    """
    for number in range(_TRIES):
        try:
            with begin(engine) as connection:
                tables[0].metadata.create_all(connection, tables)
            _add_columns(engine, tables)
            have = _described(engine, tables, "get_multi_indexes")
            _add_indexes(engine, tables, have)
            _use_hot_updates(engine, tables, have)
            break
        except exc.DBAPIError as error:
            # Another task may have created a table between the look and the CREATE or ALTER.
            if number == _TRIES - 1 or error.connection_invalidated:
                raise _not_created(engine, tables, error) from None


def refuse_newer_version(engine: Engine, runs: Table) -> None:
    """Refuse tables with a run of a newer version.

    Tables without a version were made before there was one: they are older.

    :raises ConfigurationError: if a run has a higher version than this code knows.
    """
    with transaction(engine, "read the version of its tables", reads_only=True) as connection:
        inspector = inspect(connection)
        if not inspector.has_table(runs.name, runs.schema):
            return
        if runs.c.schema_version.name not in _columns_of(inspector, runs):
            return
        newest = connection.execute(select(func.max(runs.c.schema_version))).scalar()
    if newest is not None and newest > SCHEMA_VERSION:
        raise ConfigurationError(
            f"A newer version of this project uses the tables beside {runs.fullname}: they have"
            f" version {newest}, and this one knows version {SCHEMA_VERSION}. Nothing is sent."
            " Install the newer version on every worker. To return to this version, name another"
            " status table, or restore these tables from a backup of before."
        )


def refuse_without_keys(engine: Engine, tables: Iterable[Table]) -> None:
    """Refuse tables without a unique key.

    :raises ConfigurationError: with the statement that adds the key.
    """
    with transaction(engine, "look at its tables", reads_only=True) as connection:
        for table in tables:
            _refuse_without_keys(connection, table)


def _add_columns(engine: Engine, tables: Sequence[Table]) -> None:
    """Add the columns of later versions, all of them nullable.

    Each column is a statement of its own. It changes no row, so it holds its lock only briefly.

    :raises ConfigurationError: if a column is missing that every version had.
    """
    missing = _missing_columns(engine, tables)
    for table, columns in missing.items():
        if not all(column.nullable for column in columns):
            names = ", ".join(sorted(column.name for column in columns))
            raise ConfigurationError(
                f"The table {table.fullname} was not made by this project: it has no column"
                f" {names}. Add what is missing, or name another target table."
            )
    if not missing:
        return
    for columns in missing.values():
        for column in columns:
            with begin(engine) as connection:
                _add_column(connection, column)


def _add_column(connection: Connection, column: Column[Any]) -> None:
    dialect = connection.dialect
    table = dialect.identifier_preparer.format_table(column.table)
    definition = CreateColumn(column).compile(dialect=dialect)
    connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {definition}")


def _add_indexes(engine: Engine, tables: Iterable[Table], have: _Indexes) -> None:
    """Add the indexes of later versions.

    A user without the right to add one can still deliver. Only the page is slower then.
    `refuse_without_keys` refuses a unique index that is missing.
    """
    for table in tables:
        names = {index["name"] for index in have[table]}
        missing = (one for one in table.indexes if one.name not in names)
        for index in sorted(missing, key=lambda one: str(one.name)):
            if not is_made_on(index, engine.dialect):
                continue
            if index.unique and _is_unique(engine, table, index.columns):
                continue
            try:
                with begin(engine) as connection:
                    index.create(connection, checkfirst=True)
            except exc.DBAPIError as error:
                log.warning("The index %s could not be made: %s", index.name, cause_of(error))


def _use_hot_updates(engine: Engine, tables: Iterable[Table], have: _Indexes) -> None:
    """Drop the indexes that only older versions have, and leave space for outcomes.

    Each of these indexes makes PostgreSQL write all entries of a row anew with its outcome. A user
    without the right to drop them can still deliver, at the cost of an older version.
    """
    try:
        for table in tables:
            retired = table.info.get(RETIRED, {})
            for index in have[table]:
                if retired.get(index["name"]) == index["column_names"]:
                    old = _index(table, str(index["name"]), retired[index["name"]])
                    with begin(engine) as connection:
                        old.drop(connection, checkfirst=True)
        with begin(engine) as connection:
            for table in tables:
                dialect_of(engine).leave_space(connection, table)
    except exc.DBAPIError as error:
        log.warning(
            "The tables keep indexes or settings of an older version, so each row takes more time:"
            " %s. Their owner can run a task, or use python -m airflow_kombo.ledger.ddl",
            cause_of(error),
        )


def _not_created(
    engine: Engine, tables: Sequence[Table], error: exc.DBAPIError
) -> ConfigurationError | LedgerError:
    """Return the error of tables that were not made; without rights, another try helps nobody."""
    advice = (
        " The connection's user needs CREATE and USAGE on the schema, and has to own the tables."
        " Grant them, or let an owner make the tables: docs/tables.md has the statements."
    )
    kind = ConfigurationError if lacks_rights(cause_of(error)) else LedgerError
    return kind(
        f"The database could not make {tables[0].fullname} and the tables beside it"
        f"{_named(engine, tables)}: {cause_of(error)}." + ("" if is_passing(error) else advice)
    )


def _named(engine: Engine, tables: Iterable[Table]) -> str:
    """Return the missing columns as a part of an error message."""
    with suppress(exc.SQLAlchemyError):  # the message is about an earlier error
        missing = _missing_columns(engine, tables)
        names = [f"{table.name}.{one.name}" for table in missing for one in missing[table]]
        return f", or add the columns {', '.join(names)}" if names else ""
    return ""


def _missing_columns(
    engine: Engine, tables: Iterable[Table]
) -> Mapping[Table, Sequence[Column[Any]]]:
    missing = {}
    for table, columns in _described(engine, tables, "get_multi_columns").items():
        have = {column["name"] for column in columns}
        if lacks := [column for column in table.columns if column.name not in have]:
            missing[table] = lacks
    return missing


def _described(engine: Engine, tables: Iterable[Table], what: str) -> Mapping[Table, Sequence[Any]]:
    """Return the columns or the indexes of all tables, in as few round trips as one table's.

    :param what: The name of the method of SQLAlchemy's inspector.
    """
    by_name = {(table.schema, table.name): table for table in tables}
    schema = next(iter(by_name))[0]
    with engine.connect() as connection:
        found = getattr(inspect(connection), what)(
            schema=schema, filter_names=[name for _, name in by_name], kind=ObjectKind.ANY
        )
    return {table: found.get(name, ()) for name, table in by_name.items()}


def _columns_of(inspector: Any, table: Table) -> set[str]:
    return {column["name"] for column in inspector.get_columns(table.name, table.schema)}


def _is_unique(engine: Engine, table: Table, columns: Iterable[ColumnElement[Any]]) -> bool:
    with begin(engine, reads_only=True) as connection:
        names = frozenset(column.name for column in columns)
        return names in dialect_of(connection).unique_keys(connection, table)


def _refuse_without_keys(connection: Connection, table: Table) -> None:
    have = dialect_of(connection).unique_keys(connection, table)
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
    """Build the statement to add a key, after one to drop an index of the same name."""
    index = _index(table, name, columns, unique=True)
    have = inspect(connection).get_indexes(table.name, table.schema)
    is_in_the_way = name in {one["name"] for one in have}
    needed = (DropIndex(index), CreateIndex(index)) if is_in_the_way else (CreateIndex(index),)
    return "; ".join(str(one.compile(dialect=connection.dialect)).strip() for one in needed)


def _index(table: Table, name: str, columns: Iterable[str], *, unique: bool = False) -> Index:
    """Return an index that is none of the table's own."""
    alike = Table(table.name, MetaData(table.schema), *(Column(one) for one in columns))
    return Index(name, *alike.columns, unique=unique)
