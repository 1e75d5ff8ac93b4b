"""The tables of this project in the warehouse: three for runs, and one for dry runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    JSON,
    Column,
    Date,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    text,
)

from airflow_kombo.database.dialects.columns import ID, LONG_TEXT, MOMENT, TABLE_OPTIONS
from airflow_kombo.database.dialects.indexes import (
    where_indexes_are_never_partial,
    where_indexes_may_be_partial,
)
from airflow_kombo.delivery_key import LinkKey, Target
from airflow_kombo.ledger import migrations, safety
from airflow_kombo.ledger.outcomes import OUTCOME
from airflow_kombo.ledger.renamed_columns import rename_verdict
from airflow_kombo.statuses import COUNTED

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

STATUS_TABLE: Final = "kombo_result_links"
KEY: Final = LinkKey._fields
"""Columns of the delivery key, in all tables that have it."""
TARGET: Final = Target._fields
"""Columns of the key without the result."""

LEFT_OUT: Final = ("left_out_by", "left_out_at", "left_out_reason")
"""The last columns of the status table: a person's decision that no run sends the row."""

_RUN_ID: Final = String(36)
_OUTCOME_TYPES: Final[Mapping[str, TypeEngine[Any]]] = {
    "status": String(16),
    "error_code": LONG_TEXT,
    "error_title": LONG_TEXT,
    "error_message": LONG_TEXT,
    "log_url": LONG_TEXT,
    "http_status": Integer(),
    "warnings": JSON(none_as_null=True),
}
"""Types of an outcome's columns. An outcome's column without a type fails at import."""


@dataclass(frozen=True)
class Tables:
    """The status table, the attempts' history, the runs, and the preview of dry runs."""

    links: Table
    attempts: Table
    runs: Table
    preview: Table

    @classmethod
    def named(cls, status_table: str = STATUS_TABLE) -> Tables:
        """Return the tables. The names of the others derive from the status table's name.

        :param status_table: Its name, or its schema, a dot and its name.
        """
        schema, _, name = status_table.rpartition(".")
        stem = name.removesuffix("s")
        metadata = MetaData(schema=schema or None)

        def table(name: str, *parts: Column[Any] | Index) -> Table:
            return Table(name, metadata, *parts, **TABLE_OPTIONS)

        return cls(
            links=table(name, *_links(), *_link_indexes(name)),
            attempts=table(f"{stem}_attempts", *_attempts(f"{stem}_attempts")),
            runs=table(f"{stem}_runs", *_runs()),
            preview=table(f"{stem}_preview", *_preview(f"{stem}_preview")),
        )

    def create(self, engine: Engine) -> None:
        """Create the tables of a run, or migrate an older version's tables.

        Many tasks may do so at once.

        :raises ConfigurationError: if a table lacks columns that it always had, or a key without
            which two runs could send a row twice, or if a newer version uses the tables, or if
            the database fails a trial.
        :raises LedgerError: if the database cannot be reached, or refuses.
        """
        tables = [self.links, self.attempts, self.runs]
        safety.refuse_unfit_server(engine)
        migrations.refuse_newer_version(engine, self.runs)
        migrations.create(engine, tables)
        migrations.refuse_without_keys(engine, tables)
        safety.refuse_unsafe_tables(engine, *tables)

    def create_preview(self, engine: Engine) -> None:
        """Create the table of dry runs, or migrate an older version's.

        :raises ConfigurationError: if the table lacks columns that it always had.
        :raises LedgerError: if the database cannot be reached, or refuses.
        """
        rename_verdict(engine, self.preview)
        migrations.create(engine, [self.preview])


def _key() -> list[Column[Any]]:
    return [
        Column(name, String(16) if name == "target_type" else ID, primary_key=True) for name in KEY
    ]


def _outcome(*, status_known: bool) -> list[Column[Any]]:
    """Return the columns of an outcome.

    :param status_known: False where a row may have no status yet.
    """
    return [
        Column(name, _OUTCOME_TYPES[name], nullable=name != "status" or not status_known)
        for name in OUTCOME
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
        Column("first_sent_at", MOMENT),
        Column("updated_at", MOMENT, nullable=False),
        # A person's decision that no run sends the row. Without a time there is none.
        Column("left_out_by", LONG_TEXT),
        Column("left_out_at", MOMENT),
        Column("left_out_reason", LONG_TEXT),
    ]


def _link_indexes(name: str) -> list[Index]:
    return [
        # The database itself keeps one link from being sent under two result ids.
        Index(f"{name}_url", *TARGET, "url_hash", unique=True),
        _partial(f"{name}_sending", "status = 'sending'", "run_id"),
        _partial(f"{name}_unknown", "status = 'unknown'", *KEY),
        Index(f"{name}_result", "result_id"),  # finds a result on any target
        Index(f"{name}_day", "assessment_date", "status"),  # for queries of people
        # The page reads a result or a part of the list, and the few rows that need a person.
        Index(f"{name}_listed", "assessment_date", "result_id", "integration_id"),
        _partial(
            f"{name}_trouble",
            "status NOT IN ('success', 'sending')",
            "assessment_date",
            "result_id",
        ),
        _partial(f"{name}_warned", "warnings IS NOT NULL", "assessment_date"),
        _partial(f"{name}_left_out", "left_out_at IS NOT NULL", "assessment_date", "result_id"),
        _instead_of_partial(f"{name}_status", "status", "run_id"),
    ]


