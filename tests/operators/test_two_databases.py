"""Rows from one database, the ledger in another: an operator's task in this process."""

from __future__ import annotations

import json
import os

import duckdb
import pytest
from airflow.sdk import DAG
from sqlalchemy import create_engine, delete, make_url
from support.harness import by_result, make_source_table, statuses

from airflow_kombo.airflow_compat import AirflowFailException
from airflow_kombo.exceptions import WarehouseError
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.operators.resolve_unknown import KomboResolveUnknownOperator
from airflow_kombo.operators.result_link import KomboResultLinkOperator

TABLES = Tables.named()
MAPPING = {"label": "{{ assessment_name }}", "url": {"column": "result_url"}}
ROWS = """
    CREATE TABLE assessment_results AS
    SELECT 'r' || i AS result_id, DATE '2026-11-03' AS assessment_date,
        'workday:' || i % 3 AS integration_id, 'c' || i AS candidate_id,
        NULL::VARCHAR AS application_id, 'Coding' AS assessment_name,
        'https://results.example/' || i AS result_url, i AS score
    FROM range(60) numbers(i)
"""


def connection_to(url):
    """Return Airflow's connection to a database of PostgreSQL, as a text."""
    return json.dumps(
        {
            "conn_type": "postgres",
            "host": url.query.get("host") or url.host,
            "port": url.port,
            "login": url.username,
            "password": url.password,
            "schema": url.database,
        }
    )


@pytest.fixture
def duck(tmp_path, monkeypatch):
    """Return the path of a DuckDB with a day's rows: the warehouse of the connection."""
    path = str(tmp_path / "warehouse.duckdb")
    connection = {"conn_type": "duckdb", "host": path}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", json.dumps(connection))
    with duckdb.connect(path) as database:
        database.execute(ROWS)
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request, tmp_path, monkeypatch):
    """Return the engine of the ledger's database, which the connection `ledger` names."""
    if request.param == "sqlite":
        url = make_url(f"sqlite:///{tmp_path / 'ledger.db'}")
        connection = f"sqlite://{url.database}"
    else:
        url = make_url(request.getfixturevalue("postgres_database"))
        connection = connection_to(url)
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", connection)
    engine = create_engine(url)
    yield engine
    engine.dispose()


def written_back(path):
    """Return the statuses in the warehouse by result."""
    with duckdb.connect(path) as database:
        return dict(database.sql("SELECT result_id, status FROM kombo_result_links").fetchall())


def make(**options):
    with DAG("own", schedule=None):
        return KomboResultLinkOperator(
            task_id="deliver",
            **{
                "mapping": MAPPING,
                "table": "assessment_results",
                "ledger_conn_id": "ledger",
            }
            | options,
        )


def deliver(context, **options):
    return make(**options).execute(context)


def test_a_day_of_a_column_store_is_delivered_once(duck, ledger, standin, context):
    """Rows of DuckDB are delivered, and what is done is looked up in the ledger next time."""
    counts = deliver(context)
    assert (counts["planned"], counts["success"]) == (60, 60)
    assert statuses(ledger, TABLES) == {"success": 60}
    assert written_back(duck) == dict.fromkeys([f"r{number}" for number in range(60)], "success")
    again = deliver(context)
    assert again["planned"] == 0
    assert len(standin.links()) == 60


def test_a_transform_makes_rows_of_a_warehouse(duck, ledger, standin, context):
    """A function gets the warehouse's rows in frames, and what it leaves out is not sent."""

    def best(frame):
        return frame[frame["score"].astype(int) >= 50].assign(assessment_name="Best")

    assert deliver(context, transform=best)["success"] == 10
    assert {one["label"] for one in standin.links()} == {"Best"}
    assert deliver(context)["planned"] == 50


def test_a_ledger_in_a_column_store_is_refused(duck, context, standin):
    """Without a ledger of its own, such a warehouse is refused with the parameter to set."""
    with pytest.raises(AirflowFailException, match=r"cannot hold the ledger\. Set ledger_conn_id"):
        deliver(context, ledger_conn_id=None)
    assert standin.stats()["received"] == 0


def test_a_table_is_named_plainly(duck, ledger, context, standin):
    """A table's name that would have to be quoted is refused: databases quote differently."""
    with pytest.raises(AirflowFailException, match="Name the table in sql instead of table"):
        deliver(context, table='main."assessment results"')


