"""Plans of actions: the runs, their configuration, what is left, and the limits."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest
from sqlalchemy import func, text, update
from support.harness import DAY, all_of, delivery
from support.page_client import Browser, Document
from support.report_rows import add_rows, fill_ledger

from airflow_kombo.ledger.decision_file import read_decisions
from airflow_kombo.statuses import Decision
from airflow_kombo.web import action_plan
from airflow_kombo.web.actions import ACTIONS


@pytest.fixture
def site(warehouse, tables):
    """Serve the page over a ledger in each kind of database."""
    fill_ledger(warehouse, tables)
    return Browser.of(lambda: warehouse, tables)


def key_of(result_id, integration_id="workday:one"):
    key = delivery(result_id, integration_id=integration_id, target_id=f"c-{result_id}").key
    return key.columns


def plan(site, action, **conditions):
    """Return a plan's text, and the plan's runs with id, dag and configuration."""
    response = site.get(f"/plan?{urlencode({'action': action, **conditions})}")
    assert response.status_code == 200, response.text
    page = Document(response.text)
    runs = [found for tag, found in page.elements if tag == "li" and "data-run" in found]
    confs = Confs(response.text).confs
    return page.text, [
        (run["data-run"], run["data-dag"], conf) for run, conf in zip(runs, confs, strict=True)
    ]


class Confs(Document):
    """Configurations of a page's runs."""

    def __init__(self, html):
        self.confs, self._is_conf = [], False
        super().__init__(html)

    def handle_starttag(self, tag, attrs):
        self._is_conf = tag == "textarea" and "data-conf" in dict(attrs)
        super().handle_starttag(tag, attrs)

    def handle_data(self, data):
        if self._is_conf:
            self.confs.append(json.loads(data))
            self._is_conf = False
        super().handle_data(data)


def leave_out(warehouse, tables, *result_ids):
    with warehouse.begin() as connection:
        chosen = tables.links.c.result_id.in_(result_ids)
        values = {"left_out_at": func.current_timestamp(), "left_out_by": "ada"}
        connection.execute(
            update(tables.links).where(chosen).values(**values, left_out_reason="a test row")
        )


def test_rows_that_were_not_delivered_are_sent_again(site):
    """The run has the rows as they were seen; delivered ones are left, doubtful ones named."""
    shown, ((run_id, dag_id, conf),) = plan(site, "send-again")
    assert "3 rows of 2 integrations, about 1 minute." in shown
    assert "1 of them may exist already: sending it again can make a second result link" in shown
    assert "3 rows of the list stay as they are: delivered already." in shown
    assert run_id.startswith(f"page__send-again__{DAY}__")
    assert dag_id == "kombo_result_links"
    assert conf == {
        "assessment_date": str(DAY),
        "result_ids": ["blocked", "failed", "unknown"],
        "redeliver": ["failed", "unknown"],
        "seen": {"blocked": "blocked 1", "failed": "failed 1", "unknown": "unknown 1"},
    }


def test_delivered_rows_are_sent_again_only_where_they_were_chosen(site):
    """The filter for delivered rows, or one row, chooses them; the plan warns of second links."""
    shown, ((_, _, conf),) = plan(site, "send-again", status="success")
    assert "3 of them were delivered: sending them again would make a second" in shown
    assert conf["redeliver"] == ["success"]
    shown, ((_, _, conf),) = plan(site, "send-again", **key_of("done"))
    assert "1 of them was delivered: sending it again would make a second" in shown
    assert conf["result_ids"] == ["done"]


def test_rows_that_the_next_run_sends_anyway_need_no_word(site):
    """A blocked row is sent again without `redeliver`."""
    _, ((_, _, conf),) = plan(site, "send-again", status="blocked")
    assert conf == {"assessment_date": str(DAY), "result_ids": ["blocked"]}


def test_a_dry_run_is_for_all_rows(site):
    """A dry run shows the effect of a run by itself, also with delivered rows."""
    shown, ((_, _, conf),) = plan(site, "dry-run")
    assert conf["dry_run"] is True
    assert len(conf["result_ids"]) == 6
    assert "redeliver" not in conf
    assert "Reason" not in shown


