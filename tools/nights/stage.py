"""The parts that all nights share: the engine, the tables, the mapping and the hook."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from sqlalchemy import Engine, create_engine

from airflow_kombo.database.transactions import prepare
from airflow_kombo.hooks.kombo import KomboHook
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.rows.result_link_mapping import ResultLinkMapping
from tools.nights.replaced import DatabaseConnection

_ROOT: Final = Path(__file__).resolve().parents[2]
_IN_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a disk's flush would take longer than all else
_SOURCE: Final = """
CREATE TABLE assessment_results (
    result_id TEXT, assessment_date DATE, completed_at TIMESTAMP, integration_id TEXT,
    candidate_id TEXT, application_id TEXT, assessment_name TEXT, result_url TEXT, score REAL,
    max_score REAL, duration_seconds INTEGER, remote_fields TEXT,
    PRIMARY KEY (result_id, integration_id)
)
"""
_RECORDS: Final = (
    "CREATE TABLE night_claims (result_id TEXT, run_id TEXT, status_before TEXT, at REAL)",
    """
    CREATE TRIGGER night_claim AFTER UPDATE ON kombo_result_links
    WHEN NEW.status = 'sending' AND OLD.status <> 'sending'
    BEGIN
        INSERT INTO night_claims VALUES (NEW.result_id, NEW.run_id, OLD.status, night_now());
    END
    """,
    """
    CREATE TABLE night_evidence (
        process TEXT, at REAL, result_id TEXT, integration_id TEXT, target_type TEXT,
        target_id TEXT, attempt INTEGER, resolution_before TEXT, status TEXT, evidence TEXT
    )
    """,
    """
    CREATE TRIGGER night_evidence AFTER UPDATE OF evidence ON kombo_result_link_attempts
    BEGIN
        INSERT INTO night_evidence VALUES (
            night_process(), night_now(), NEW.result_id, NEW.integration_id, NEW.target_type,
            NEW.target_id, NEW.attempt, OLD.resolution, OLD.status, NEW.evidence
        );
    END
    """,
    """
    CREATE TABLE night_resolutions (
        process TEXT, at REAL, result_id TEXT, attempt INTEGER, resolution_before TEXT,
        status TEXT, resolution TEXT, resolved_by TEXT
    )
    """,
    """
    CREATE TRIGGER night_resolution AFTER UPDATE OF resolution ON kombo_result_link_attempts
    BEGIN
        INSERT INTO night_resolutions VALUES (
            night_process(), night_now(), NEW.result_id, NEW.attempt, OLD.resolution, OLD.status,
            NEW.resolution, NEW.resolved_by
        );
    END
    """,
)
"""Records of each claim of a row with a status, of each evidence, and of each decision about an
attempt. The checks compare them with what is true."""
KOMBO: Final = {"conn_type": "http", "host": "http://kombo.example/v1", "password": "ks_dev_night"}


class Stage:
    """The parts of all nights, with one file that is made anew for each.

    :param folder: An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / "night.db"
        self._empty = folder / "empty.db"
        self.tables = Tables.named()
        self.mapping = ResultLinkMapping.load(_ROOT / "include" / "result_link_mapping.yaml")
        self.sql = (_ROOT / "include" / "sql" / "assessment_results.sql").read_text()
        self.hook = KomboHook()
        asyncio.run(self.hook.config())  # it reads Airflow's connection once
        self.engine = self._engine()
        with self.engine.begin() as connection:
            connection.exec_driver_sql(_SOURCE)
        self.tables.create(self.engine)
        with self.engine.begin() as connection:
            for statement in _RECORDS:
                connection.exec_driver_sql(statement)
        self.engine.dispose()
        shutil.copy(self.file, self._empty)

    def clear(self) -> None:
        """Make the database anew."""
        self.engine.dispose()
        shutil.copy(self._empty, self.file)

    def look(self) -> sqlite3.Connection:
        """Open the database beside the night."""
        connection = sqlite3.connect(self.file)
        connection.row_factory = sqlite3.Row
        return connection

    def _engine(self) -> Engine:
        # Compiled statements belong to an engine, so all processes of all nights share one.
        return prepare(
            create_engine(
                f"sqlite:///{self.file}",
                connect_args={"factory": DatabaseConnection},
                pool_size=0,
            )
        )


@contextmanager
def stage() -> Iterator[Stage]:
    """Build the parts, in a temporary folder."""
    os.environ["AIRFLOW_CONN_KOMBO_DEFAULT"] = json.dumps(KOMBO)
    parent = _IN_MEMORY if _IN_MEMORY.is_dir() else None
    with TemporaryDirectory(prefix="nights-", dir=parent) as folder:
        yield Stage(Path(folder))