def test_a_decision_is_made_in_the_ledger(duck, ledger, standin, context):
    """A person's decision finds the `unknown` rows in the ledger's own database."""
    standin.add_rule({"kind": "answer", "status": 504, "code": "PLATFORM.TASK_TIMED_OUT"})
    deliver(context, result_ids=["r0"], fail_below=0.0)
    assert statuses(ledger, TABLES) == {"unknown": 1}
    with DAG("resolve", schedule=None):
        task = KomboResolveUnknownOperator(
            task_id="resolve",
            result_ids=["r0"],
            decision="created",
            reason="seen in the logs",
            ledger_conn_id="ledger",
        )
    assert task.execute(context) == {"decided": 1, "left": 0}
    assert by_result(ledger, TABLES)["r0"].status == "success"
    assert written_back(duck) == {"r0": "success"}


def test_a_warehouse_that_cannot_be_written_is_told(duck, ledger, standin, context):
    """Links are delivered all the same; the next try sends nothing, and writes them back."""
    with duckdb.connect(duck) as database:
        database.execute("CREATE VIEW kombo_result_links AS SELECT 1 AS result_id")
    with pytest.raises(AirflowFailException, match="has no column integration_id"):
        deliver(context)
    assert standin.stats()["received"] == 0
    full = "CREATE VIEW kombo_result_links AS SELECT " + ", ".join(
        f"NULL AS {column.name}" for column in TABLES.links.columns
    )
    with duckdb.connect(duck) as database:
        database.execute("DROP VIEW kombo_result_links")
        database.execute(full)  # it can be read, and not be written
    with pytest.raises((AirflowFailException, WarehouseError), match="could not take the statuses"):
        deliver(context, fail_on={"failed": 0})
    assert statuses(ledger, TABLES) == {"success": 60}
    with duckdb.connect(duck) as database:
        database.execute("DROP VIEW kombo_result_links")
    assert deliver(context)["planned"] == 0
    assert len(written_back(duck)) == 60
    assert standin.stats()["received"] == 60


def test_refused_rows_are_written_back_before_the_task_fails(duck, ledger, standin, context):
    """A task that fails by its policy has told the warehouse why."""
    standin.add_rule({"kind": "answer", "status": 422, "code": "REMOTE.INPUT_INVALID"})
    with pytest.raises(AirflowFailException, match="rows are failed"):
        deliver(context)
    assert set(written_back(duck).values()) == {"failed"}


def test_refused_rows_fail_the_task_also_if_they_cannot_be_written_back(
    duck, ledger, standin, context
):
    """The next try would skip the refused rows and be green, so the policy has the last word."""
    deliver(context, result_ids=["r0"])
    with duckdb.connect(duck) as database:
        database.execute("ALTER TABLE kombo_result_links RENAME TO there")
        database.execute("CREATE VIEW kombo_result_links AS SELECT * FROM there")
    standin.add_rule({"kind": "answer", "status": 422, "code": "REMOTE.INPUT_INVALID"})
    with pytest.raises(AirflowFailException, match=r"failed.*could not take the statuses"):
        deliver(context)
    with duckdb.connect(duck) as database:
        database.execute("DROP VIEW kombo_result_links")
        database.execute("ALTER TABLE there RENAME TO kombo_result_links")
    assert deliver(context)["skipped"] == 59
    assert list(written_back(duck).values()).count("failed") == 59


def test_a_warning_of_a_delivered_row_is_written_back(duck, ledger, standin, context):
    """A result that the source moves to another target later has its warning in the warehouse."""
    deliver(context)
    with duckdb.connect(duck) as database:
        database.execute("UPDATE assessment_results SET candidate_id = 'c' WHERE result_id = 'r1'")
    deliver(context)
    with duckdb.connect(duck) as database:
        query = "SELECT result_id, warnings FROM kombo_result_links WHERE warnings IS NOT NULL"
        ((result_id, warnings),) = database.sql(query).fetchall()
    assert (result_id, json.loads(warnings)) == ("r1", by_result(ledger, TABLES)["r1"].warnings)


def test_a_link_that_went_to_another_result_is_written_back(duck, ledger, standin, context):
    """A refused row that loses its link to another result is changed in the warehouse too."""
    standin.add_rule({"kind": "answer", "status": 422, "code": "REMOTE.INPUT_INVALID"}, times=1)
    deliver(context, result_ids=["r1"], fail_on={}, fail_below=0.0)
    with duckdb.connect(duck) as database:
        database.execute(
            "INSERT INTO assessment_results SELECT * REPLACE ('again' AS result_id)"
            " FROM assessment_results WHERE result_id = 'r1'"
        )
    deliver(context, result_ids=["again"])
    with duckdb.connect(duck) as database:
        query = "SELECT result_id, url_hash FROM kombo_result_links"
        hashes = dict(database.sql(query).fetchall())
    assert hashes == {name: row.url_hash for name, row in by_result(ledger, TABLES).items()}
    assert hashes["r1"] is None


