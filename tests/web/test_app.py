from __future__ import annotations

import inspect
import json
import re
import sys
from base64 import urlsafe_b64encode
from collections import Counter
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import quote_from_bytes, urlencode

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, update
from support.dry_runs import add_dry_run
from support.harness import DAY, delivery
from support.page_client import Browser, Document
from support.quick import examples
from support.report_rows import LOG, RUN, SCRIPT, add_rows, fill_ledger

from airflow_kombo.database.transactions import prepare
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.operators.result_link import KomboResultLinkOperator
from airflow_kombo.operators.write import KomboWriteOperator
from airflow_kombo.web import app as app_module
from airflow_kombo.web.chart import HEIGHT, chart
from airflow_kombo.web.database import EngineOfConnection, Settings, Warehouse
from airflow_kombo.web.dry_run_rows import DryRunFilter
from airflow_kombo.web.next_try import UnknownSchedule
from airflow_kombo.web.overview import Period, overview
from airflow_kombo.web.pagination import PagePosition
from airflow_kombo.web.row_filter import RowFilter
from airflow_kombo.web.runs import RunFilter, RunKey

UNKNOWN = UnknownSchedule("there is no Airflow")
LAST_BEAT = datetime(2026, 11, 4, 2, 5, tzinfo=timezone.utc)
PAGES = [
    "/",
    "/?days=7&until=2026-11-03",
    "/runs",
    "/run?dag_id=kombo_result_links&dag_run_id=manual__1",
    "/rows",
    "/rows?status=failed",
    "/rows?q=nothing",
    "/rows?day=soon",
    *("/dry-runs", "/dry-run?run_id=dry", "/dry-run?run_id=dry&action=moved"),
    "/decisions",
    *("/plan?action=send-again", "/plan?action=delete", "/plan?action=created&status=failed"),
]


RELATIVE = re.compile(
    r"(\./|\.\./dags/|rows|row\?|runs?\b|dry-runs?\b|calls\b|plan\?|unknown\.csv|decisions$|static/|#|data:,|https://app\.kombo)"
)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Serve the page over a ledger with every outcome, one of them decided by a person."""
    folder, tables = tmp_path_factory.mktemp("page"), Tables.named()
    engine = prepare(create_engine(f"sqlite:///{folder / 'warehouse.db'}"))
    tables.create(engine)
    fill_ledger(engine, tables)
    add_dry_run(engine, tables, "dry", ["send", "changed", "invalid"])
    decided = {
        "resolution": "created",
        "resolved_by": "ada",
        "resolution_reason": "seen in logs",
        "evidence": "Not found by GET /ats/notes.",
    }
    unknown = tables.attempts.c.status == "unknown"
    with engine.begin() as connection:
        connection.execute(update(tables.attempts).where(unknown).values(decided))
    yield Browser.of(lambda: engine, tables)
    engine.dispose()


@pytest.fixture
def site(warehouse, tables):
    """Serve the page over a ledger in each kind of database."""
    fill_ledger(warehouse, tables)
    return Browser.of(lambda: warehouse, tables)


def address(result_id, integration_id="workday:one"):
    key = delivery(result_id, integration_id=integration_id, target_id=f"c-{result_id}").key
    return "/row?" + "&".join(f"{name}={value}" for name, value in key.columns.items())


def test_the_overview_shows_the_rows_that_need_a_person(client):
    """The overview shows the run, undelivered rows with reasons, unknown rows and warnings."""
    page = Document(client.get("/").text)
    for expected in (
        "Planned 6 Done 6",
        "2 of 2 integrations",
        "personio:two 1 blocked 1 INTEGRATION.PERMISSION_MISSING A permission is missing.",
        "1 unknown rows wait for a decision",
        "The emoji was removed. 1",
        f"{SCRIPT} 1",
    ):
        assert expected in page.text
    assert LOG in page.all("href")
    troubled = [href for href in page.all("href") if href.startswith("rows?integration=")]
    period = f"since={DAY - timedelta(days=29)}&until={DAY}"
    assert troubled[0] == f"rows?integration=personio%3Atwo&{period}"  # waiting rows come first
    assert f"rows?day={DAY}&status=blocked" in page.all("href")


def test_rows_and_their_history(client):
    """The list links to a row's history: each attempt with request, task and response."""
    links = Document(client.get("/rows?status=unknown").text).all("href")
    (row,) = (href for href in links if href.startswith("row?"))
    page = Document(client.get(f"/{row}").text)
    for expected in (
        "Attempt 1 unknown",
        "12 ms",
        "504",
        "answer_lost",
        "No answer came.",
        "It was not created",
    ):
        assert expected in page.text
    assert "../dags/kombo_result_links/runs/manual__1/tasks/deliver?try_number=1" in page.all(
        "href"
    )


