from __future__ import annotations

import asyncio
import inspect
import json
import re
import sys
from base64 import urlsafe_b64encode
from collections import Counter
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote_from_bytes

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, update
from support.harness import DAY, delivery
from support.report_rows import LOG, RUN, SCRIPT, add_rows, fill_ledger

from airflow_kombo.database.transactions import prepare
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.operators.result_link import KomboResultLinkOperator
from airflow_kombo.web import app as app_module
from airflow_kombo.web.chart import HEIGHT, chart
from airflow_kombo.web.database import EngineOfConnection, Settings, Warehouse
from airflow_kombo.web.overview import overview
from airflow_kombo.web.pagination import PagePosition
from airflow_kombo.web.rows import RowFilter

AT_ONE = datetime(2026, 11, 4, 2, 5, tzinfo=timezone.utc)
PAGES = ["/", "/rows", "/rows?status=failed", "/rows?q=nothing", "/rows?day=soon"]


RELATIVE = re.compile(r"(\./|\.\./dags/|rows|row\?|static/|#|data:,|https://app\.kombo)")


RELATIVE = re.compile(r"(\./|\.\./dags/|rows|row\?|static/|#|data:,|https://app\.kombo)")


class Document(HTMLParser):
    """A page's elements with their attributes, and its text."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.words = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, name):
        return [attributes[name] for _, attributes in self.elements if name in attributes]


class Browser:
    """A browser without a login, so to speak, on the app in this process."""

    def __init__(self, engine, tables):
        # The login is left out: test_report_airflow.py has it, on a real API server.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(app_module, "permission", lambda: lambda: None)
            self.app = app_module.make_app(Warehouse(engine, tables))

    def get(self, path):
        async def get():
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://page/") as client:
                return await client.get(path)

        return asyncio.run(get())


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Give the page over a ledger with every fate, one of them decided by a person."""
    folder, tables = tmp_path_factory.mktemp("page"), Tables.named()
    engine = prepare(create_engine(f"sqlite:///{folder / 'warehouse.db'}"))
    tables.create(engine)
    fill_ledger(engine, tables)
    decided = {"resolution": "created", "resolved_by": "ada", "resolution_reason": "seen in logs"}
    unknown = tables.attempts.c.status == "unknown"
    with engine.begin() as connection:
        connection.execute(update(tables.attempts).where(unknown).values(decided))
    yield Browser(lambda: engine, tables)
    engine.dispose()


@pytest.fixture
def site(warehouse, tables):
    """Give the page over a ledger of each kind."""
    fill_ledger(warehouse, tables)
    return Browser(lambda: warehouse, tables)


def address(result_id, integration_id="workday:one"):
    key = delivery(result_id, integration_id=integration_id, target_id=f"c-{result_id}").key
    return "/row?" + "&".join(f"{name}={value}" for name, value in key.columns.items())


def test_the_overview_says_what_needs_somebody(client):
    """The overview has the run, the trouble with reason and log, unknown rows and warnings."""
    page = Document(client.get("/").text)
    for told in (
        "Planned 6 Done 6",
        "2 of 2 integrations",
        "personio:two 1 blocked 1 INTEGRATION.PERMISSION_MISSING A permission is missing.",
        "1 unknown rows wait",
        "The emoji was removed. 1",
        f"{SCRIPT} 1",
    ):
        assert told in page.text
    assert LOG in page.all("href")
    troubled = [href for href in page.all("href") if href.startswith("rows?integration=")]
    assert troubled[0] == "rows?integration=personio%3Atwo"  # what waits comes first
    assert f"rows?day={DAY}&status=blocked" in page.all("href")


def test_rows_and_their_history(client):
    """The list leads to a row's history, which has what was sent, by which task, and its answer."""
    links = Document(client.get("/rows?status=unknown").text).all("href")
    (row,) = (href for href in links if href.startswith("row?"))
    page = Document(client.get(f"/{row}").text)
    for told in ("Attempt 1 unknown", "12 ms", "504", "answer_lost", "No answer came.", "Decide"):
        assert told in page.text
    assert "../dags/kombo_result_links/runs/manual__1/tasks/deliver?try_number=1" in page.all(
        "href"
    )


def test_what_a_person_decided_is_in_the_history(client):
    """A decision is shown with who made it, when and why."""
    text = Document(client.get(address("unknown")).text).text
    assert "ada decided on -: created . seen in logs" in text


def test_nothing_from_the_warehouse_is_markup(client):
    """A script in a label, a title or a warning is text, and a log link that is code is no link."""
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
    """What a browser cannot open, or must not, is shown as text on every page, and is no link."""
    fill_ledger(warehouse, tables)
    with warehouse.begin() as connection:
        connection.execute(update(tables.links).values(log_url=log_url))
        connection.execute(update(tables.attempts).values(log_url=log_url))
    site = Browser(lambda: warehouse, tables)
    for path in ("/", address("unknown")):
        response = site.get(path)
        page = Document(response.text)
        assert response.status_code == 200
        assert "noreferrer" not in page.all("rel")
        assert log_url.split()[0][:90] in page.text
        assert all(RELATIVE.match(found) for found in page.all("href"))