def test_a_ledger_that_was_lost_is_refused(duck, ledger, standin, context):
    """An empty ledger beside a warehouse with delivered rows sends nothing."""
    deliver(context)
    with ledger.begin() as connection:
        connection.execute(delete(TABLES.links))
    with pytest.raises(AirflowFailException, match="The ledger lost rows"):
        deliver(context)
    assert standin.stats()["received"] == 60


def test_a_dry_run_writes_nothing_to_the_warehouse(duck, ledger, standin, context):
    """A dry run plans by the ledger, and makes no table in the warehouse."""
    assert deliver(context, dry_run=True)["send"] == 60
    with duckdb.connect(duck) as database:
        assert database.sql("SHOW TABLES").fetchall() == [("assessment_results",)]


def test_a_dry_run_of_a_decision_writes_nothing_to_the_warehouse(duck, ledger, standin, context):
    """The rows are read in the ledger, and the warehouse gets no table."""
    with DAG("resolve", schedule=None):
        task = KomboResolveUnknownOperator(
            task_id="resolve",
            integration_ids=["workday:0"],
            decision="created",
            reason="seen in the logs",
            dry_run=True,
            ledger_conn_id="ledger",
        )
    assert task.execute(context) == {"would_be_decided": 0, "left": 0}
    with duckdb.connect(duck) as database:
        assert database.sql("SHOW TABLES").fetchall() == [("assessment_results",)]


def test_one_database_by_two_names_is_refused(ledger, standin, context, monkeypatch):
    """A ledger_conn_id that leads to the warehouse itself ends the task before a row is sent."""
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", os.environ["AIRFLOW_CONN_LEDGER"])
    make_source_table(ledger)
    with pytest.raises(AirflowFailException, match="names the database of the warehouse"):
        deliver(context)


TYPED = """
    CREATE TABLE assessment_results (
        result_id bigint, assessment_date date, integration_id text, candidate_id bigint,
        application_id bigint, assessment_name text, result_url text, score numeric(20, 10),
        completed_at timestamptz, remote_fields jsonb
    );
    INSERT INTO assessment_results VALUES
        (9007199254740993, '2026-11-03', 'workday:1', 9007199254740995, NULL, 'Ünï 🧩',
            'https://results.example/1', 95.10, '2026-11-03 23:30:00-02:00',
            '{"workday": {"n": 9007199254740997, "x": [null, true, "é"]}}'),
        (2, '2026-11-03', 'workday:1', NULL, 9223372036854775807, 'Coding',
            'https://results.example/2', NULL, NULL, NULL)
"""
TYPED_MAPPING = MAPPING | {
    "attributes": {"Score": {"column": "score"}, "At": {"column": "completed_at"}},
    "remote_fields": {"column": "remote_fields"},
}


@pytest.mark.parametrize("ledger_conn_id", [None, "ledger"])
def test_types_of_postgresql_arrive_to_the_letter(
    new_postgres_database, ledger, standin, context, monkeypatch, ledger_conn_id
):
    """Large ids beside NULL, exact numbers, times with a zone and JSON reach Kombo whole."""
    url = make_url(new_postgres_database())
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(TYPED)
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", connection_to(url))
    counts = deliver(context, mapping=TYPED_MAPPING, ledger_conn_id=ledger_conn_id)
    assert counts["success"] == 2
    one, two = sorted(standin.requests(last=2), key=lambda request: request["raw_path"])
    assert one["raw_path"].endswith("/applications/9223372036854775807/result-links")
    assert json.loads(one["body"]) == {"label": "Coding", "url": "https://results.example/2"}
    assert two["raw_path"].endswith("/candidates/9007199254740995/result-links")
    body = json.loads(two["body"])
    assert body["label"] == "Ünï 🧩"
    assert body["remote_fields"] == {"workday": {"n": 9007199254740997, "x": [None, True, "é"]}}
    assert [line["value"] for line in body["details"]["attributes"]] == [
        "95.1",
        "2026-11-04 01:30+00:00",
    ]
    with engine.begin() as connection:
        rows = connection.exec_driver_sql(
            "SELECT result_id, status FROM kombo_result_links ORDER BY result_id"
        )
        assert rows.all() == [("2", "success"), ("9007199254740993", "success")]
    again = deliver(context, mapping=TYPED_MAPPING, ledger_conn_id=ledger_conn_id)
    assert again["planned"] == 0
    engine.dispose()