def test_the_form_keeps_every_condition(client):
    """The list's form has a field for each condition; those of a period have the one day."""
    conditions = set(RowFilter.model_fields) - {"after", "before"}
    given = dict.fromkeys(conditions, "1") | {
        "status": "failed", "day": DAY, "sort": "oldest", "left_out": "no",
        "since": "", "until": "",
    }  # fmt: skip
    page = Document(client.get("/rows?" + urlencode(given)).text)
    fields = [one for tag, one in page.elements if tag in {"input", "select"}]
    values = {one["name"]: one.get("value") for one in fields}
    assert set(values) == conditions - {"day"}
    assert (values["since"], values["until"]) == (str(DAY), str(DAY))


def test_a_decision_is_in_the_history(client):
    """A decision is shown with person, time and reason."""
    text = Document(client.get(address("unknown")).text).text
    assert "ada decided on -: created . seen in logs" in text


def test_evidence_is_in_the_history(client):
    """The page shows time and finding of a look."""
    text = Document(client.get(address("unknown")).text).text
    assert "Looked for on -: Not found by GET /ats/notes." in text


def test_nothing_from_the_warehouse_is_markup(client):
    """A script in a label, title or warning is text, and a log address with code is no link."""
    for path in [*PAGES, address("failed"), address("warned")]:
        html = client.get(path).text
        assert SCRIPT not in html
        assert not [found for found in Document(html).all("href") if "script:" in found]
    text = Document(client.get(address("failed")).text).text
    assert SCRIPT in text
    assert "javascript:alert(1)" in text


@pytest.mark.parametrize(
    "log_url",
    [
        "http://[", "https://[::1", "http://", "https:///logs/1", "//app.kombo.dev/logs/1",
        "javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\nscript:alert(1)", "\x01javascript:a",
        "data:text/html,x", "n/a (see Slack)", "<b>http://a.example</b>", "http:kombo", "ü" * 2_000,
    ],
    ids=lambda log_url: ascii(log_url[:25]),
)  # fmt: skip
def test_a_log_url_that_is_no_address_is_text(warehouse, tables, log_url):
    """An address that a browser cannot or must not open is text on every page, and no link."""
    fill_ledger(warehouse, tables)
    with warehouse.begin() as connection:
        connection.execute(update(tables.links).values(log_url=log_url))
        connection.execute(update(tables.attempts).values(log_url=log_url))
    site = Browser.of(lambda: warehouse, tables)
    for path in ("/", address("unknown")):
        response = site.get(path)
        page = Document(response.text)
        assert response.status_code == 200
        assert "noreferrer" not in page.all("rel")
        assert log_url.split()[0][:90] in page.text
        assert all(RELATIVE.match(found) for found in page.all("href"))


def test_a_ledger_of_ancient_days(warehouse, tables):
    """The overview shows days near the first day of the calendar."""
    add_rows(warehouse, tables, ("r1", 0, "failed"))
    with warehouse.begin() as connection:
        connection.execute(update(tables.links).values(assessment_date=date(1, 1, 2)))
    page = Document(Browser.of(lambda: warehouse, tables).get("/").text)
    assert "0001-01-02" in page.text


def test_no_script_or_style_is_in_a_page(client):
    """Scripts and styles are files of ours: no handler, no style attribute, no other host."""
    for path in [*PAGES, address("unknown"), address("nobody")]:
        response = client.get(path)
        page = Document(response.text)
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert not {"style", "base", "iframe"} & {tag for tag, _ in page.elements}
        assert not [name for _, found in page.elements for name in found if name.startswith("on")]
        assert page.all("style") == []
        scripts = ["static/times.js", "static/page.js"]
        assert page.all("src") in (scripts, [*scripts, "static/act.js"])
        for name in ("x-content-type-options", "x-frame-options", "referrer-policy"):
            assert response.headers[name]


def test_every_address_is_relative(client):
    """Links and forms work below any prefix of a proxy."""
    for path in [*PAGES, address("unknown")]:
        page = Document(client.get(path).text)
        for found in page.all("href") + page.all("src") + page.all("action"):
            assert RELATIVE.match(found), found


