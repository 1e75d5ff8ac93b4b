"""Blocks of docs/extending.md, each run in real Airflow, so that the page stays true."""

from __future__ import annotations

import json
import re
import sqlite3
from itertools import count

import pytest
import yaml
from sqlalchemy import create_engine, make_url, text
from support.airflow_commands import airflow
from support.harness import (
    DAY,
    KEY,
    ROOT,
    all_of,
    by_result,
    fill,
    make_source_table,
    requests_of,
    row,
)

from airflow_kombo.ledger.tables import Tables
from airflow_kombo.rows.result_link_mapping import ResultLinkMapping

PAGE = (ROOT / "docs" / "extending.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(PAGE)
DAGS = {re.search(r'DAG\("(\w+)"', code)[1]: code for kind, code in BLOCKS if kind == "python"}

ANALYTICS = """
CREATE TABLE customers (id integer, kombo_id text);
CREATE TABLE attempts (
    id integer, customer integer, day date, application text, test text, report text,
    finished boolean
);
INSERT INTO customers VALUES (1, 'workday:one');
INSERT INTO attempts VALUES
    (1, 1, '2026-11-03', 'a1', 'Coding', 'https://results.example/1', true),
    (2, 1, '2026-11-03', 'a2', 'Coding', 'https://results.example/2', false),
    (3, 1, '2026-11-02', 'a3', 'Coding', 'https://results.example/3', true)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return a home of Airflow with the page's dags."""
    home = tmp_path_factory.mktemp("airflow")
    (home / "dags").mkdir()
    for dag_id, code in DAGS.items():
        (home / "dags" / f"{dag_id}.py").write_text(code)
    airflow(home, "db", "migrate")
    return home


@pytest.fixture
def run(home, standin):
    """Return a function that runs one of the page's dags for the day."""

    def run(dag_id, *, check=True, **connections):
        return airflow(
            home,
            "dags",
            "test",
            dag_id,
            DAY.isoformat(),
            kombo={"conn_type": "http", "host": standin.url, "password": KEY},
            check=check,
            AIRFLOW__CORE__DAGS_FOLDER=str(home / "dags"),
            **{f"AIRFLOW_CONN_{name}": url for name, url in connections.items()},
        )

    return run


@pytest.fixture
def engine(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'warehouse.db'}")
    yield engine
    engine.dispose()


def test_each_block_is_run():
    """The page has a block of each kind that is tested here, and no other."""
    kinds = [kind for kind, _ in BLOCKS]
    assert kinds == ["sh", *["python"] * 6, "yaml", "python"]
    assert set(DAGS) == {
        "from_another_warehouse",
        "through_pandas",
        "in_shards",
        "from_a_task",
        "from_a_frame",
        "one_link",
        "kombo_order_results",
    }


def test_another_warehouse(run, postgres, standin):
    """A PostgreSQL with other tables needs the connection and the query only."""
    url = make_url(postgres)
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in ANALYTICS.split(";"):
            connection.execute(text(statement))
    ((_, shown),) = [block for block in BLOCKS if block[0] == "sh"]
    name, kind = re.fullmatch(r"AIRFLOW_CONN_(\w+)='(\w+)://.*'\n", shown).groups()
    connection = {"conn_type": kind, "host": url.query.get("host") or url.host, "port": url.port}
    connection |= {"login": url.username, "password": url.password, "schema": url.database}
    run("from_another_warehouse", **{name: json.dumps(connection)})
    (link,) = all_of(engine, Tables.named().links)
    engine.dispose()
    assert (link.result_id, link.target_id, link.status) == ("1", "a1", "success")
    assert [one["url"] for one in standin.links()] == ["https://results.example/1"]


WIDE = """
CREATE TABLE {name}_results (
    result_id integer, customer integer, assessment_date date, candidate_id text,
    application_id text, test text, report text, score numeric, level text, coding text,
    english text
);
INSERT INTO {name}_results VALUES
    (1, 1, '2026-11-03', 'c1', NULL, 'Coding', 'https://results.example/{name}/1', 49.5, 'low',
     'https://results.example/{name}/1c', 'https://results.example/{name}/1e'),
    (2, 2, '2026-11-03', NULL, 'a2', 'Coding', 'https://results.example/{name}/2', 80, 'high',
     'https://results.example/{name}/2c', NULL),
    (9007199254740993, 3, '2026-11-03', 'c3', NULL, 'Coding', 'https://results.example/{name}/3',
     NULL, NULL, NULL, NULL);
"""


def test_rows_through_pandas(run, engine, standin, tmp_path):
    """Functions join, derive and split the rows; what they make is delivered, and only once."""
    with sqlite3.connect(tmp_path / "crm.db") as database:
        database.execute("CREATE TABLE customers (id integer, kombo_id text)")
        database.execute("INSERT INTO customers VALUES (1, 'workday:one'), (2, 'lever:two')")
    raw = engine.raw_connection()
    for name in ("join", "derive", "split"):
        raw.executescript(WIDE.format(name=name))
    raw.close()
    crm = json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "crm.db")})
    warehouse = f"sqlite:///{engine.url.database}"
    run("through_pandas", WAREHOUSE_DEFAULT=warehouse, CRM=crm)

    def links(name):
        found = all_of(engine, Tables.named(f"{name}_links").links)
        return {one.result_id: (one.integration_id, one.target_id, one.status) for one in found}

    one, two = ("workday:one", "c1", "success"), ("lever:two", "a2", "success")
    assert links("join") == {"1": one, "2": two, "9007199254740993": ("", "c3", "invalid")}
    assert links("derive") == {"2": two}
    assert links("split") == {"1-coding": one, "1-english": one, "2-coding": two}
    sent = [json.loads(request["body"]) for request in standin.requests(last=100)]
    levels = [body["details"]["attributes"][0]["value"] for body in sent]
    assert sorted(levels) == ["excellent", "high", "high", "low", "low", "low"]


