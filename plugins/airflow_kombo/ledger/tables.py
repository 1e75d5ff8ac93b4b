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
)

from airflow_kombo.database.dialects.columns import (
    ID,
    LONG_TEXT,
    MOMENT,
    STORAGE,
    TABLE_OPTIONS,
    Derived,
)
from airflow_kombo.delivery_key import LinkKey, Target
from airflow_kombo.ledger import indexes, migrations, safety
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

_TROUBLE: Final = "CASE WHEN status NOT IN ('success', 'sending') THEN status END"
_SPACE_FOR_OUTCOMES: Final = {"fillfactor": 50}
"""Per cent of a page that PostgreSQL fills with new rows. The rest takes their outcomes."""

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

        def table(name: str, *parts: Column[Any] | Index, **more: Any) -> Table:
            return Table(name, metadata, *parts, **TABLE_OPTIONS, **more)

        attempts, preview = f"{stem}_attempts", f"{stem}_preview"
        return cls(
            links=table(
                name,
                *_links(),
                *indexes.of_links(name),
                info={
                    indexes.RETIRED: indexes.retired_of_links(name),
                    STORAGE: _SPACE_FOR_OUTCOMES,
                },
            ),
            attempts=table(
                attempts,
                *_attempts(),
                *indexes.of_attempts(attempts),
                info={
                    indexes.RETIRED: indexes.retired_of_attempts(attempts),
                    STORAGE: _SPACE_FOR_OUTCOMES,
                },
            ),
            runs=table(f"{stem}_runs", *_runs()),
            preview=table(preview, *_preview(), *indexes.of_preview(preview)),
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
        Column("attempts", Integer, nullable=False),
        Column("request_hash", String(64)),
        Column("url_hash", String(64)),
        Column("run_id", _RUN_ID, nullable=False),
        Column("first_sent_at", MOMENT),
        # What changes with an outcome stands together: PostgreSQL logs all between two changes.
        *_outcome(status_known=True),
        Column("updated_at", MOMENT, nullable=False),
        # A person's decision that no run sends the row. Without a time there is none.
        Column("left_out_by", LONG_TEXT),
        Column("left_out_at", MOMENT),
        Column("left_out_reason", LONG_TEXT),
        # The status of a row in trouble, else NULL. The usual outcome does not change it, so that
        # PostgreSQL writes that outcome beside the row, and no index has to name `status`.
        Column("trouble", String(16), Derived(_TROUBLE)),
    ]


def _attempts() -> list[Column[Any]]:
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
    ]


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
        # The time since which no row of the run is `sending`: `settled_runs.py`.
        Column("settled_at", MOMENT),
    ]


def _preview() -> list[Column[Any]]:
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
    ]
