"""The page in a real Airflow below a prefix, over the demo's day, and in a browser."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import jwt
import pytest
from sqlalchemy import create_engine, delete, select, text, update
from support.airflow_site import DAG, DAY, EVIL, PATIENCE, SCRIPT, SECRET, serving
from support.browser import follow, logged_in
from support.page_client import Document

from airflow_kombo.database.transactions import prepare
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.ledger.tables import Tables

PATHS = [
    "", "runs", "run", "rows", "rows.csv", "unknown.csv", "row", "decisions", "plan",
    "static/page.css", "static/statuses.css", "static/page.js", "static/act.js",
]  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return the folder of the real Airflow."""
    return tmp_path_factory.mktemp("site")


@pytest.fixture(scope="module")
def site(home):
    """Serve a real Airflow with the demo's day, with the page in the navigation."""
    with serving(home) as url:
        yield url


@pytest.fixture
def waiting_row(home):
    """Make a row of yesterday `retryable` while a test runs, and return the result id."""
    engine, links = create_engine(f"sqlite:///{home / 'warehouse.db'}"), Tables.named().links
    result_id = f"ar-{DAY:%Y%m%d}-0300"
    yesterday = datetime.now(timezone.utc).date() - timedelta(days=1)
    mine = update(links).where(links.c.result_id == result_id)
    with engine.begin() as connection:
        (before,) = connection.execute(select(links).where(links.c.result_id == result_id))
        waits = {"status": "retryable", "error_code": "run_stopped", "http_status": None}
        connection.execute(mine.values(**waits, assessment_date=yesterday))
    yield result_id
    with engine.begin() as connection:
        connection.execute(mine.values(before._asdict()))
    engine.dispose()


def token_of(site, user):
    login = {"username": user, "password": user}
    response = httpx.post(f"{site}/auth/token", json=login, trust_env=False)
    return response.json()["access_token"]


def get(site, path, token=None, *, in_cookie=False):
    headers = {"Authorization": f"Bearer {token}"} if token and not in_cookie else {}
    cookies = {"_token": token} if in_cookie else None
    address = f"{site}/kombo/{path}"
    return httpx.get(address, headers=headers, cookies=cookies, trust_env=False, timeout=30)


@pytest.mark.parametrize("path", PATHS)
def test_who_may_see_the_page(site, path):
    """Every address needs a valid token of a user with permission to see plugins."""
    viewer = token_of(site, "viewer")
    claims = jwt.decode(viewer, options={"verify_signature": False})
    algorithm = jwt.get_unverified_header(viewer)["alg"]
    moment = claims["iat"] - 120
    times = {"iat": moment, "nbf": moment, "exp": moment + 60}
    expired = jwt.encode({**claims, **times}, SECRET, algorithm)
    forged = jwt.encode(claims, SECRET[::-1], algorithm)
    assert get(site, path).status_code == 401
    for in_cookie in (False, True):
        assert get(site, path, expired, in_cookie=in_cookie).status_code in {401, 403}
        assert get(site, path, forged, in_cookie=in_cookie).status_code in {401, 403}
    assert get(site, path, token_of(site, "nobody")).status_code == 403
    expected = {"row": 422, "plan": 422, "run": 404}.get(path, 200)
    assert get(site, path, viewer).status_code == expected
    assert get(site, path, viewer, in_cookie=True).status_code == expected


def test_who_may_check_a_file(site):
    """The check of a file needs the same permission as the views, before the file is read."""
    for user, status in ((None, 401), ("nobody", 403), ("viewer", 422)):
        headers = {"Authorization": f"Bearer {token_of(site, user)}"} if user else {}
        address, files = f"{site}/kombo/decisions", {"file": ("f.csv", b"x")}
        response = httpx.post(address, headers=headers, files=files, trust_env=False, timeout=30)
        assert response.status_code == status


def test_a_row_has_the_time_of_the_next_try(site, waiting_row):
    """A row shows the time of the next run, the paused dag, or the end of the lookback."""
    header = {"Authorization": f"Bearer {token_of(site, 'admin')}"}

    def pause(*, is_paused):
        body, address = {"is_paused": is_paused}, f"{site}/api/v2/dags/{DAG}"
        httpx.patch(address, json=body, headers=header, trust_env=False).raise_for_status()

    def shown(result_id):
        found = httpx.get(
            f"{site}/kombo/rows", params={"q": result_id}, headers=header, trust_env=False
        )
        (row,) = (href for href in Document(found.text).all("href") if href.startswith("row?"))
        found = httpx.get(f"{site}/kombo/{row}", headers=header, trust_env=False)
        return Document(found.text).text

    assert f"Never, unless a person starts a run of {DAG}" in shown(waiting_row)
    assert "or unpauses the dag." in shown(waiting_row)
    pause(is_paused=False)
    try:
        time = (
            rf"\d{{4}}-\d\d-\d\d 02:00 UTC( is over)?, by the run of {DAG} for \d{{4}}-\d\d-\d\d\."
        )
        assert re.search(f"Whose turn Nobody .*Tried next .*{time}", shown(waiting_row))
        assert "corrected row: never, unless a person" in shown(f"ar-{DAY:%Y%m%d}-0017")
        assert "scheduled runs look back 7 days" in shown(f"ar-{DAY:%Y%m%d}-0017")
    finally:
        pause(is_paused=True)


