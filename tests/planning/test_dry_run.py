from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta, timezone
from uuid import uuid4

import pytest
from sqlalchemy import event, func, inspect, select, text, update
from support.harness import DAY, MAPPING, SQL, all_of, by_result, delivery, fill, row, run_day

from airflow_kombo.exceptions import LedgerError
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.redaction import redactor
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.planning.dry_run import preview
from airflow_kombo.planning.planner import Planner
from airflow_kombo.rows.query_source import QuerySource, parameters_of
from airflow_kombo.rows.result_link_mapping import ResultLinkMapping
from airflow_kombo.rows.source import Selection

TASK = {"dag_id": "dag", "task_id": "deliver", "map_index": -1}


def dry_run(warehouse, tables, *, day=DAY, page_rows=1000, kept=None, dag="dag", **selected):
    """Foresee a day, and give what was foreseen: rows by integration and verdict."""
    selection = Selection(**selected, also_done=True)
    source = QuerySource(
        warehouse,
        tables,
        SQL,
        parameters_of(day),
        selection=selection,
        default_integration="workday:one",
        page_rows=page_rows,
    )
    mapping, ledger = ResultLinkMapping.load(MAPPING), Ledger(warehouse, tables, kept)
    run = Run(str(uuid4()), **TASK | {"dag_id": dag}, dag_run_id="manual", assessment_date=day)
    return preview(run, Planner(source, mapping, ledger, selection, "workday:one"))


def counted(previewed):
    return {name: dict(sender) for name, sender in previewed.senders.items()}


def verdicts(warehouse, tables):
    """Give the table of dry runs by result id: the verdicts, in the rows' order."""
    found = {}
    for one in sorted(all_of(warehouse, tables.preview), key=lambda one: one.number):
        found.setdefault(one.result_id, []).append(one.verdict)
    return found


def test_a_dry_run_says_what_a_run_does(warehouse, tables, source_table, standin):
    """What is foreseen is what happens, and foreseeing it sends nothing and changes no row."""
    rows = [row(f"r{number}") for number in range(20)]
    rows[3] |= {"result_url": "ftp://results.example"}
    rows[4] |= {"candidate_id": rows[5]["candidate_id"], "result_url": rows[5]["result_url"]}
    fill(warehouse, source_table, rows)
    foreseen = dry_run(warehouse, tables)
    assert counted(foreseen) == {"workday:one": {"send": 18, "invalid": 1, "duplicate": 1}}
    assert standin.stats()["received"] == 0
    assert all_of(warehouse, tables.links) == all_of(warehouse, tables.runs) == []
    assert run_day(warehouse, tables).senders["workday:one"] == {"success": 18, "invalid": 2}
    requests = {one.result_id: one.request for one in all_of(warehouse, tables.attempts)}
    previewed = {one.result_id: one for one in all_of(warehouse, tables.preview)}
    assert {name: previewed[name].request for name in requests} == requests
    for name, link in by_result(warehouse, tables).items():
        if link.status == "invalid":
            seen = previewed[name]
            assert (seen.error_code, seen.error_message) == (link.error_code, link.error_message)


@pytest.fixture
def settled(warehouse, tables, source_table, standin):
    """Fill a day in which every status is, then mend, change and break some of its rows."""
    names = ["delivered", "changed", "broken", "refused", "mended", "bad", "unknown", "sending"]
    fill(warehouse, source_table, [row(name) for name in names])
    with warehouse.begin() as connection:
        bad = update(source_table).where(source_table.c.result_id == "bad")
        connection.execute(bad.values(result_url="ftp://results.example"))
    for name in ("refused", "mended"):
        answer = {"kind": "answer", "status": 400, "code": "ATS.JOB_CLOSED"}
        standin.add_rule(answer, url=f"https://results.example/{name}")
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
        for name, url in [("changed", "https://new.example"), ("broken", ""), ("mended", None)]:
            changes = {"assessment_name": "New"} if url is None else {"result_url": url}
            of_row = update(source_table).where(source_table.c.result_id == name)
            connection.execute(of_row.values(**changes))
    fill(warehouse, source_table, [row("new"), row("late", assessment_name=None)])


def test_each_row_has_its_verdict(warehouse, tables, settled, standin):
    """Done rows are in it too, with what makes them different; a delivered one is never sent."""
    standin.clear_rules()
    received = standin.stats()["received"]
    dry_run(warehouse, tables)
    expected = {
        "new": ["send"],
        "mended": ["send"],
        "delivered": ["delivered"],
        "changed": ["changed"],
        "broken": ["changed"],
        "refused": ["refused"],
        "bad": ["invalid"],
        "late": ["invalid"],
        "unknown": ["unknown"],
        "sending": ["sending"],
    }
    assert verdicts(warehouse, tables) == expected
    rows = {one.result_id: one for one in all_of(warehouse, tables.preview)}
    assert (rows["new"].status, rows["mended"].status) == (None, "failed")
    assert (rows["refused"].error_code, rows["bad"].error_code) == (
        "ATS.JOB_CLOSED",
        "invalid_field",
    )
    assert (rows["broken"].status, rows["broken"].error_message.split(":")[0]) == ("success", "url")
    assert rows["changed"].assessment_date == rows["changed"].run_date == DAY
    assert "https://new.example" in rows["changed"].request
    assert rows["late"].request is None
    assert standin.stats()["received"] == received


def test_a_run_does_what_the_dry_run_said(warehouse, tables, settled, standin):
    """After every kind of row was foreseen, a run sends those that were to be sent, no other."""
    standin.clear_rules()
    before = standin.stats()["received"]
    foreseen = dry_run(warehouse, tables).counts
    counts = run_day(warehouse, tables).counts
    assert foreseen["send"] == counts["success"] == standin.stats()["received"] - before == 2
    assert dry_run(warehouse, tables).counts["send"] == 0