def test_another_source_of_rows(run, engine, standin):
    """An upstream task's rows are delivered, and not again by the next run."""
    for _ in range(2):
        run("from_a_task", WAREHOUSE_DEFAULT=f"sqlite:///{engine.url.database}")
    (link,) = all_of(engine, Tables.named().links)
    assert (link.result_id, link.assessment_date, link.status) == ("r1", DAY, "success")
    assert standin.stats()["received"] == 1


def test_a_frame_as_the_source_of_rows(run, engine, standin):
    """An upstream task's frame is delivered; a missing score has no line in the link."""
    run("from_a_frame", WAREHOUSE_DEFAULT=f"sqlite:///{engine.url.database}")
    links = all_of(engine, Tables.named().links)
    assert {(link.result_id, link.target_type, link.status) for link in links} == {
        ("r1", "application", "success"),
        ("r2", "candidate", "success"),
    }
    bodies = [json.loads(one["body"]) for one in standin.requests(last=2)]
    shown = {one["url"]: one.get("details", {}).get("attributes") for one in bodies}
    assert shown == {
        "https://results.example/r1": [{"key": "Score", "value": "95"}],
        "https://results.example/r2": None,
    }


def test_a_day_in_shards(run, engine, standin):
    """The integrations of a day are delivered by four mapped tasks, and accounted for once."""
    names = [f"workday:i{n}" for n in range(6)]
    rows = [row(f"r{n}", integration_id=names[n % 6]) for n in range(30)]
    fill(engine, make_source_table(engine), rows)
    done = run("in_shards", WAREHOUSE_DEFAULT=f"sqlite:///{engine.url.database}")
    tables = Tables.named()
    assert sorted(one.planned for one in all_of(engine, tables.runs)) == [5, 5, 10, 10]
    assert {one.status for one in by_result(engine, tables).values()} == {"success"}
    assert standin.stats()["received"] == 30
    assert re.search(r"all +30 +30 ", done.stdout + done.stderr)


def test_one_link_by_the_hook_alone(run, standin):
    """A task posts one link through the hook, without operator and ledger."""
    run("one_link")
    assert [one["url"] for one in standin.links()] == ["https://results.example/r1"]
    assert standin.stats()["received"] == 1