def test_a_dag_that_airflow_cannot_read_hides_no_row(site, home):
    """Rows are shown although the API server lacks the timetable of their dag."""
    engine = create_engine(f"sqlite:///{home / 'airflow.db'}")
    change = text("UPDATE serialized_dag SET data = replace(data, :old, :new) WHERE dag_id = :dag")
    ours, lost = "timetables.nightly.NightlyTimetable", "timetables.lost.LostTimetable"
    for old, new, expected in ((ours, lost, True), (lost, ours, False)):
        with engine.begin() as connection:
            connection.execute(change, {"old": old, "new": new, "dag": DAG})
        found = get(site, "", token_of(site, "viewer"))
        assert found.status_code == 200
        assert (f"the API server cannot read the dag {DAG}" in found.text) is expected
    engine.dispose()


def test_the_page_is_in_airflows_navigation(site):
    """Airflow lists the page with a relative address, and loads the plugin without an error."""
    header = {"Authorization": f"Bearer {token_of(site, 'admin')}"}
    plugins = httpx.get(f"{site}/api/v2/plugins", headers=header, trust_env=False).json()
    (ours,) = (one for one in plugins["plugins"] if one["name"] == "airflow_kombo")
    (view,) = ours["external_views"]
    assert (view["href"], view["url_route"], view["destination"]) == ("kombo/", "kombo", "nav")
    errors = httpx.get(f"{site}/api/v2/plugins/importErrors", headers=header, trust_env=False)
    assert errors.json()["import_errors"] == []


@pytest.mark.parametrize("task", ["deliver.shard/links?map_index=0", "deliver.account/links"])
def test_a_task_links_to_its_rows(site, task):
    """A shard links to the rows of the run, and the account to those of all shards."""
    header = {"Authorization": f"Bearer {token_of(site, 'viewer')}"}
    runs = httpx.get(f"{site}/api/v2/dags/{DAG}/dagRuns", headers=header, trust_env=False).json()
    (run,) = (one["dag_run_id"] for one in runs["dag_runs"])
    links = httpx.get(
        f"{site}/api/v2/dags/{DAG}/dagRuns/{run}/taskInstances/{task}",
        headers=header,
        trust_env=False,
    ).json()["extra_links"]
    address = links["Kombo rows"]
    assert address.startswith(f"{site}/kombo/rows?")
    rows = httpx.get(address, headers=header, trust_env=False)
    assert rows.text.count('<th scope="row"') == 50
    assert "the task deliver.shard of the run" in rows.text


# In a browser -----------------------------------------------------------------------------------

WIDTHS = {"desktop": 1280, "phone": 390}
VIEWS = [
    *("", "runs", "rows", "rows?status=failed", "rows?q=nobody"),
    "plan?action=send-again&status=failed",
]


@pytest.fixture(scope="module")
def login(chromium, site):
    """Log in once."""
    return logged_in(chromium, site)