@pytest.mark.parametrize(
    ("action", "decision"),
    [("created", Decision.CREATED), ("not-created", Decision.NOT_CREATED)],
)
def test_rows_in_doubt_are_decided_by_a_file(site, action, decision):
    """The decision is about the row and the attempt of the plan, for the deciding dag."""
    shown, ((_, dag_id, conf),) = plan(site, action)
    assert dag_id == "kombo_resolve_unknown"
    (line,) = read_decisions(conf["decisions"], "the person's reason").decided
    assert (line.key.result_id, line.attempt, line.decision) == ("unknown", 1, decision)
    assert line.reason == "the person's reason"
    assert "3 rows of the list stay as they are: success." in shown


def test_the_overview_names_the_rows_that_are_left_out(site, warehouse, tables):
    """Undelivered rows that are left out are in no reason, and have a line and a link."""
    leave_out(warehouse, tables, "failed", "done")
    page = Document(site.get("/").text)
    assert "1 undelivered row of these days is left out for good ." in page.text
    assert not [one for one in page.all("href") if "status=failed&error_code" in one]
    (link,) = (one for one in page.all("href") if "left_out=yes" in one)
    rows = Document(site.get(f"/{link}").text).all("href")
    assert len([one for one in rows if one.startswith("row?")]) == 2


def test_rows_are_left_out_and_taken_back(site, warehouse, tables):
    """A plan has only the rows not left out yet, or only those left out already."""
    leave_out(warehouse, tables, "failed", "done")
    shown, runs = plan(site, "leave-out", status="failed")
    assert runs == []
    assert "There is nothing to do." in shown
    shown, ((_, _, conf),) = plan(site, "leave-out")
    assert "2 rows of the list stay as they are: left out already." in shown
    assert len(read_decisions(conf["decisions"], "x").decided) == 4
    _, ((_, _, conf),) = plan(site, "take-back", left_out="yes")
    lines = read_decisions(conf["decisions"], "x").decided
    assert {(line.key.result_id, line.decision) for line in lines} == {
        ("failed", Decision.TAKE_BACK), ("done", Decision.TAKE_BACK),
    }  # fmt: skip
    shown, _ = plan(site, "send-again")
    assert "2 rows of the list stay as they are: left out already." in shown


def test_a_row_shows_that_a_person_left_the_row_out(site, warehouse, tables):
    """The row's view has person and reason, and the list marks and filters the row."""
    leave_out(warehouse, tables, "failed")
    shown = Document(site.get(f"/row?{urlencode(key_of('failed'))}").text).text
    assert "ada left this row out on" in shown
    assert "a test row . No run sends it." in shown or "a test row. No run sends it." in shown
    assert "Take it back" in shown
    assert "Send again" not in shown
    names = {
        given: [one for one in ("failed", "done") if f"result_id={one}" in
                site.get(f"/rows?left_out={given}").text]
        for given in ("yes", "no")
    }  # fmt: skip
    assert names == {"yes": ["failed"], "no": ["done"]}
    overview = Document(site.get("/").text).text
    assert "ATS.JOB_CLOSED" not in overview


def test_each_day_is_a_run(site, warehouse, tables):
    """The rows of several days become one run a day, the oldest first; no day, no run."""
    add_rows(warehouse, tables, ("a", 2, "failed"), ("b", 1, "failed"), ("c", None, "failed"))
    shown, runs = plan(site, "send-again", status="failed")
    assert [conf["result_ids"] for _, _, conf in runs] == [["a"], ["b"], ["failed"]]
    assert "1 row of the list stays as it is: without a day" in shown
    assert len({run_id for run_id, _, _ in runs}) == 3
    _, runs = plan(site, "leave-out", status="failed")
    assert len(runs) == 4