def test_a_ledger_of_ancient_days(warehouse, tables):
    """Thirty days that begin before the first day of all are shown as far as there are days."""
    add_rows(warehouse, tables, ("r1", 0, "failed"))
    with warehouse.begin() as connection:
        connection.execute(update(tables.links).values(assessment_date=date(1, 1, 2)))
    page = Document(Browser(lambda: warehouse, tables).get("/").text)
    assert "0001-01-02" in page.text


def test_no_script_or_style_is_in_a_page(client):
    """Scripts and styles are files of ours: no handler, no attribute, nothing from elsewhere."""
    for path in [*PAGES, address("unknown"), address("nobody")]:
        response = client.get(path)
        page = Document(response.text)
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert not {"style", "base", "iframe"} & {tag for tag, _ in page.elements}
        assert not [name for _, found in page.elements for name in found if name.startswith("on")]
        assert page.all("style") == []
        assert page.all("src") == ["static/page.js"]
        for name in ("x-content-type-options", "x-frame-options", "referrer-policy"):
            assert response.headers[name]


def test_every_address_is_relative(client):
    """Below whatever prefix a proxy puts the page, its links and forms work."""
    for path in [*PAGES, address("unknown")]:
        page = Document(client.get(path).text)
        for found in page.all("href") + page.all("src") + page.all("action"):
            assert RELATIVE.match(found), found


def test_the_parts_have_names_for_a_screen_reader(client):
    """There is one h1, one main, and every table, section, field and navigation has a name."""
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
    """What was filtered is downloaded as CSV."""
    response = client.get("/rows.csv?status=success")
    assert response.headers["content-disposition"].startswith("attachment")
    assert response.headers["content-type"].startswith("text/csv")
    assert len(response.text.splitlines()) == 4
    assert "'=1+1" in response.text


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/rows?day=soon", 422, "Correct day"),
        ("/rows?status=happy", 422, "Correct status"),
        ("/rows?after=nonsense", 400, "begin at its start"),
        ("/row?integration_id=a&target_type=b&target_id=c&result_id=d", 404, "no such row"),
        ("/row", 422, "Correct"),
        ("/static/../app.py", 404, "Not Found"),
        ("/static/nothing", 404, "no such file"),
        ("/docs", 404, "Not Found"),
        ("/openapi.json", 404, "Not Found"),
    ],
)
def test_what_cannot_be_shown_is_said_on_a_page(client, path, status, told):
    """A mistake in an address gets a page with a way out."""
    response = client.get(path)
    assert (response.status_code, told in Document(response.text).text) == (status, True)


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
PARAMETERS = [*RowFilter.model_fields, *delivery().key.columns, "page", "size"]
ADDRESSES = st.tuples(
    st.sampled_from(["/", "/rows", "/rows.csv", "/row"]),
    st.lists(st.tuples(st.sampled_from(PARAMETERS), VALUES), max_size=6),
).map(lambda made: f"{made[0]}?" + "&".join(f"{name}={value}" for name, value in made[1]))
TOLD = {200, 400, 404, 422}


@settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(asked=ADDRESSES)
@example(asked="/rows?after=" + "W1tb" * 10_000)  # [[[...
@example(asked="/rows?before=W251bGwsIlx1MDAwMCIsImIiLCJjIiwiZCJd")  # [null, NUL, "b", "c", "d"]
@example(asked=f"/rows?dag_run_id=x&map_index={10**400}")
def test_no_address_is_an_error_of_the_server(site, asked):
    """Whatever an address holds, it is shown, or not found, or the page says what to correct."""
    response = site.get(asked)
    assert response.status_code in TOLD
    if response.status_code != 200:
        assert Document(response.text).all("role").count("alert") == 1


@pytest.mark.parametrize("value", NUMBERS, ids=lambda value: ascii(value[:22]))
def test_no_number_in_an_address_is_an_error_of_the_server(site, value):
    """Each parameter takes numbers and days far out, other digits and control characters."""
    escaped = quote_from_bytes(value.encode(), safe="")
    texts = {"q", "error_code", "integration", "dag_id", "task_id"}
    for names in ([*texts], *([name] for name in RowFilter.model_fields if name not in texts)):
        given = "&".join(f"{name}={escaped}" for name in names)
        assert site.get(f"/rows?dag_run_id=manual__1&{given}").status_code in TOLD, given
    key = "&".join(f"{name}={escaped}" for name in delivery().key.columns)
    assert site.get(f"/row?{key}").status_code in TOLD


def test_a_cursor_that_was_cut_or_forged_is_told(site):
    """A place in the list that is not one of ours is a page with a way out, cut wherever it was."""
    assert site.get("/rows").status_code == 200
    token = PagePosition(day=DAY, key=delivery("r1").key).token
    assert site.get(f"/rows?after={token}").status_code == 200
    for cut in range(1, len(token)):
        response = site.get(f"/rows?after={token[:cut]}")
        assert response.status_code == 400
        assert "begin at its start" in Document(response.text).text