@pytest.fixture
def opened(chromium, login, site):
    """Open views for a user with a login; no view loads foreign files or has an error."""
    wrong, contexts = [], []

    def opened(path="", *, width=1280, theme="light"):
        context = chromium.new_context(
            storage_state=login, viewport={"width": width, "height": 900}, color_scheme=theme
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((f"{site}/", "data:", "blob:"))
                else wrong.append(f"foreign: {request.url}")
            ),
        )
        page.goto(f"{site}/{path}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def ids_of(page):
    """Read the results in a list of rows."""
    return page.get_by_role("region", name="Rows").get_by_role("rowheader").all_inner_texts()


def test_nobody_sees_the_page_without_a_login(chromium, site):
    """A browser without a login gets an error, and no row."""
    page = chromium.new_page()
    response = page.goto(f"{site}/kombo/rows")
    assert response.status == 401
    assert "ar-2026" not in page.content()
    page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_opens_from_airflows_navigation(opened, site, theme):
    """The page opens in Airflow's frame, follows the theme, and links to the dag in Airflow."""
    page = opened(theme=theme)
    page.get_by_role("button", name="Browse").click()
    page.get_by_role("menuitem", name="Kombo result links").click()
    frame = page.frame_locator("iframe")
    frame.get_by_role("heading", name="Did the rows arrive, and if not, why?").wait_for()
    back = frame.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", back))) > 3 * 128) == (theme == "light")
    frame.get_by_role("link", name="failed").first.click()
    frame.get_by_role("heading", name="Rows", exact=True).wait_for()
    frame.get_by_role("rowheader").first.get_by_role("link").click()
    frame.get_by_role("link", name="Send again").click()
    frame.get_by_role("link", name=DAG).click()
    page.wait_for_url(f"{site}/dags/{DAG}**")


def test_a_click_on_the_chart_shows_these_rows(opened):
    """A segment of a bar links to the rows of one day and status."""
    page = opened("kombo/")
    follow(page.get_by_role("img", name="Rows by day and status").locator("rect.failed"))
    parameters = parse_qs(urlsplit(page.url).query)
    assert parameters == {"day": [str(DAY)], "status": ["failed"]}
    assert len(ids_of(page)) == 5


@pytest.fixture
def living_run(home):
    """Start a run in the ledger, and yield the ledger and the id."""
    engine, tables = prepare(create_engine(f"sqlite:///{home / 'warehouse.db'}")), Tables.named()
    runs, run_id = Runs(engine, tables), "a living run"
    runs.start(Run(run_id, DAG, "scheduled__living", "deliver", -1, 1, DAY))
    yield runs, run_id
    with engine.begin() as connection:
        connection.execute(delete(tables.runs).where(tables.runs.c.run_id == run_id))
    engine.dispose()


def test_the_overview_refreshes_itself_while_a_run_is_alive(opened, living_run):
    """Counts change without a reload, an opened table stays open, and a typed text stays."""
    runs, run_id = living_run
    page = opened("kombo/")
    page.get_by_role("searchbox").fill("half a word")
    page.get_by_text("The numbers").click()
    for done in (3, 5):
        runs.beat(run_id, {"planned": 9, "success": done})
        page.get_by_role("progressbar", name=f"{done} of 9 rows are done").wait_for()
    runs.finish(run_id, {"planned": 9, "success": 9})
    page.locator("main:not([data-live])").wait_for()
    assert "Done\n9" in page.get_by_role("region", name=re.compile("run")).first.inner_text()
    assert page.get_by_role("searchbox").input_value() == "half a word"
    assert page.get_by_role("region", name="Rows by day and status").is_visible()


def test_a_run_leads_to_airflow_and_to_its_integrations(opened, site):
    """The list of runs has the demo's run with a starter, and a run's page has response times."""
    page = opened("kombo/runs")
    runs = page.get_by_role("region", name="Runs")
    assert runs.get_by_role("rowheader").count() == 1
    assert "a person or a program" in runs.inner_text()
    follow(runs.get_by_role("rowheader").get_by_role("link"))
    calls = page.get_by_role("region", name="Calls by integration").last
    assert calls.get_by_role("rowheader").count() >= 5
    assert re.search(r"\d+\.\d %\s+\d+ ms\s+\d+ ms", calls.inner_text())
    page.get_by_role("region", name="Tasks").last.get_by_role("link").click()
    page.wait_for_url(f"{site}/dags/{DAG}/runs/**")


def test_a_result_is_found_and_its_history_read(opened):
    """A result is found by id, and its history has the attempts and requests."""
    page = opened("kombo/")
    page.get_by_role("searchbox").fill("ar-20261103-0045")
    follow(page.get_by_role("button", name="Find"))
    assert ids_of(page) == ["ar-20261103-0045"]
    follow(page.get_by_role("link", name="ar-20261103-0045"))
    attempts = page.get_by_role("article")
    assert attempts.count() == 2
    assert attempts.first.get_by_role("heading").inner_text() == "Attempt 2 success"
    assert "REMOTE.SERVICE_UNAVAILABLE" in attempts.last.inner_text()
    attempts.first.get_by_text("Request", exact=True).click()
    assert '"label"' in attempts.first.locator("pre").inner_text()


def test_a_list_is_read_page_by_page(opened):
    """The next page holds other rows, and the link to the previous page leads back."""
    page = opened("kombo/rows?status=success")
    first = ids_of(page)
    follow(page.get_by_role("link", name="Next"))
    second = ids_of(page)
    assert len(first) == len(second) == 50
    assert not set(first) & set(second)
    follow(page.get_by_role("link", name="Previous"))
    assert ids_of(page) == first


def test_rows_leave_as_a_file(opened):
    """All filtered rows are exported."""
    page = opened("kombo/rows?status=invalid")
    shown = ids_of(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="Export as CSV").click()
    exported = download.value.path().read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(exported, newline="")))
    assert [row["result_id"] for row in rows] == shown


