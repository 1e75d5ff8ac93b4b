"""Values of the database without a counterpart in Python: each costs one row only."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from sqlalchemy import create_engine, make_url, text
from support.harness import DAY, all_of, by_result, fill, row, run_day

from airflow_kombo.database.transactions import prepare
from airflow_kombo.exceptions import LedgerError
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.rows.query_source import QuerySource
from airflow_kombo.rows.result_link_mapping import ResultLinkMapping
from airflow_kombo.rows.source import Selection

ROWS = 60
BEYOND = "has no counterpart in Python, such as an infinite date or a year beyond 9999"
DEEP = "is nested too deep"
MENDED = "mend it, or cast the column to text in the query"

TYPES = {
    "result_id": "text",
    "assessment_date": "date",
    "completed_at": "timestamp",
    "integration_id": "text",
    "candidate_id": "text",
    "application_id": "jsonb",
    "result_url": "text",
    "opened": "timestamptz",
    "at": "time",
    "took": "interval",
    "days": "daterange",
    "all_days": "date[]",
    "score": "numeric",
    "numbers": "json",
    "remote_fields": "jsonb",
}
SHOWN = {"completed_at", "opened", "at", "took", "days", "all_days", "score", "numbers"}
MAPPING = ResultLinkMapping.parse(
    {
        "label": "Coding",
        "url": {"column": "result_url"},
        "remote_fields": {"column": "remote_fields"},
        "attributes": {
            **{name: {"column": name} for name in SHOWN - {"opened", "completed_at"}},
            "opened": "{% if opened is defined %}{{ opened.year }}{% endif %}",
            "completed_at": {"column": "completed_at", "format": "date"},
        },
    }
)
OF_KEY = {"assessment_date": "assessment_date", "application_id": "application_id"}
DEEP_JSON = "(repeat('[', 1500) || repeat(']', 1500))::jsonb"
IMPOSSIBLE = [
    ("assessment_date", "'infinity'", BEYOND),
    ("assessment_date", "'12026-11-03'", BEYOND),
    ("completed_at", "'infinity'", BEYOND),
    ("completed_at", "'-infinity'", BEYOND),
    ("completed_at", "'10000-01-01'", BEYOND),
    ("completed_at", "'0044-03-15 BC'", BEYOND),
    ("opened", "'infinity'", BEYOND),
    ("opened", "'10000-01-01 00:00+00'", BEYOND),
    ("numbers", "('[' || repeat('9', 5000) || ']')::json", BEYOND),
    ("numbers", f"{DEEP_JSON}::json", DEEP),
    ("remote_fields", DEEP_JSON, DEEP),
    ("application_id", DEEP_JSON, DEEP),
]
UNSHOWABLE = [
    ("at", "'24:00'"),
    ("days", "'[2026-11-03,infinity)'"),
    ("all_days", "'{2026-11-03,10000-01-01}'"),
    ("score", "'Infinity'"),
    ("numbers", "(repeat('[', 700) || repeat(']', 700))::json"),
]
"""Values that a driver can convert and an attribute cannot show."""


@pytest.fixture(params=["psycopg", "psycopg2"])
def postgresql(request, postgres):
    """Return an engine on an empty schema, with each of the two drivers."""
    with schema_of(make_url(postgres), request.param) as engine:
        yield engine


@contextmanager
def schema_of(url, driver):
    maker = create_engine(url)
    with maker.begin() as connection:
        connection.execute(text("DROP SCHEMA IF EXISTS impossible CASCADE"))
        connection.execute(text("CREATE SCHEMA impossible"))
    maker.dispose()
    options = {"options": "-c search_path=impossible"}
    url = url.set(drivername=f"postgresql+{driver}")
    engine = prepare(create_engine(url, connect_args=options))
    yield engine
    engine.dispose()


def published(engine, impossible=()):
    """Insert a day of rows; each of the first rows has one impossible value."""
    columns = ", ".join(f"{name} {kind}" for name, kind in TYPES.items())
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE published ({columns})")
        connection.exec_driver_sql(
            "INSERT INTO published (result_id, assessment_date, integration_id, candidate_id,"
            " result_url) SELECT 'r' || n, '2026-11-03', 'workday:one', 'c' || n,"
            " 'https://results.example/' || n FROM generate_series(0, 59) AS n"
        )
        for number, (column, value, *_) in enumerate(impossible):
            change = f"{column} = {value} WHERE result_id = 'r{number}'"
            connection.exec_driver_sql(f"UPDATE published SET {change}")  # noqa: S608 - ours


def source_of(engine, tables, sql="SELECT * FROM published"):
    return QuerySource(engine, tables, sql, {}, selection=Selection())


def deliver(engine, mapping=MAPPING, sql="SELECT * FROM published"):
    tables = Tables.named()
    tables.create(engine)
    report = run_day(engine, tables, source=source_of(engine, tables, sql), mapping=mapping)
    return report, by_result(engine, tables)


def test_an_impossible_value_costs_its_own_row(postgresql, standin):
    """A row with an impossible value is `invalid` and names the column; the others arrive."""
    published(postgresql, IMPOSSIBLE)
    report, links = deliver(postgresql)
    assert report.counts == {"invalid": len(IMPOSSIBLE), "success": ROWS - len(IMPOSSIBLE)}
    messages = {links[f"r{n}"].error_message for n in range(len(IMPOSSIBLE))}
    assert messages == {
        f"{'attributes.' if column in SHOWN else ''}{column}:"
        f" the value in the column {column} {why}: {MENDED}"
        for column, _, why in IMPOSSIBLE
    }
    assert {links[f"r{n}"].error_code for n in range(len(IMPOSSIBLE))} == {"invalid_field"}
    assert len(standin.links()) == ROWS - len(IMPOSSIBLE)


def test_a_day_that_cannot_be_read_is_empty_in_the_status_table(postgresql, standin):
    """A row with an impossible day is `invalid`, and the status row has no day."""
    published(postgresql, [("assessment_date", "'infinity'", "")])
    _, links = deliver(postgresql)
    assert (links["r0"].status, links["r0"].assessment_date) == ("invalid", None)
    assert links["r1"].assessment_date == DAY


def test_values_without_a_text_cost_their_own_row(postgresql, standin):
    """A value without a readable text makes only the row `invalid`."""
    published(postgresql, UNSHOWABLE)
    report, links = deliver(postgresql)
    assert report.counts == {"invalid": len(UNSHOWABLE), "success": ROWS - len(UNSHOWABLE)}
    fields = [links[f"r{n}"].error_message.partition(":")[0] for n in range(len(UNSHOWABLE))]
    assert fields == [f"attributes.{column}" for column, _ in UNSHOWABLE]


def test_an_impossible_value_in_an_unread_column_does_no_harm(postgresql, standin):
    """A row with an impossible value in an unread column is delivered."""
    mapping = ResultLinkMapping.parse({"label": "Coding", "url": {"column": "result_url"}})
    unread = [one for one in IMPOSSIBLE if one[0] not in OF_KEY]
    published(postgresql, unread)
    report, _ = deliver(postgresql, mapping)
    assert report.counts == {"success": ROWS}


def test_an_integration_that_cannot_be_read_is_not_the_default(postgresql, standin, monkeypatch):
    """A row with an impossible integration is `invalid`; the default is not used."""
    published(postgresql)
    columns = "result_id, candidate_id, application_id, result_url, assessment_date"
    impossible = f"CASE WHEN result_id = 'r7' THEN {DEEP_JSON} END AS integration_id"
    sql = f"SELECT {columns}, {impossible} FROM published"  # noqa: S608 - ours
    mapping = ResultLinkMapping.parse({"label": "Coding", "url": {"column": "result_url"}})
    tables = Tables.named()
    tables.create(postgresql)
    source = QuerySource(
        postgresql, tables, sql, {}, selection=Selection(), default_integration="workday:one"
    )
    run_day(postgresql, tables, source=source, mapping=mapping)
    message = by_result(postgresql, tables)["r7"].error_message
    assert message == f"integration_id: the value in the column integration_id {DEEP}: {MENDED}"


def test_an_error_of_the_query_itself_still_stops_the_run(postgresql, standin):
    """An error of the server halfway through the rows stops the run before sending."""
    published(postgresql)
    with postgresql.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO published (result_id, candidate_id, integration_id)"
            " SELECT 's' || n, 'c', 'workday:one' FROM generate_series(1, 3000) AS n"
        )
    sql = "SELECT p.*, 1 / (CASE result_id WHEN 's999' THEN 0 ELSE 1 END) AS x FROM published p"
    with pytest.raises(LedgerError, match="could not read the rows: DivisionByZero"):
        deliver(postgresql, sql=sql)
    assert standin.links() == []


def test_a_broken_text_of_postgresql_costs_its_own_row(postgres, standin):
    """A text with a wrong encoding makes only the row `invalid`."""
    server = create_engine(postgres, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql(
            "CREATE DATABASE unchecked ENCODING SQL_ASCII LOCALE 'C' TEMPLATE template0"
        )
    server.dispose()
    url = (
        make_url(postgres).set(database="unchecked").update_query_dict({"client_encoding": "utf8"})
    )
    with schema_of(url, "psycopg") as engine:
        published(engine, [("result_url", r"E'https://results.example/\xe4'")])
        report, links = deliver(engine)
    assert report.counts == {"invalid": 1, "success": ROWS - 1}
    assert "the column result_url is not valid in its encoding" in links["r0"].error_message


@pytest.mark.parametrize("warehouse", ["sqlite"], indirect=True)
def test_a_broken_text_of_sqlite_costs_its_own_row(warehouse, tables, source_table, standin):
    """SQLite stores any bytes as a text: broken ones make only the row `invalid`."""
    fill(warehouse, source_table, [row(f"r{n}") for n in range(6)])
    broken = "CAST(x'68e4' AS TEXT)"
    with warehouse.begin() as connection:
        for number, column in enumerate(["assessment_name", "candidate_id", "result_id"]):
            change = f"{column} = {broken} WHERE result_id = 'r{number}'"
            connection.exec_driver_sql(f"UPDATE assessment_results SET {change}")  # noqa: S608
        connection.exec_driver_sql(
            "UPDATE assessment_results SET completed_at = 'soon' WHERE result_id = 'r3'"
        )
    report = run_day(warehouse, tables)
    assert report.counts == {"invalid": 4, "success": 2}
    messages = {link.error_message for link in all_of(warehouse, tables.links)} - {None}
    why = f"is not valid in its encoding: {MENDED}"
    assert messages == {
        f"label: the value in the column assessment_name {why}",
        f"candidate_id: the value in the column candidate_id {why}",
        f"result_id: the value in the column result_id {why}",
        "attributes.Completed: must be a date such as 2026-11-03",
    }


@pytest.mark.parametrize("warehouse", ["sqlite"], indirect=True)
def test_rows_whose_result_ids_cannot_be_read_have_a_status_each(
    warehouse, tables, source_table, standin
):
    """Two rows with unreadable result ids have two keys, from their other values."""
    same = {"candidate_id": "c1"}
    fill(warehouse, source_table, [row("r1", **same), row("r2", **same)])
    with warehouse.begin() as connection:
        connection.exec_driver_sql("UPDATE assessment_results SET result_id = CAST(x'e4' AS TEXT)")
    assert run_day(warehouse, tables).counts == {"invalid": 2}
    assert len(all_of(warehouse, tables.links)) == 2


@pytest.mark.parametrize("warehouse", ["sqlite", "postgresql"], indirect=True)
def test_the_ledger_reads_as_ever_after_the_rows(warehouse, tables, source_table):
    """The reader's settings end with the query; the connection is reset."""
    fill(warehouse, source_table, [row("r1")])
    sql = "SELECT * FROM assessment_results"
    (chunk,) = QuerySource(warehouse, tables, sql, {}, selection=Selection()).chunks()
    assert len(chunk) == 1
    with warehouse.connect() as connection:
        raw = connection.connection.driver_connection
        if warehouse.dialect.name == "sqlite":
            assert raw.text_factory is str
        else:
            with pytest.raises(Exception, match="date too large"):
                connection.exec_driver_sql("SELECT 'infinity'::date").all()