def test_what_may_be_sent_again_is_foreseen(warehouse, tables, settled, standin):
    """With `redeliver`, a dry run says which rows that sends, and which of them are unchanged."""
    foreseen = dry_run(warehouse, tables, redeliver=frozenset({"failed", "changed"}))
    sent = {name for name, (verdict,) in verdicts(warehouse, tables).items() if verdict == "send"}
    assert sent == {"new", "mended", "refused", "changed"}
    assert foreseen.to_send == {"workday:one": 4}
    assert foreseen.counts["delivered"] == 1


@pytest.mark.parametrize("page_rows", [1, 3, 1000])
def test_copies_and_doubled_links_are_foreseen_wherever_they_are(
    warehouse, tables, source_table, standin, page_rows
):
    """A row that comes twice, or a link under two results, is sent once, also from far pages."""
    rows = [row(f"r{number}") for number in range(9)]
    rows[8] |= {name: rows[0][name] for name in ("candidate_id", "result_url")}
    fill(warehouse, source_table, [*rows, row("r3"), {**rows[5], "result_id": " r5"}])
    blank = row("r6", integration_id=None, result_url="https://results.example/other")
    fill(warehouse, source_table, [blank])
    foreseen = dry_run(warehouse, tables, page_rows=page_rows).counts
    assert foreseen == {"send": 8, "duplicate": 4}
    found = verdicts(warehouse, tables)
    assert (found["r0"], found["r8"]) == (["send"], ["duplicate"])
    assert sorted(found["r5"] + found["r3"] + found["r6"]) == ["duplicate"] * 3 + ["send"] * 3
    (double,) = [one for one in all_of(warehouse, tables.preview) if one.result_id == "r8"]
    assert (double.error_code, "as r0" in double.error_message) == ("duplicate_of", True)
    counts = run_day(warehouse, tables).counts
    assert (counts["success"], standin.stats()["received"]) == (8, 8)


def test_a_changed_row_keeps_no_link_from_others(warehouse, tables, source_table, standin):
    """A delivered row that is not sent again does not make a duplicate of one that is new."""
    fill(warehouse, source_table, [row("a", candidate_id="x"), row("b", candidate_id="x")])
    run_day(warehouse, tables, result_ids=frozenset("a"))
    with warehouse.begin() as connection:
        connection.execute(update(source_table).values(result_url="https://results.example/b"))
    dry_run(warehouse, tables)
    assert verdicts(warehouse, tables) == {"a": ["changed"], "b": ["send"]}
    assert run_day(warehouse, tables).counts == {"success": 1}


def test_a_preview_takes_the_place_of_the_days_last(warehouse, tables, source_table, standin):
    """The table holds the last preview of each task and day, and none that is over a week old."""
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


def test_a_preview_keeps_of_a_request_what_the_history_keeps(
    warehouse, tables, source_table, standin
):
    """Masked members are masked here too, and where no request is stored, none is here."""
    fill(warehouse, source_table, [row("r1")])
    dry_run(warehouse, tables, kept=redactor(["label"]))
    (one,) = all_of(warehouse, tables.preview)
    assert json.loads(one.request)["label"] == "***"
    dry_run(warehouse, tables, kept=redactor(store=False))
    (one,) = all_of(warehouse, tables.preview)
    assert one.request is None


def test_the_log_has_ids_and_where_to_look_and_no_person(
    warehouse, tables, source_table, standin, caplog
):
    """Examples are told by their ids; what is in them stays in the warehouse."""
    caplog.set_level(logging.INFO, logger="airflow_kombo")
    canary = "canary5e1f"
    rows = [row(f"r{n}", candidate_id=f"{canary}{n}", assessment_name=canary) for n in range(5)]
    fill(warehouse, source_table, [*rows, row("bad", result_url=f"javascript:{canary}")])
    dry_run(warehouse, tables)
    assert canary not in caplog.text
    assert "For example send: r0, r1, r2\n" in caplog.text
    assert "1 rows would be invalid: url: must be a whole http" in caplog.text
    question = caplog.text.split("with its request: ")[1].splitlines()[0]
    with warehouse.connect() as connection:
        told = connection.execute(text(question)).all()
    assert {one.verdict for one in told} == {"send", "invalid"}
    assert canary in next(one.request for one in told if one.result_id == "r0")


@pytest.mark.parametrize("warehouse", ["postgresql"], indirect=True)
def test_only_a_dry_run_needs_its_table(warehouse, tables, source_table, standin):
    """A user who may make no table delivers, with and without the table of dry runs."""
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
    with pytest.raises(LedgerError, match="could not make kombo_result_link_preview"):
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


def test_memory_does_not_grow_with_the_day(warehouse, tables, source_table, standin, monkeypatch):
    """A dry run holds a batch of rows at a time: each is written before the next is read."""
    fill(warehouse, source_table, [row(f"r{number:03}") for number in range(60)])
    statements = []
    listener = lambda *arguments: statements.append(arguments[2])  # noqa: E731 - SQLAlchemy's form
    event.listen(warehouse, "before_cursor_execute", listener)
    monkeypatch.setattr("airflow_kombo.planning.planner._LOOKED_UP", 10)
    dry_run(warehouse, tables, page_rows=7)
    event.remove(warehouse, "before_cursor_execute", listener)
    writes = [one for one in statements if one.startswith("INSERT INTO kombo_result_link_preview")]
    assert len(writes) == 6
    assert len(all_of(warehouse, tables.preview)) == 60