def test_the_parts_have_names_for_a_screen_reader(client):
    """A page has one h1 and one main; each section, field, form and navigation has a name."""
    for path in [*PAGES, address("unknown")]:
        page = Document(client.get(path).text)
        tags = [tag for tag, _ in page.elements]
        assert (tags.count("h1"), tags.count("main")) == (1, 1)
        ids = set(page.all("id"))
        assert len(ids) == len(page.all("id"))
        assert set(page.all("aria-labelledby")) | set(page.all("for")) <= ids
        for tag, found in page.elements:
            if tag in {"nav", "form", "svg", "textarea"}:
                assert found.get("aria-label"), (path, tag)
            if tag == "th":
                assert found.get("scope"), path


def test_the_export_is_a_file(client):
    """The filtered rows are downloaded as CSV."""
    response = client.get("/rows.csv?status=success")
    assert response.headers["content-disposition"].startswith("attachment")
    assert response.headers["content-type"].startswith("text/csv")
    assert len(response.text.splitlines()) == 4
    assert "'=1+1" in response.text


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/rows?day=soon", 422, "Correct day"),
        ("/rows?status=happy", 422, "Correct status"),
        ("/rows?after=nonsense", 400, "Begin at the start"),
        ("/row?integration_id=a&target_type=b&target_id=c&result_id=d", 404, "no such row"),
        ("/row", 422, "Correct"),
        ("/static/../app.py", 404, "Not Found"),
        ("/static/nothing", 404, "no such file"),
        ("/docs", 404, "Not Found"),
    ],
)
def test_a_mistake_in_an_address_gets_an_error_page(client, path, status, message):
    """A mistake in an address gets a page with advice."""
    response = client.get(path)
    assert (response.status_code, message in Document(response.text).text) == (status, True)


NUMBERS = [
    "0", "-1", "1e400", "nan", "2147483648", "9" * 400, "9" * 5_000, "\u0663\uff13", "0001-01-01",
    "9999-12-31", "10000-01-01", "-2026-11-03", "2026-02-30", "\uff12026-11-03", "1e18", "\x00",
    "a\x00", " ", "%", "\N{PILE OF POO}",
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(NUMBERS),
    st.lists,
    max_leaves=6,
)
CURSORS = st.one_of(
    st.lists(JSON, min_size=5, max_size=5).map(json.dumps),
    st.tuples(st.sampled_from([None, *NUMBERS]), *[st.text()] * 4).map(json.dumps),
    JSON.map(json.dumps),
    st.sampled_from(["[" * 5_000, "[" + "9" * 5_000 + "]", '["\\ud800","a","b","c","d"]']),
).map(lambda text: urlsafe_b64encode(text.encode()).decode().rstrip("="))
VALUES = st.one_of(
    st.text().map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.binary(max_size=20),
    (st.sampled_from(NUMBERS) | CURSORS).map(str.encode),
).map(lambda value: quote_from_bytes(value, safe=""))
PARAMETERS = [
    *RowFilter.model_fields, *Period.model_fields, *RunFilter.model_fields, *RunKey.model_fields,
    *DryRunFilter.model_fields,
    *delivery().key.columns, "page", "size",
]  # fmt: skip
VIEWS = [
    "/", "/rows", "/rows.csv", "/unknown.csv", "/row", "/decisions", "/runs", "/run", "/dry-runs",
    "/dry-run", "/overview.json", "/rows.json", "/row.json", "/runs.json", "/run.json",
]  # fmt: skip
ADDRESSES = st.tuples(
    st.sampled_from(VIEWS),
    st.lists(st.tuples(st.sampled_from(PARAMETERS), VALUES), max_size=6),
).map(lambda made: f"{made[0]}?" + "&".join(f"{name}={value}" for name, value in made[1]))
EXPECTED = {200, 400, 404, 422}


