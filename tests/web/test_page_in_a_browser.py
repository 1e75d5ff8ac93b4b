"""The page in a browser: Debian's chromium, over a real Airflow with the demo's day."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import datetime
from urllib.parse import parse_qs, urlencode, urlsplit
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import create_engine, delete
from support.airflow_site import DAG, DAY, EVIL, SCRIPT
from support.browser import FAINT, clicks, count_clicks, follow, logged_in
from support.dry_runs import add_dry_run

from airflow_kombo.database.transactions import prepare
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.ledger.tables import Tables

WIDTHS = {"desktop": 1280, "phone": 390}
VIEWS = [
    *("", "runs", "rows", "rows?status=failed", "rows?q=nobody", "dry-runs", "calls"),
    "plan?action=send-again&status=failed",
]


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
def dry_run(home):
    """Add a dry run for a test, and return its address."""
    engine, tables = prepare(create_engine(f"sqlite:///{home / 'warehouse.db'}")), Tables.named()
    add_dry_run(engine, tables, "dry", ["send", "changed", "invalid"])
    yield "dry-run?run_id=dry"
    with engine.begin() as connection:
        connection.execute(delete(tables.preview))
    engine.dispose()


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
def test_every_view_fits_the_screen_and_has_enough_contrast(opened, dry_run, theme, width):
    """No view is wider than the screen, and the contrast of all texts meets WCAG's 4.5 to 1."""
    page = opened("kombo/", width=width, theme=theme)
    first = page.url
    for view in [*VIEWS, dry_run, "row", "run"]:
        if view == "row":
            page.goto(f"{first}rows?status=failed")
            follow(page.get_by_role("rowheader").first.get_by_role("link"))
            page.get_by_text("Request", exact=True).click()
            page.get_by_text("Response", exact=True).click()
            assert '"error"' in page.locator("pre").last.inner_text()
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


# Who reads ---------------------------------------------------------------------------------------


def test_a_row_is_a_card_on_a_phone_and_the_reason_is_on_top(opened):
    """A row's reason comes before its status and id, the filter is folded, a table stays one."""
    page = opened("kombo/rows?status=failed", width=WIDTHS["phone"])
    card = page.get_by_role("region", name="Rows").get_by_role("row").nth(1)
    shown = [card.locator(part) for part in (".reason", ".outcome", "th", "[data-label=Day]")]
    tops = [part.bounding_box()["y"] for part in shown]
    assert tops == sorted(tops)
    assert page.get_by_role("columnheader").count() == 10
    assert card.get_by_role("cell").count() == 9
    assert not page.get_by_label("Status").is_visible()
    page.get_by_text("Filter (1)").click()
    assert page.get_by_label("Status").is_visible()


@pytest.mark.parametrize("chosen", [None, '"America/New_York"', "no zone"])
def test_times_are_in_the_reader_s_zone_with_utc_beside(opened, chosen):
    """The zone is the one chosen in Airflow, or else the browser's; both times are one moment."""
    page = opened("kombo/runs", timezone_id="Asia/Kolkata")
    if chosen:
        page.evaluate("zone => localStorage.setItem('timezone', zone)", chosen)
        page.reload()
    time = page.get_by_role("region", name="Runs").locator("time").first
    moment = datetime.fromisoformat(time.get_attribute("datetime").replace("Z", "+00:00"))
    zone = "America/New_York" if chosen and "/" in chosen else "Asia/Kolkata"
    here = moment.astimezone(ZoneInfo(zone))
    text = " ".join(time.inner_text().split())
    assert text.startswith(f"{here:%Y-%m-%d %H:%M:%S} ")
    assert text.endswith(f"{moment:%H:%M:%S} UTC)")
    assert ("GMT+5:30" in text) == (zone == "Asia/Kolkata")


def test_a_reader_in_utc_sees_one_time(opened):
    """Nothing stands beside the time if the zone of the reader is UTC."""
    page = opened("kombo/runs", timezone_id="UTC")
    time = page.get_by_role("region", name="Runs").locator("time").first
    assert re.fullmatch(r"[\d-]+ [\d:]+ UTC", time.inner_text())


def test_a_page_on_its_way_is_announced(opened):
    """Between a click and the answer a bar is shown, and the content is marked as busy."""
    page = opened("kombo/")
    page.evaluate("""() => {
      const root = document.documentElement;
      const note = () => {
        const bar = getComputedStyle(root, "::before");
        sessionStorage.shown = [bar.position, document.querySelector("main").ariaBusy];
      };
      new MutationObserver(note).observe(root, { attributes: true });
    }""")
    follow(page.get_by_role("link", name="Runs", exact=True))
    assert page.evaluate("sessionStorage.shown") == "fixed,true"
    assert page.locator("html[data-loading]").count() == 0


def test_a_page_that_cannot_be_refreshed_says_so(opened, living_run):
    """The overview says that it may be old while the server does not answer."""
    runs, run_id = living_run
    page = opened("kombo/")
    page.evaluate("""() => {
      window.kept = window.fetch;
      window.fetch = () => Promise.reject(new TypeError("no network"));
    }""")
    notice = page.get_by_role("status").filter(has_text="what you see may be old")
    notice.wait_for()
    page.evaluate("() => { window.fetch = window.kept; }")
    runs.beat(run_id, {"planned": 9, "success": 4})
    page.get_by_role("progressbar", name="4 of 9 rows are done").wait_for()
    notice.wait_for(state="hidden")


def test_a_person_without_the_permission_sees_a_page_that_says_so(opened, chromium, site):
    """The page for a person who may not see it is styled, and has no way into the page."""
    page = opened("kombo/rows", storage_state=logged_in(chromium, site, "nobody"))
    page.get_by_role("heading", name="You may not see this page").wait_for()
    assert page.get_by_role("banner").count() == 0
    assert page.get_by_role("link", name="Back to Airflow").is_visible()
    family = page.locator("body").evaluate("body => getComputedStyle(body).fontFamily")
    assert "sans-serif" in family


# What people come for ----------------------------------------------------------------------------


def test_support_finds_out_whether_a_result_arrived_and_why_not(opened):
    """From the overview, one search shows status, reason and whose turn it is."""
    page = opened("kombo/")
    count_clicks(page)
    page.get_by_role("searchbox").fill("ar-20261103-0017")
    follow(page.get_by_role("button", name="Find"))
    row = page.get_by_role("region", name="Rows").get_by_role("row").nth(1).inner_text()
    assert "failed" in row
    assert "ATS.JOB_CLOSED" in row
    assert "the customer" in row
    follow(page.get_by_role("link", name="ar-20261103-0017"))
    assert "If the result is still needed" in page.inner_text("main")
    assert clicks(page) <= 3


def test_the_engineer_on_call_sees_what_is_broken_since_when_and_whose_turn_it_is(opened):
    """The overview itself has each integration's reason, turn and time; a click has the rows."""
    page = opened("kombo/")
    count_clicks(page)
    broken = page.get_by_role("region", name="Integrations with undelivered rows").last
    closed = broken.get_by_role("row").filter(has_text="ATS.JOB_CLOSED").first
    assert "The customer" in closed.inner_text()
    assert closed.locator("time").count() == 1
    rows = closed.get_by_role("link", name=re.compile(r"^\d+$"))
    number = int(rows.inner_text())
    follow(rows)
    assert len(ids_of(page)) == number
    assert clicks(page) <= 3
