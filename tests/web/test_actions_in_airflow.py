"""Actions of the page in a real Airflow: plan, confirmation, progress, outcome."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import httpx
import pytest
from support.acting_site import acting, add_rows
from support.browser import clicks, count_clicks, follow, logged_in
from support.harness import DAY, by_result
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from airflow_kombo.ledger.tables import Tables

PATIENCE = 600_000  # a worker that a busy machine loses is tried again after five minutes
TABLES = Tables.named()
CLOSED = {"kind": "answer", "status": 400, "code": "ATS.JOB_CLOSED"}
LOST = {"kind": "reset"}
RUNS = "api/v2/dags/kombo_result_links/dagRuns"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Serve a real Airflow with a day of refused, lost and delivered rows."""
    with acting(tmp_path_factory.mktemp("acting")) as site:
        deliver(site)
        yield site


def deliver(site):
    """Deliver a day: `ats:closed` refuses its rows, and responses of `ats:lost` are lost."""
    add_rows(site, "f1", "f2", "f3", "f4", integration_id="ats:closed")
    add_rows(site, "u1", "u2", "u3", "u4", integration_id="ats:lost")
    add_rows(site, "s1", integration_id="ats:open")
    site.standin.add_rule(CLOSED, integration_id="ats:closed")
    site.standin.add_rule(LOST, integration_id="ats:lost")
    site.run("dags", "test", "kombo_result_links", str(DAY), check=False)  # red: rows were refused
    site.standin.clear_rules()
    rows = by_result(site.engine, TABLES)
    assert [rows[name].status for name in ("f1", "u1", "s1")] == ["failed", "unknown", "success"]


@pytest.fixture(scope="module")
def logins(chromium, site):
    """Log each user in once."""
    return {name: logged_in(chromium, site.url, name) for name in ("admin", "operator", "viewer")}