def test_a_task_s_page_leads_to_its_rows(opened):
    """The button on the account's page in Airflow opens the rows of all shards."""
    page = opened(f"dags/{DAG}/runs")
    page.get_by_role("link", name=re.compile("manual")).first.click()
    page.wait_for_url(re.compile("/runs/manual"))
    page.goto(f"{page.url.partition('?')[0]}/tasks/deliver.account")
    page.get_by_role("link", name="Details").click()
    follow(page.get_by_role("link", name="Kombo rows"))
    assert len(ids_of(page)) == 50
    assert "Only rows that the task deliver.shard of the run manual" in page.inner_text("main")


def test_the_keyboard_is_enough(opened):
    """The keyboard alone skips the navigation, searches and opens a row; the focus is visible."""
    page = opened("kombo/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Skip to the content"
    focus = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(focus) == "solid"
    while page.evaluate("document.activeElement.type") != "search":
        page.keyboard.press("Tab")
    assert page.evaluate(focus) == "solid"
    page.keyboard.type("ar-20261103-0017")
    page.keyboard.press("Enter")
    page.wait_for_url("**/kombo/rows?q=*")
    while page.evaluate("document.activeElement.innerText") != "ar-20261103-0017":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="ar-20261103-0017 failed").wait_for()


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_view_fits_the_screen_and_has_enough_contrast(opened, theme, width):
    """No view is wider than the screen, and the contrast of all texts meets WCAG's 4.5 to 1."""
    page = opened("kombo/", width=width, theme=theme)
    first = page.url
    for view in [*VIEWS, "row", "run"]:
        if view == "row":
            page.goto(f"{first}rows?status=failed")
            follow(page.get_by_role("rowheader").first.get_by_role("link"))
            page.get_by_text("Request", exact=True).click()
        elif view == "run":
            page.goto(f"{first}runs")
            follow(page.get_by_role("rowheader").first.get_by_role("link"))
        else:
            page.goto(first + view)
        assert page.evaluate("document.scrollingElement.scrollWidth - innerWidth") <= 0, view
        assert page.evaluate(FAINT) == [], view


def test_a_screen_reader_finds_its_way(opened):
    """A list has landmarks, one first heading, a name for each field, and table headers."""
    page = opened("kombo/rows?status=failed")
    for role in ("banner", "main", "search", "table"):
        assert page.get_by_role(role).count() == 1, role
    assert page.get_by_role("navigation", name="Kombo result links").count() == 1
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.get_by_role("columnheader").count() == 10
    fields = page.locator("input:not([type=hidden]), select")
    assert all(
        field.evaluate("field => field.labels.length") == 1 for field in fields.element_handles()
    )


def test_a_search_without_a_hit_has_a_message(opened):
    """A search without a hit shows a sentence, not an empty list."""
    page = opened("kombo/rows?q=nobody")
    assert "No row matches." in page.get_by_role("status").inner_text()


def test_markup_from_the_warehouse_is_text(opened):
    """A result id with a script is shown as text, and the script is not executed."""
    page = opened("kombo/rows?" + urlencode({"q": EVIL}))
    assert ids_of(page) == [EVIL]
    follow(page.get_by_role("link", name=EVIL))
    page.get_by_text("Request", exact=True).click()
    assert page.get_by_role("heading", level=1).inner_text().startswith(EVIL)
    assert SCRIPT in json.loads(page.locator("pre").inner_text())["label"]
    assert page.title() == f"{EVIL} - Kombo result links"


FAINT = """() => {
  const channel = value =>
    (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = colour => colour.slice(0, 3).map(channel)
    .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
  const parts = text => text.match(/[\\d.]+/g).map(Number);
  const behind = element => {
    const colour = parts(getComputedStyle(element).backgroundColor);
    return colour.length < 4 || colour[3] ? colour : behind(element.parentElement);
  };
  const ratio = (one, other) => {
    const [dark, bright] = [light(one), light(other)].sort((a, b) => a - b);
    return (bright + 0.05) / (dark + 0.05);
  };
  return [...document.querySelectorAll("body *")]
    .filter(one => [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
    .filter(one => one.checkVisibility() && !one.closest("svg, .hidden"))
    .map(one => [one.className || one.tagName,
                 ratio(parts(getComputedStyle(one).color), behind(one))])
    .filter(([, contrast]) => contrast < 4.5);
}"""
"""JavaScript that returns the texts with less contrast than WCAG's 4.5 to 1."""
