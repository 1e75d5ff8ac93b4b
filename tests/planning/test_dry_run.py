"""Dry runs: each row's action in a table, and nothing sent."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta, timezone
from uuid import uuid4

import pytest
from sqlalchemy import event, func, inspect, select, text, update
from support.harness import (
    DAY,
    SQL,
    all_of,
    by_result,
    delivery,
    fill,
    mapped_rows,
    row,
    run_day,
)

from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.redaction import Redactor
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.planning import dry_run as dry_runs
from airflow_kombo.planning.planner import Planner
from airflow_kombo.rows.query_source import QuerySource, parameters_of
from airflow_kombo.rows.source import Selection

TASK = {"dag_id": "dag", "task_id": "deliver", "map_index": -1}


def dry_run(warehouse, tables, *, day=DAY, page_rows=1000, kept=None, dag="dag", **selected):
    """Do a dry run of a day, and return its report."""
    selection = Selection(**selected, also_done=True)
    source = QuerySource(
        warehouse,
        tables,
        SQL,
        parameters_of(day),
        selection=selection,
        default_integration="workday:one",
    )
    rows = mapped_rows(source, selection, "workday:one", page_rows=page_rows)
    ledger = Ledger(warehouse, tables, kept)
    run = Run(str(uuid4()), **TASK | {"dag_id": dag}, dag_run_id="manual", assessment_date=day)
    return dry_runs.dry_run(run, Planner(rows, ledger, selection))


def counted(report):
    return {name: dict(sender) for name, sender in report.senders.items()}


def actions(warehouse, tables):
    """Read the actions of the preview table by result id, in the order of the rows."""
    found = {}
    for one in sorted(all_of(warehouse, tables.preview), key=lambda one: one.number):
        found.setdefault(one.result_id, []).append(one.action)
    return found


def test_a_dry_run_plans_the_actions_of_the_run(warehouse, tables, source_table, standin):
    """A dry run plans the actions of the next run, sends nothing and changes no status."""
    rows = [row(f"r{number}") for number in range(20)]
    rows[3] |= {"result_url": "ftp://results.example"}
    rows[4] |= {"candidate_id": rows[5]["candidate_id"], "result_url": rows[5]["result_url"]}
    fill(warehouse, source_table, rows)
    report = dry_run(warehouse, tables)
    assert counted(report) == {"workday:one": {"send": 18, "invalid": 1, "duplicate": 1}}
    assert standin.stats()["received"] == 0
    assert all_of(warehouse, tables.links) == all_of(warehouse, tables.runs) == []
    assert run_day(warehouse, tables).senders["workday:one"] == {"success": 18, "invalid": 2}
    requests = {one.result_id: one.request for one in all_of(warehouse, tables.attempts)}
    previewed = {one.result_id: one for one in all_of(warehouse, tables.preview)}
    assert {name: previewed[name].request for name in requests} == requests
    for name, link in by_result(warehouse, tables).items():
        if link.status == "invalid":
            planned = previewed[name]
            planned_error = (planned.error_code, planned.error_message)
            assert planned_error == (link.error_code, link.error_message)


@pytest.fixture
def settled(warehouse, tables, source_table, standin):
    """Make a day with every status, then correct, change and break some of its rows."""
    names = ["delivered", "changed", "broken", "refused", "corrected", "bad", "unknown", "sending"]
    fill(warehouse, source_table, [row(name) for name in names])
    with warehouse.begin() as connection:
        bad = update(source_table).where(source_table.c.result_id == "bad")
        connection.execute(bad.values(result_url="ftp://results.example"))
    for name in ("refused", "corrected"):
        rule = {"kind": "answer", "status": 400, "code": "ATS.JOB_CLOSED"}
        standin.add_rule(rule, url=f"https://results.example/{name}")
    wanted = frozenset(names) - {"unknown", "sending"}
    run_day(warehouse, tables, result_ids=wanted)
    Runs(warehouse, tables).start(Run("other"))
    Ledger(warehouse, tables).claim(
        "other",
        [delivery(name, target_id=f"candidate-{name}") for name in ("unknown", "sending")],
    )
    Runs(warehouse, tables).finish("other", {})  # or the next run would wait for it
    with warehouse.begin() as connection:
        links = tables.links
        of_unknown = update(links).where(links.c.result_id == "unknown")
        connection.execute(of_unknown.values(status="unknown"))
        for name, url in [("changed", "https://new.example"), ("broken", ""), ("corrected", None)]:
            changes = {"assessment_name": "New"} if url is None else {"result_url": url}
            of_row = update(source_table).where(source_table.c.result_id == name)
            connection.execute(of_row.values(**changes))
    fill(warehouse, source_table, [row("new"), row("late", assessment_name=None)])


def test_each_row_has_its_action(warehouse, tables, settled, standin):
    """The preview table has all rows of the day, also the done ones, each with its action."""
    standin.clear_rules()
    received = standin.stats()["received"]
    dry_run(warehouse, tables)
    expected = {
        "new": ["send"],
        "corrected": ["send"],
        "delivered": ["delivered"],
        "changed": ["changed"],
        "broken": ["changed"],
        "refused": ["refused"],
        "bad": ["invalid"],
        "late": ["invalid"],
        "unknown": ["unknown"],
        "sending": ["sending"],
    }
    assert actions(warehouse, tables) == expected
    rows = {one.result_id: one for one in all_of(warehouse, tables.preview)}
    assert (rows["new"].status, rows["corrected"].status) == (None, "failed")
    assert (rows["refused"].error_code, rows["bad"].error_code) == (
        "ATS.JOB_CLOSED",
        "invalid_field",
    )
    assert (rows["broken"].status, rows["broken"].error_message.split(":")[0]) == ("success", "url")
    assert rows["changed"].assessment_date == rows["changed"].run_date == DAY
    assert "https://new.example" in rows["changed"].request
    assert rows["late"].request is None
    assert standin.stats()["received"] == received


def test_a_run_sends_the_rows_planned_by_the_dry_run(warehouse, tables, settled, standin):
    """Of all kinds of rows, a run sends those with the action `send`, and no others."""
    standin.clear_rules()
    before = standin.stats()["received"]
    planned = dry_run(warehouse, tables).counts
    counts = run_day(warehouse, tables).counts
    assert planned["send"] == counts["success"] == standin.stats()["received"] - before == 2
    assert dry_run(warehouse, tables).counts["send"] == 0


def test_a_dry_run_obeys_redeliver(warehouse, tables, settled, standin):
    """With `redeliver`, a dry run plans to send done rows too, except the unchanged ones."""
    report = dry_run(warehouse, tables, redeliver=frozenset({"failed", "changed"}))
    sent = {name for name, (action,) in actions(warehouse, tables).items() if action == "send"}
    assert sent == {"new", "corrected", "refused", "changed"}
    assert report.to_send == {"workday:one": 4}
    assert report.counts["delivered"] == 1


@pytest.mark.parametrize("page_rows", [1, 3, 1000])
def test_duplicates_are_found_on_all_pages(warehouse, tables, source_table, standin, page_rows):
    """A row or link that the source has twice is planned once, also on different pages."""
    rows = [row(f"r{number}") for number in range(9)]
    rows[8] |= {name: rows[0][name] for name in ("candidate_id", "result_url")}
    fill(warehouse, source_table, [*rows, row("r3"), {**rows[5], "result_id": " r5"}])
    blank = row("r6", integration_id=None, result_url="https://results.example/other")
    fill(warehouse, source_table, [blank])
    planned = dry_run(warehouse, tables, page_rows=page_rows).counts
    assert planned == {"send": 8, "duplicate": 4}
    found = actions(warehouse, tables)
    assert (found["r0"], found["r8"]) == (["send"], ["duplicate"])
    assert sorted(found["r5"] + found["r3"] + found["r6"]) == ["duplicate"] * 3 + ["send"] * 3
    (double,) = [one for one in all_of(warehouse, tables.preview) if one.result_id == "r8"]
    assert (double.error_code, "as r0" in double.error_message) == ("duplicate_of", True)
    counts = run_day(warehouse, tables).counts
    assert (counts["success"], standin.stats()["received"]) == (8, 8)


def test_a_changed_row_keeps_no_link_from_others(warehouse, tables, source_table, standin):
    """A new row is no duplicate of a delivered row with the same new link."""
    fill(warehouse, source_table, [row("a", candidate_id="x"), row("b", candidate_id="x")])
    run_day(warehouse, tables, result_ids=frozenset("a"))
    with warehouse.begin() as connection:
        connection.execute(update(source_table).values(result_url="https://results.example/b"))
    dry_run(warehouse, tables)
    assert actions(warehouse, tables) == {"a": ["changed"], "b": ["send"]}
    assert run_day(warehouse, tables).counts == {"success": 1}


def test_a_dry_run_replaces_the_last_one_of_its_day(warehouse, tables, source_table, standin):
    """The table has the last dry run of each task and day, and none older than a week."""
    fill(warehouse, source_table, [row("r1"), row("r2")])
    tomorrow = DAY + timedelta(days=1)
    fill(warehouse, source_table, [row("r3", assessment_date=tomorrow)])
    for day, dag in [(DAY, "dag"), (tomorrow, "dag"), (DAY, "other"), (DAY, "dag")]:
        dry_run(warehouse, tables, day=day, dag=dag)

    def kept():
        rows = all_of(warehouse, tables.preview)
        return sorted((one.dag_id, one.run_date, one.result_id) for one in rows)

    mine, others = [("dag", DAY, "r1"), ("dag", DAY, "r2"), ("dag", tomorrow, "r3")], "other"
    assert kept() == [*mine, (others, DAY, "r1"), (others, DAY, "r2")]
    table = tables.preview
    with warehouse.begin() as connection:
        now = datetime.now(timezone.utc)
        for days, dag in [(8, "other"), (6, "dag")]:
            aged = update(table).where(table.c.dag_id == dag)
            connection.execute(aged.values(previewed_at=now - timedelta(days=days)))
    dry_run(warehouse, tables)
    assert kept() == mine


def test_a_dry_run_masks_requests_as_the_history_does(warehouse, tables, source_table, standin):
    """Masked members are masked in the preview table too, and `store_request` holds there."""
    fill(warehouse, source_table, [row("r1")])
    dry_run(warehouse, tables, kept=Redactor(["label"]))
    (one,) = all_of(warehouse, tables.preview)
    assert json.loads(one.request)["label"] == "***"
    dry_run(warehouse, tables, kept=Redactor(store=False))
    (one,) = all_of(warehouse, tables.preview)
    assert one.request is None


def test_the_log_has_ids_and_the_query_and_no_personal_data(
    warehouse, tables, source_table, standin, caplog
):
    """The log has result ids and the query for the rest; requests stay in the warehouse."""
    caplog.set_level(logging.INFO, logger="airflow_kombo")
    canary = "canary5e1f"
    rows = [row(f"r{n}", candidate_id=f"{canary}{n}", assessment_name=canary) for n in range(5)]
    fill(warehouse, source_table, [*rows, row("bad", result_url=f"javascript:{canary}")])
    dry_run(warehouse, tables)
    assert canary not in caplog.text
    assert "Examples of send: r0, r1, r2\n" in caplog.text
    assert "1 rows would be invalid: url: must be a whole http" in caplog.text
    query = caplog.text.split("with its request: ")[1].splitlines()[0]
    with warehouse.connect() as connection:
        rows = connection.execute(text(query)).all()
    assert {one.action for one in rows} == {"send", "invalid"}
    assert canary in next(one.request for one in rows if one.result_id == "r0")


@pytest.mark.parametrize("warehouse", ["postgresql"], indirect=True)
def test_only_a_dry_run_needs_its_table(warehouse, tables, source_table, standin):
    """A user without the right to make tables delivers, with and without the preview table."""
    fill(warehouse, source_table, [row("r1"), row("r2")])
    with warehouse.begin() as connection:
        schema = connection.execute(select(func.current_schema())).scalar_one()
        connection.execute(text(f"CREATE ROLE user_of_{schema}"))
        connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO user_of_{schema}"))
        connection.execute(text(f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO user_of_{schema}"))

    @event.listens_for(warehouse, "begin")
    def become(connection):
        connection.exec_driver_sql(f"SET LOCAL ROLE user_of_{schema}")

    tables.create(warehouse)
    assert not inspect(warehouse).has_table(tables.preview.name)
    assert run_day(warehouse, tables, limit=1).counts == {"success": 1}
    with pytest.raises(ConfigurationError, match="could not make kombo_result_link_preview"):
        dry_run(warehouse, tables)
    event.remove(warehouse, "begin", become)
    dry_run(warehouse, tables)
    event.listen(warehouse, "begin", become)
    tables.create(warehouse)
    assert run_day(warehouse, tables).counts == {"success": 1}
    event.remove(warehouse, "begin", become)
    with warehouse.begin() as connection:
        grant = f"GRANT SELECT, INSERT, DELETE ON {tables.preview.name} TO user_of_{schema}"
        connection.execute(text(grant))
    event.listen(warehouse, "begin", become)
    assert dry_run(warehouse, tables).counts == {"delivered": 2}
    event.remove(warehouse, "begin", become)


def test_a_day_without_a_row_names_the_likely_mistake(warehouse, tables, source_table, caplog):
    """A newcomer's day of timestamps matches nothing, and the log says why that may be."""
    dry_run(warehouse, tables)
    assert "gives no row for 2026-11-03" in caplog.text
    assert "CAST(... AS date)" in caplog.text


def test_memory_does_not_grow_with_the_day(warehouse, tables, source_table, standin, monkeypatch):
    """A dry run holds one batch of rows, and writes the batch before reading the next."""
    fill(warehouse, source_table, [row(f"r{number:03}") for number in range(60)])
    statements = []
    listener = lambda *arguments: statements.append(arguments[2])  # noqa: E731 - SQLAlchemy's form
    event.listen(warehouse, "before_cursor_execute", listener)
    monkeypatch.setattr("airflow_kombo.planning.planner._LOOKUP_ROWS", 10)
    dry_run(warehouse, tables, page_rows=7)
    event.remove(warehouse, "before_cursor_execute", listener)
    writes = [one for one in statements if one.startswith("INSERT INTO kombo_result_link_preview")]
    assert len(writes) == 6
    assert len(all_of(warehouse, tables.preview)) == 60