@settings(
    deadline=None,
    max_examples=examples(150),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(path=ADDRESSES)
@example(path="/rows?after=" + "W1tb" * 10_000)  # [[[...
@example(path="/rows?before=W251bGwsIlx1MDAwMCIsImIiLCJjIiwiZCJd")  # [null, NUL, "b", "c", "d"]
@example(path=f"/rows?dag_run_id=x&map_index={10**400}")
def test_no_address_is_an_error_of_the_server(site, path):
    """Any address gets a view, or an error with the name to correct: a page, or JSON."""
    response = site.get(path)
    assert response.status_code in EXPECTED
    if ".json" in path.partition("?")[0]:
        assert response.json().get("status", 200) == response.status_code
    elif response.status_code != 200:
        assert Document(response.text).all("role").count("alert") == 1


@pytest.mark.parametrize("value", NUMBERS, ids=lambda value: ascii(value[:22]))
def test_no_number_in_an_address_is_an_error_of_the_server(site, value):
    """Extreme numbers, days, digits and control characters are no error in any parameter."""
    escaped = quote_from_bytes(value.encode(), safe="")
    texts = {"q", "error_code", "integration", "dag_id", "task_id"}
    for names in ([*texts], *([name] for name in RowFilter.model_fields if name not in texts)):
        given = "&".join(f"{name}={escaped}" for name in names)
        assert site.get(f"/rows?dag_run_id=manual__1&{given}").status_code in EXPECTED, given
    key = "&".join(f"{name}={escaped}" for name in delivery().key.columns)
    assert site.get(f"/row?{key}").status_code in EXPECTED


def test_a_cut_or_forged_position_is_refused(site):
    """A position in the list, cut at any character, gets a page with advice."""
    assert site.get("/rows").status_code == 200
    token = PagePosition(day=DAY, key=delivery("r1").key).token
    assert site.get(f"/rows?after={token}").status_code == 200
    for cut in range(1, len(token)):
        response = site.get(f"/rows?after={token[:cut]}")
        assert response.status_code == 400
        assert "Begin at the start" in Document(response.text).text


def test_before_the_first_run(warehouse):
    """Without tables the page names the dag to run, and the settings for other tables."""
    browser = Browser.of(lambda: warehouse, Tables.named())
    for path in ("/", "/rows", "/rows.csv", "/unknown.csv", address("r1")):
        text = Document(browser.get(path).text).text
        assert "Nothing was delivered yet" in text
        assert {"ledger_conn_id", "warehouse_conn_id"} <= set(re.findall(r"\w+", text))


def test_empty_tables(warehouse, tables):
    """Each part of the page has a sentence for tables without rows."""
    browser = Browser.of(lambda: warehouse, tables)
    text = Document(browser.get("/").text).text
    for expected in ("No run has started", "No row has a day", "No row waits", "every row"):
        assert expected in text
    assert "No row matches" in Document(browser.get("/rows").text).text


def test_without_a_connection():
    """The page names a missing connection and the setting for another one."""
    response = Browser.of(EngineOfConnection("no_such"), Tables.named()).get("/")
    assert response.status_code == 503
    text = Document(response.text).text
    assert "has no connection no_such" in text
    assert "ledger_conn_id" in text


def test_a_connection_that_changes(monkeypatch, tmp_path):
    """The page reuses the engine until a person changes the connection."""
    engine = EngineOfConnection("warehouse_default")
    made = []
    for file in ("one.db", "one.db", "two.db"):
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", f"sqlite:///{tmp_path / file}")
        made.append(engine())
    assert made[0] is made[1]
    assert [Path(one.url.database).name for one in made] == ["one.db", "one.db", "two.db"]
    made[2].dispose()


def test_the_settings_of_the_page(monkeypatch):
    """The page reads the operator's default tables, or those of the configuration."""
    warehouse = inspect.signature(KomboWriteOperator).parameters["warehouse_conn_id"]
    table = inspect.signature(KomboResultLinkOperator).parameters["status_table"]
    assert Settings.of_airflow() == Settings(warehouse.default, table.default)
    monkeypatch.setenv("AIRFLOW__KOMBO__WAREHOUSE_CONN_ID", "dwh")
    monkeypatch.setenv("AIRFLOW__KOMBO__STATUS_TABLE", "links.outcomes")
    assert Settings.of_airflow() == Settings("dwh", "links.outcomes")
    monkeypatch.setenv("AIRFLOW__KOMBO__LEDGER_CONN_ID", "ledger")
    assert Settings.of_airflow() == Settings("ledger", "links.outcomes")


def test_every_request_is_denied_without_airflows_permissions(monkeypatch):
    """Without Airflow's permission check, every address is denied, but for styles and scripts."""
    monkeypatch.setitem(sys.modules, "airflow.api_fastapi.core_api.security", None)
    warehouse = Warehouse(lambda: pytest.fail("it was read"), Tables.named())
    browser = Browser(app_module.make_app(warehouse))
    for route in browser.app.routes:
        path = route.path.replace("{name}", "page.css")
        expected = 200 if path.startswith("/static/") else 403
        assert all(
            browser.request(method, path).status_code == expected for method in route.methods
        ), path


def test_a_run_under_way(warehouse, tables):
    """The overview shows the progress and the expected end of a running run."""
    runs = Runs(warehouse, tables)
    runs.start(RUN)
    runs.start(Run("other", "another", "manual__0", "deliver"))
    runs.start(Run("run-0", *list(vars(RUN).values())[1:4], 1, 1, DAY))
    runs.beat("run-1", {"planned": 100, "success": 20, "failed": 5})
    began = datetime(2026, 11, 4, 2, tzinfo=timezone.utc)
    with warehouse.begin() as connection:
        for run_id, minutes in (("other", 0), ("run-1", 3), ("run-0", 3)):
            moments = {
                "started_at": began + timedelta(minutes=minutes),
                "heartbeat_at": LAST_BEAT,
            }
            mine = tables.runs.c.run_id == run_id
            connection.execute(update(tables.runs).where(mine).values(moments))
    with warehouse.connect() as connection:
        progress = overview(connection, tables, UNKNOWN).progress
    assert (progress.planned, progress.done, progress.ended_at) == (100, 25, None)
    assert progress.is_silent  # its heartbeat is long ago
    then = replace(progress, now=LAST_BEAT + timedelta(seconds=10))
    assert then.expected_at == LAST_BEAT + timedelta(minutes=6)


def test_a_period_of_the_overview(warehouse, tables):
    """Chart, undelivered rows and warnings are those of the days of the period."""
    fill_ledger(warehouse, tables)
    add_rows(warehouse, tables, ("old", 10, "failed"), ("new", 0, "failed"))
    with warehouse.begin() as connection:
        of_run = tables.links.c.run_id == RUN.run_id
        connection.execute(update(tables.links).where(of_run).values(assessment_date=DAY))
    ten_days_ago = DAY - timedelta(days=10)
    with warehouse.connect() as connection:
        for period, days, failed, warned in (
            (Period(), 30, 3, 1),
            (Period(days="7"), 7, 2, 1),
            (Period(days=7, until=ten_days_ago), 7, 1, 0),
            (Period(days=14, until=ten_days_ago - timedelta(days=1)), 14, 0, 0),
        ):
            found = overview(connection, tables, UNKNOWN, period)
            reasons = [one for rows in found.undelivered for one in rows.reasons]
            assert len(found.days) == days
            assert sum(one.rows for one in reasons if one.status == "failed") == failed
            assert found.warned == warned
            assert sum(counts["failed"] for counts in found.days.values()) == failed


def test_a_page_is_live_while_its_run_is_alive(warehouse, tables):
    """Overview and run are marked for the refresh until the run has ended."""
    runs, run = Runs(warehouse, tables), "/run?dag_id=kombo_result_links&dag_run_id=manual__1"
    runs.start(RUN)
    site = Browser.of(lambda: warehouse, tables)
    for path in ("/", run):
        page = Document(site.get(path).text)
        assert next(found for tag, found in page.elements if tag == "main").keys() >= {"data-live"}
        parts = page.all("data-part")
        assert len(set(parts)) == len(parts) >= 2
    runs.finish(RUN.run_id, {"planned": 0})
    for path in ("/", run):
        assert "data-live" not in site.get(path).text


def test_the_days_left_to_look_a_row_up(warehouse, tables):
    """An unknown row has 30 days left from its last request."""
    fill_ledger(warehouse, tables)
    add_rows(warehouse, tables, ("forgotten", 0, "unknown"))
    with warehouse.connect() as connection:
        undecided = overview(connection, tables, UNKNOWN).undecided
    left = {row.result_id: undecided.days_left(row) for row in undecided.rows}
    assert undecided.total == 2
    assert left["unknown"] in {29, 30}
    later = replace(undecided, now=undecided.now + timedelta(days=31))
    assert {later.days_left(row) for row in later.rows} == {0}


def test_the_chart_is_to_scale_and_shows_a_single_row():
    """Bars are to scale, and one row among thousands has a visible segment."""
    counts = Counter(success=9_999, failed=1)
    drawn = chart({DAY: counts, DAY - timedelta(days=1): Counter()})
    assert [bar.day for bar in drawn.bars] == [DAY - timedelta(days=1), DAY]
    empty, full = drawn.bars
    assert empty.segments == []
    assert drawn.top == 10_000
    assert sum(segment.height for segment in full.segments) == pytest.approx(HEIGHT)
    assert min(segment.height for segment in full.segments) >= 3
    assert full.segments[-1].y == pytest.approx(0)
    assert chart({}).bars == []