def test_another_label_per_ats(tmp_path):
    """The page's mapping has the described effects for each tool."""
    ((_, declared),) = [block for block in BLOCKS if block[0] == "yaml"]
    (tmp_path / "mapping.yaml").write_text(declared)
    mapping = ResultLinkMapping.load(tmp_path / "mapping.yaml")
    mapping.check(row("r1"))
    rows = [
        row("r1", integration_id=f"{tool}:1", remote_fields='{"x": {}}')
        for tool in ("other", *yaml.safe_load(declared)["tools"])
    ]
    deliveries, invalid = requests_of(mapping, rows)
    sent = [json.loads(one.body) for one in deliveries]
    assert invalid == []
    assert [one["label"] for one in sent] == ["Coding", "Assessment: Coding", "Coding", "Coding"]
    shown = [
        {line["key"]: line["value"] for line in one.get("details", {}).get("attributes", [])}
        for one in sent
    ]
    all_lines = {"Score": "95%", "Duration": "2:30h"}
    assert shown == [all_lines, all_lines, all_lines | {"Score": "95 points"}, {}]
    assert ["remote_fields" in one for one in sent] == [True, True, True, False]


def test_another_write(run, engine, standin):
    """In 30 lines at most: claimed, throttled, retried and recorded as result links are."""
    code = DAGS["kombo_order_results"]
    assert len([line for line in code.splitlines() if line.strip()]) <= 30
    number = count(1)
    columns = (
        "result_id, assessment_date, integration_id, order_id, result_url, completed_at, score"
    )
    rows = [
        (integration, order, score)
        for integration, order, score in [
            ("workday:one", "good", 90),
            ("workday:one", "good", 90),  # a second result of one order is allowed
            ("workday:one", "retried", None),
            ("workday:one", "refused", 1),
            ("workday:one", "lost", 1),
            ("workday:one", None, 1),
            ("lever:two", "blocked", 1),
        ]
    ]
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE orders ({columns}, max_score)"))
        for integration, order, score in rows:
            connection.execute(
                text(
                    "INSERT INTO orders VALUES (:id, '2026-11-03', :integration, :order,"
                    " 'https://results.example/1', '2026-11-03 17:05:09', :score, 100)"
                ),
                {"id": next(number), "integration": integration, "order": order, "score": score},
            )
    rules = {
        "retried": {"kind": "answer", "status": 503, "code": "REMOTE.SERVICE_UNAVAILABLE"},
        "refused": {"kind": "answer", "status": 422, "code": "REMOTE.INPUT_INVALID"},
        "lost": {"kind": "close"},
        "blocked": {"kind": "answer", "status": 403, "code": "INTEGRATION.PERMISSION_MISSING"},
    }
    for order, outcome in rules.items():
        standin.add_rule(outcome, times=1, target_type="order", target_id=order)
    warehouse = f"sqlite:///{engine.url.database}"
    run("kombo_order_results", WAREHOUSE_DEFAULT=warehouse, check=False)
    tables = Tables.named("kombo_order_results")
    links = by_result(engine, tables)
    assert {key: links[key].status for key in sorted(links)} == {
        "1": "success",
        "2": "success",
        "3": "success",
        "4": "failed",
        "5": "unknown",
        "6": "invalid",
        "7": "blocked",
    }
    assert links["6"].error_message == "order_id: is empty: fill it"
    assert {one.target_type for one in links.values()} == {"order"}
    attempts = all_of(engine, tables.attempts)
    assert len([one for one in attempts if one.result_id == "3"]) == 2
    (request,) = [json.loads(one.request) for one in attempts if one.result_id == "1"]
    assert request == {
        "status": "COMPLETED",
        "result_url": "https://results.example/1",
        "completed_at": "2026-11-03",
        "score": 90.0,
        "max_score": 100.0,
        "remote_fields": {"recruitee": {"subtitle": "90 of 100"}},
    }
    (account,) = all_of(engine, tables.runs)
    assert (account.planned, account.success, account.invalid) == (7, 3, 1)
    assert sorted(one["target_id"] for one in standin.order_results()) == [
        "good",
        "good",
        "retried",
    ]
    before = standin.stats()["received"]
    run("kombo_order_results", WAREHOUSE_DEFAULT=warehouse)
    assert standin.stats()["received"] == before + 1  # the row of the integration that works again
    assert by_result(engine, tables)["7"].status == "success"