def test_before_the_first_run(warehouse):
    """Without our tables the page says what makes them, and what to set if they are elsewhere."""
    browser = Browser(lambda: warehouse, Tables.named())
    for path in ("/", "/rows", "/rows.csv", address("r1")):
        text = Document(browser.get(path).text).text
        assert "Nothing was delivered yet" in text
        assert "warehouse_conn_id" in text


def test_empty_tables(warehouse, tables):
    """Tables without a row are shown as what they are, each part with a sentence of its own."""
    browser = Browser(lambda: warehouse, tables)
    text = Document(browser.get("/").text).text
    for told in ("No run has started", "No row has a day", "No row is unknown", "every row"):
        assert told in text
    assert "No row is like that" in Document(browser.get("/rows").text).text


def test_without_a_connection():
    """A connection that the API server does not know is named, with where to set another."""
    response = Browser(EngineOfConnection("no_such"), Tables.named()).get("/")
    assert response.status_code == 503
    told = Document(response.text).text
    assert "knows no connection no_such" in told
    assert "warehouse_conn_id" in told


def test_a_connection_that_changes(monkeypatch, tmp_path):
    """The engine is kept for as long as nobody changes the connection."""
    engine = EngineOfConnection("warehouse_default")
    made = []
    for file in ("one.db", "one.db", "two.db"):
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", f"sqlite:///{tmp_path / file}")
        made.append(engine())
    assert made[0] is made[1]
    assert [Path(one.url.database).name for one in made] == ["one.db", "one.db", "two.db"]
    made[2].dispose()


def test_what_airflow_is_configured_to_show(monkeypatch):
    """The page reads what the operator writes by default, or what the configuration names."""
    defaults = inspect.signature(KomboResultLinkOperator).parameters
    names = ("warehouse_conn_id", "status_table")
    assert Settings.of_airflow() == Settings(*(defaults[name].default for name in names))
    monkeypatch.setenv("AIRFLOW__KOMBO__WAREHOUSE_CONN_ID", "dwh")
    monkeypatch.setenv("AIRFLOW__KOMBO__STATUS_TABLE", "links.fates")
    assert Settings.of_airflow() == Settings("dwh", "links.fates")


def test_nobody_sees_anything_if_airflow_cannot_be_asked(monkeypatch):
    """If Airflow's permissions cannot be imported, every address is denied."""
    monkeypatch.setitem(sys.modules, "airflow.api_fastapi.core_api.security", None)
    browser = Browser(None, None)
    browser.app = app_module.make_app(Warehouse(lambda: pytest.fail("it was read"), Tables.named()))
    for path in ("/", "/rows", "/rows.csv", address("r1"), "/static/page.css"):
        assert browser.get(path).status_code == 403


def test_a_run_under_way(warehouse, tables):
    """A run that works says how far it is; from its pace follows when it ends."""
    runs = Runs(warehouse, tables)
    runs.start(RUN)
    runs.start(Run("other", "another", "manual__0", "deliver"))
    runs.start(Run("run-0", *list(vars(RUN).values())[1:4], 1, 1, DAY))
    runs.beat("run-1", {"planned": 100, "success": 20, "failed": 5})
    began = datetime(2026, 11, 4, 2, tzinfo=timezone.utc)
    with warehouse.begin() as connection:
        for run_id, minutes in (("other", 0), ("run-1", 3), ("run-0", 3)):
            moments = {"started_at": began + timedelta(minutes=minutes), "heartbeat_at": AT_ONE}
            mine = tables.runs.c.run_id == run_id
            connection.execute(update(tables.runs).where(mine).values(moments))
    with warehouse.connect() as connection:
        progress = overview(connection, tables).progress
    assert (progress.planned, progress.done, progress.ended_at) == (100, 25, None)
    assert progress.silent  # it is long ago
    then = replace(progress, now=AT_ONE + timedelta(seconds=10))
    assert then.expected_at == AT_ONE + timedelta(minutes=6)


def test_the_days_left_to_look_a_row_up(warehouse, tables):
    """An unknown row has 30 days from its last request, and then none."""
    fill_ledger(warehouse, tables)
    add_rows(warehouse, tables, ("forgotten", 0, "unknown"))
    with warehouse.connect() as connection:
        unknown = overview(connection, tables).unknown
    left = {row.result_id: unknown.days_left(row) for row in unknown.rows}
    assert unknown.total == 2
    assert left["unknown"] in {29, 30}
    later = type(unknown)(2, unknown.rows, unknown.now + timedelta(days=31))
    assert {later.days_left(row) for row in later.rows} == {0}


def test_the_chart_is_to_scale_and_shows_a_single_row():
    """Bars are as high as their rows are many, and one row among thousands can still be clicked."""
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