def _attempts(name: str) -> list[Column[Any] | Index]:
    return [
        *_key(),
        Column("attempt", Integer, primary_key=True),
        Column("run_id", _RUN_ID, nullable=False),
        Column("request", LONG_TEXT),
        *_outcome(status_known=False),
        Column("claimed_at", MOMENT, nullable=False),
        Column("answered_at", MOMENT),
        Column("milliseconds", Integer),
        # The decision about an unknown attempt, of a person or by evidence. It keeps its status.
        Column("resolution", String(16)),
        Column("resolved_by", LONG_TEXT),
        Column("resolved_at", MOMENT),
        Column("resolution_reason", LONG_TEXT),
        # The last look into the applicant tracking system for the link of an unknown attempt.
        Column("evidence", LONG_TEXT),
        Column("evidence_at", MOMENT),
        # Status, headers and body of a response that was no plain success, as a JSON text.
        Column("response", LONG_TEXT),
        _partial(f"{name}_open", "status IS NULL", "run_id"),
        # The page counts the 429s of runs, and reads the calls of one run by their time.
        _partial(f"{name}_limited", "http_status = 429", "run_id"),
        Index(f"{name}_claimed", "claimed_at"),
        # Each run deletes the responses of long ago.
        _partial(f"{name}_response", "response IS NOT NULL", "claimed_at"),
        _instead_of_partial(f"{name}_responses", "response", first_characters=1),
        _instead_of_partial(f"{name}_run", "run_id", "status"),
        Index(f"{name}_result", "result_id"),
    ]


def _partial(name: str, condition: str, *columns: str) -> Index:
    """Return an index on the few rows with a condition.

    An index on all rows would be larger. PostgreSQL would also use it to find one row to record
    among all that are being sent, as long as it has no statistics of the table.
    """
    only = text(condition)
    index = Index(name, *columns, postgresql_where=only, sqlite_where=only)
    return where_indexes_may_be_partial(index)


def _instead_of_partial(name: str, *columns: str, first_characters: int | None = None) -> Index:
    """Return an index that finds the same rows on a database without partial indexes.

    :param first_characters: The number of a text's characters in the index; by default all.
    """
    length = {} if first_characters is None else dict.fromkeys(columns, first_characters)
    index = Index(name, *columns, mysql_length=length, mariadb_length=length)
    return where_indexes_are_never_partial(index)


def _runs() -> list[Column[Any]]:
    return [
        Column("run_id", _RUN_ID, primary_key=True),
        Column("dag_id", LONG_TEXT),
        Column("dag_run_id", LONG_TEXT),
        Column("task_id", LONG_TEXT),
        Column("map_index", Integer),
        Column("try_number", Integer),
        Column("assessment_date", Date),
        Column("started_at", MOMENT, nullable=False),
        Column("heartbeat_at", MOMENT, nullable=False),
        Column("ended_at", MOMENT),
        Column("planned", Integer),
        *(Column(name, Integer) for name in COUNTED),
        Column("error", LONG_TEXT),
        # The calls by integration, as JSON, when the run has ended: `run_calls.py`.
        Column("calls", LONG_TEXT),
        Column("schema_version", Integer),
    ]


def _preview(name: str) -> list[Column[Any] | Index]:
    return [
        Column("run_id", _RUN_ID, primary_key=True),
        Column("number", Integer, primary_key=True, autoincrement=False),
        *(Column(one, ID, nullable=False) for one in KEY),
        Column("assessment_date", Date),
        Column("action", String(16), nullable=False),
        Column("error_code", LONG_TEXT),
        Column("error_message", LONG_TEXT),
        Column("status", String(16)),
        Column("request", LONG_TEXT),
        Column("url_hash", String(64)),
        Column("dag_id", LONG_TEXT),
        Column("dag_run_id", LONG_TEXT),
        Column("task_id", LONG_TEXT),
        Column("map_index", Integer),
        Column("run_date", Date),
        Column("previewed_at", MOMENT, nullable=False),
        Index(f"{name}_target", "run_id", "integration_id", "target_id"),
        # The page counts the rows of dry runs by action, without a look at their requests.
        Index(f"{name}_action", "run_id", "action", "number"),
        # The page lists dry runs by their first row.
        _partial(f"{name}_first", "number = 0", "previewed_at", "run_id"),
        _instead_of_partial(f"{name}_number", "number", "previewed_at", "run_id"),
    ]