def test_a_plan_that_is_too_large_asks_for_a_narrower_filter(site, warehouse, tables, monkeypatch):
    """At most 31 days and 1,000 rows a run: beyond, no run is offered."""
    add_rows(warehouse, tables, *((f"r{number}", number, "failed") for number in range(32)))
    shown, runs = plan(site, "send-again", status="failed")
    assert runs == []
    assert "at most 31 days, and 1,000 rows of each day. Narrow the filter" in shown
    monkeypatch.setattr(action_plan, "MOST_IDS", 2)
    shown, runs = plan(site, "send-again", day=str(DAY))
    assert "Narrow the filter" in shown
    assert runs == []
    monkeypatch.setattr(action_plan, "MOST_ROWS", 2)
    assert plan(site, "dry-run", day=str(DAY))[1] == []


def test_a_plan_has_one_identity_until_a_row_changes(site, warehouse, tables):
    """Two people get one id for the same rows, and another id when a row has changed."""
    ((first, _, _),) = plan(site, "send-again", status="failed")[1]
    ((same, _, _),) = plan(site, "send-again", q="failed")[1]
    ((other, _, _),) = plan(site, "leave-out", status="failed")[1]
    assert first == same
    assert first != other
    with warehouse.begin() as connection:
        failed = tables.links.c.result_id == "failed"
        connection.execute(update(tables.links).where(failed).values(attempts=2))
    ((changed, _, _),) = plan(site, "send-again", status="failed")[1]
    assert changed != first


@pytest.mark.parametrize("action", ACTIONS)
def test_a_plan_changes_nothing(site, warehouse, tables, action):
    """A plan only reads."""
    before = all_of(warehouse, tables.links), all_of(warehouse, tables.attempts)
    plan(site, action)
    assert (all_of(warehouse, tables.links), all_of(warehouse, tables.attempts)) == before


def test_a_wrong_plan_is_refused(site):
    """An unknown action is an error of the address, and for a missing row, nothing is to do."""
    assert site.get("/plan?action=delete").status_code == 422
    assert site.get("/plan").status_code == 422
    shown, runs = plan(site, "send-again", **key_of("gone"))
    assert runs == []
    assert "There is nothing to do." in shown


def outcome(site, body):
    return [sentence["text"] for sentence in site.post("/outcome", json=body).json()]


def test_the_outcome_is_what_the_tables_have(site, warehouse, tables):
    """The outcome counts the rows by their status now, and those left out."""
    leave_out(warehouse, tables, "failed")
    body = {"action": "send-again", "dag_run_ids": ["x"], "result_ids": ["failed", "done", "gone"]}
    assert outcome(site, body) == ["2 rows now: 1 failed, 1 success.", "1 row of them left out."]
    body = {"action": "created", "dag_run_ids": [], "result_ids": ["done"]}
    assert outcome(site, body) == ["1 row now: 1 success."]
    assert site.post("/outcome", json={**body, "action": "delete"}).status_code == 422
    many = {**body, "result_ids": ["x"] * 31_001}
    assert site.post("/outcome", json=many).status_code == 422


def test_a_dry_run_without_rows_says_so(site, warehouse, tables):
    """A preview replaced by a later dry run is not shown as an empty one."""
    body = {"action": "dry-run", "dag_run_ids": ["gone"], "result_ids": []}
    for _ in range(2):
        assert "a later dry run" in outcome(site, body)[0]
        tables.create_preview(warehouse)


def test_the_page_works_over_tables_of_an_older_version(warehouse, tables):
    """Before the first run of this version, the columns of rows left out are missing."""
    fill_ledger(warehouse, tables)
    own = next(one for one in tables.links.indexes if str(one.name).endswith("_left_out"))
    with warehouse.begin() as connection:
        own.drop(connection, checkfirst=True)  # SQLite drops no column that an index names
        for name in ("left_out_by", "left_out_at", "left_out_reason"):
            connection.execute(text(f"ALTER TABLE {tables.links.name} DROP COLUMN {name}"))
    site = Browser.of(lambda: warehouse, tables)
    for path in ("/", "/rows", "/rows?left_out=no", f"/row?{urlencode(key_of('failed'))}"):
        assert site.get(path).status_code == 200, path
    assert len(plan(site, "send-again")[1]) == 1