@pytest.fixture
def opened(chromium, site, logins):
    """Open views of the page as a user; the browser must report no error of the page."""
    contexts, wrong = [], []

    def opened(path, user="admin"):
        context = chromium.new_context(storage_state=logins[user])
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(f"{site.url}/kombo/{path}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def press(page, reason="the ATS was mended"):
    """Fill in the reason, and confirm."""
    field = page.get_by_label("Reason")
    if field.count():
        field.fill(reason)
    page.get_by_role("button", name="confirm").click()


def outcome(page):
    """Wait until the runs have ended, and return the text of the outcome."""
    page.locator("form[data-done]").wait_for(state="attached")
    return page.locator("form[data-plan]").inner_text()


def confirm(page, reason="the ATS was mended"):
    """Confirm, and return the text of the outcome."""
    press(page, reason)
    return outcome(page)


def row_of(site, name):
    return by_result(site.engine, TABLES)[name]


def address(site, name):
    row = row_of(site, name)
    names = ("integration_id", "target_type", "target_id", "result_id")
    return f"row?{urlencode({one: getattr(row, one) for one in names})}"


def test_a_refused_row_is_sent_again_with_two_clicks(site, opened):
    """A click shows the plan, a second one starts the run; the outcome names the new status."""
    page = opened(address(site, "f1"))
    follow(page.get_by_role("link", name="Send again"))
    assert "1 row of 1 integration" in page.inner_text("main")
    text = confirm(page)
    assert "success" in text
    assert "1 row now: 1 success." in text
    assert (row_of(site, "f1").status, row_of(site, "f1").attempts) == ("success", 2)
    assert row_of(site, "f2").attempts == 1


def test_airflow_has_the_person_and_the_reason(site, opened):
    """The dag run has the triggering user, and the reason as the note."""
    page = opened("rows")
    runs = page.request.get(f"{site.url}/{RUNS}").json()["dag_runs"]
    (run,) = [one for one in runs if one["dag_run_id"].startswith("page__send-again")]
    assert run["triggering_user_name"] == "admin"
    assert run["note"] == "the ATS was mended"


def test_two_people_who_confirm_one_plan_make_one_link(site, opened):
    """A confirmation during the run of the same plan shows this run, and sends nothing."""
    path = f"plan?action=send-again&status=unknown&q=ats:lost&day={DAY}"
    first, second = opened(path), opened(path, "operator")
    assert "4 of them may exist already" in first.inner_text("main")
    press(first)
    first.get_by_role("link", name="Open the run").wait_for()  # SQLite takes one writer at a time
    press(second)
    texts = [outcome(first), outcome(second)]
    assert "This plan was confirmed before, by admin" in texts[1]
    assert "Start another run" in texts[1]
    assert all("4 rows now: 4 success." in text for text in texts)
    links = [one for one in site.standin.links() if one["integration_id"] == "ats:lost"]
    assert {row_of(site, name).attempts for name in ("u1", "u2", "u3", "u4")} == {2}
    assert {link["count"] for link in links} <= {1, 2}


def test_overlapping_plans_make_one_link(site, opened):
    """A stale plan over some of the same rows sends nothing again."""
    site.standin.add_rule(CLOSED, integration_id="ats:closed")
    one = opened("plan?action=send-again&status=failed")
    other = opened(f"plan?action=send-again&status=failed&q=f2&day={DAY}")
    confirm(one)
    assert row_of(site, "f2").attempts == 2
    site.standin.clear_rules()
    text = confirm(other)
    assert "1 row now: 1 failed." in text
    assert row_of(site, "f2").attempts == 2


def test_a_row_is_left_out_and_taken_back(site, opened):
    """The row shows person and reason, and is taken back by the same kind of action."""
    page = opened(address(site, "f3"))
    follow(page.get_by_role("link", name="Leave it out for good"))
    assert "1 row of them left out." in confirm(page, "a test candidate")
    page = opened(address(site, "f3"))
    assert "admin left this row out on" in page.inner_text("main")
    assert "a test candidate" in page.inner_text("main")
    assert page.get_by_role("link", name="Send again").count() == 0
    assert row_of(site, "f3").left_out_by == "admin"
    follow(page.get_by_role("link", name="Take it back"))
    confirm(page, "a real candidate")
    assert row_of(site, "f3").left_out_at is None


def test_a_dry_run_shows_its_outcome(site, opened):
    """A dry run asks for no reason and sends nothing, and may be started once more."""
    received = site.standin.stats()["received"]
    page = opened(f"plan?action=dry-run&day={DAY}&q=s1")
    assert page.get_by_label("Reason").count() == 0
    done = f"A run of {DAY} would do this: 1 delivered. Show each row"
    assert done in confirm(page)
    page = opened(f"plan?action=dry-run&day={DAY}&q=s1")
    assert "This plan was confirmed before, by admin: success." in confirm(page)
    page.locator("form[data-done]").evaluate("form => delete form.dataset.done")
    page.get_by_role("button", name="Start another run").click()
    assert done in outcome(page)
    assert "confirmed before" not in page.inner_text("main")
    follow(page.get_by_role("link", name="Show each row"))
    rows = page.get_by_role("region", name="Rows of the dry run")
    assert rows.get_by_role("rowheader").all_inner_texts() == ["s1"]
    assert "a person or a program: admin" in page.inner_text("main")
    rows.get_by_text("Request", exact=True).click()
    assert '"label"' in rows.locator("pre").inner_text()
    follow(rows.get_by_role("link", name="s1"))
    assert page.get_by_role("heading", level=1).inner_text() == "s1 success"
    assert site.standin.stats()["received"] == received


def test_a_viewer_sees_why_nothing_is_started(site, opened):
    """Airflow refuses the run of a viewer, and the page says so in plain words."""
    page = opened("plan?action=send-again&status=failed", "viewer")
    text = confirm(page)
    assert "Your Airflow user may not start runs of kombo_result_links" in text
    assert "Nothing was started." in text


def test_a_login_that_has_ended_is_named(site, opened):
    """Without a session the page says to log in again."""
    page = opened("plan?action=send-again&status=failed")
    page.context.clear_cookies()
    assert "You are not logged in to Airflow any more." in confirm(page)


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_airflow_takes_no_run_from_another_sites_form(site, logins, kind):
    """No run starts by a body a foreign page can send without a question of the browser."""
    (cookie,) = (one for one in logins["admin"]["cookies"] if one["name"] == "_token")
    response = httpx.post(
        f"{site.url}/{RUNS}",
        content=b'{"logical_date": null, "conf": {}}',
        headers={"Content-Type": kind} if kind else {},
        cookies={"_token": cookie["value"]},
        trust_env=False,
    )
    assert response.status_code in {415, 422}


def test_airflow_allows_no_other_origin(site):
    """The browser's question before a JSON request of another site gets no permission."""
    response = httpx.options(
        f"{site.url}/{RUNS}",
        headers={
            "Origin": "https://evil.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        },
        trust_env=False,
    )
    assert not [name for name in response.headers if name.startswith("access-control-allow")]


def test_a_row_in_doubt_is_decided(site, opened):
    """`It was created` decides the row of the plan, with name and reason."""
    add_rows(site, "u5", integration_id="ats:lost")
    site.standin.add_rule(LOST, integration_id="ats:lost")
    page = opened("rows")
    conf = {"assessment_date": str(DAY), "result_ids": ["u5"]}
    body = {"logical_date": None, "conf": conf}
    page.request.post(f"{site.url}/{RUNS}", data=body)
    for attempt in Retrying(
        wait=wait_fixed(0.5), stop=stop_after_delay(120),
        retry=retry_if_exception_type((KeyError, AssertionError)), reraise=True,
    ):  # fmt: skip
        with attempt:
            assert row_of(site, "u5").status == "unknown"
    site.standin.clear_rules()
    page = opened(address(site, "u5"))
    follow(page.get_by_role("link", name="It was created"))
    assert "1 row now: 1 success." in confirm(page, "seen in Kombo's logs")
    page = opened(address(site, "u5"))
    assert re.search(r"admin decided on .+: created", page.inner_text("main"))


@pytest.fixture(scope="module")
def second_day(site):
    """Deliver more: `ats:full` refuses its rows, and the responses of 52 rows are lost."""
    full = {"kind": "answer", "status": 400, "code": "ATS.UPLOAD_FAILED"}
    add_rows(site, "g1", "g2", integration_id="ats:full")
    site.standin.add_rule(full, integration_id="ats:full")
    for integration in (f"ats:lost-{number}" for number in range(13)):
        names = [f"{integration}-{number}" for number in range(4)]
        add_rows(site, *names, integration_id=integration)
        site.standin.add_rule(LOST, integration_id=integration)
    site.run("dags", "test", "kombo_result_links", str(DAY), check=False)
    site.standin.clear_rules()


def test_support_has_rows_sent_again_in_three_clicks(site, opened, second_day):
    """Three clicks lead from the overview to new links: rows, *Send again*, confirmation."""
    page = opened("")
    count_clicks(page)
    full = page.get_by_role("row").filter(has_text="ats:full")
    follow(full.get_by_role("link", name="2", exact=True))
    follow(page.get_by_role("link", name="Send again"))
    confirm(page)
    assert {row_of(site, name).status for name in ("g1", "g2")} == {"success"}
    assert clicks(page) == 3


def test_fifty_rows_in_doubt_are_decided_in_three_clicks(site, opened, second_day):
    """From the overview: the unknown rows, *It was created*, the confirmation with its reason."""
    page = opened("")
    count_clicks(page)
    undecided = page.get_by_role("region", name="Rows that wait for a decision").first
    link = undecided.get_by_role("link", name=re.compile(r"^\d+ unknown$"))
    assert int(link.inner_text().split()[0]) >= 50
    follow(link)
    follow(page.get_by_role("link", name="It was created"))
    confirm(page, "all of them are in Kombo's logs")
    assert clicks(page) == 3
    rows = by_result(site.engine, TABLES)
    lost = [rows[name].status for name in rows if name.startswith("ats:lost-")]
    assert lost == ["success"] * 52
