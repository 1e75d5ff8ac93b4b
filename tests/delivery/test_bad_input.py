"""Bad rows of a day, on SQLite and PostgreSQL: each gets a reason; good rows arrive."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timezone
from decimal import Decimal

import pytest
from sqlalchemy import text
from support.harness import DAY, all_of, by_result, can_store, fill, make_run, row, run_day

from airflow_kombo.database.connections import engine_of
from airflow_kombo.exceptions import ConfigurationError, MappingError
from airflow_kombo.hooks.kombo import KomboHook
from airflow_kombo.rows.query_source import QuerySource, parameters_of, rows_of_day
from airflow_kombo.rows.result_link_mapping import ResultLinkMapping
from airflow_kombo.rows.source import Selection
from airflow_kombo.rows.task_source import TaskSource

CANARY = "Zq7canary"  # stands for personal data
URL = "url: must be a whole http:// or https:// address without blanks"
NO_DOTS = "must not be a dot segment: it would change the path"
NOT_PRINTABLE = "must be printable text of at most 250 bytes"
EMPTY = "is empty: fill it"
NO_INTEGRATION = "integration_id: is empty: fill the column, or the connection's default"
NO_TARGET = "candidate_id: is empty, and so is application_id: fill one of them"

# The deployment's own mapping may change freely: these rows have one of their own.
MAPPING = ResultLinkMapping.parse(
    {
        "label": "{{ assessment_name }}",
        "url": {"column": "result_url"},
        "attributes": {
            "Score": {"column": "score", "format": "percent", "of": "max_score"},
            "Duration": {"column": "duration_seconds", "format": "duration"},
            "Completed": {"column": "completed_at", "format": "date"},
        },
        "remote_fields": {"column": "remote_fields"},
    }
)
INVALID = [
    ({"integration_id": None}, NO_INTEGRATION),
    ({"integration_id": " "}, NO_INTEGRATION),
    (
        {"integration_id": f"größe:{CANARY}"},
        "integration_id: must be ASCII: it is sent in a header",
    ),
    ({"candidate_id": None}, NO_TARGET),
    ({"candidate_id": " \t", "application_id": ""}, NO_TARGET),
    ({"candidate_id": ".."}, f"candidate_id: {NO_DOTS}"),
    ({"application_id": "."}, f"application_id: {NO_DOTS}"),
    ({"candidate_id": f"{CANARY}\r\nX-Injected: 1"}, f"candidate_id: {NOT_PRINTABLE}"),
    ({"candidate_id": CANARY * 99}, f"candidate_id: {NOT_PRINTABLE}"),
    ({"result_url": f"{CANARY}/no/address"}, URL),
    ({"result_url": f"https://results.example/{CANARY} blank"}, URL),
    ({"result_url": f"https://results.example/{CANARY}\r\n"}, URL),
    ({"result_url": f"javascript:alert('{CANARY}')"}, URL),
    ({"result_url": None}, "url: is empty: fill the column or change the mapping"),
    ({"assessment_name": " "}, "label: is empty: fill the column or change the mapping"),
    ({"remote_fields": f'{{"{CANARY}": '}, "remote_fields: must be valid JSON"),
    ({"remote_fields": f'{{"{CANARY}": NaN}}'}, "remote_fields: must be valid JSON"),
    ({"remote_fields": f'["{CANARY}"]'}, "remote_fields: must be a JSON object"),
    (
        {"remote_fields": f'{{"icims": {{"assessment_package_id": ["{CANARY}"]}}}}'},
        "remote_fields.icims.assessment_package_id: Input should be a valid string",
    ),
    ({"score": float("inf")}, "attributes.Score: must be a finite number"),
    ({"score": float("-inf")}, "attributes.Score: must be a finite number"),
    (
        {"max_score": 0.0},
        "attributes.Score: cannot be a share of a whole that is not above zero",
    ),
    (
        {"duration_seconds": -1},
        "attributes.Duration: must not be a negative number of seconds",
    ),
]

GOOD = [
    ({}, {"Score": "95%", "Duration": "2:30h"}),
    ({"candidate_id": "a/b"}, {"Score": "95%", "Duration": "2:30h"}),
    ({"candidate_id": "../a?b=c#d"}, {"Score": "95%", "Duration": "2:30h"}),
    ({"assessment_name": "ä" * 10_000}, {"Score": "95%", "Duration": "2:30h"}),
    ({"remote_fields": '{"new_ats": {"x": [1, null]}}'}, {"Score": "95%", "Duration": "2:30h"}),
    ({"score": float("nan")}, {"Duration": "2:30h"}),
    ({"score": None, "duration_seconds": None}, {}),
    ({"score": 20.50}, {"Score": "20.5%", "Duration": "2:30h"}),
    (
        {"completed_at": datetime(2026, 11, 3, 23, 59)},
        {"Score": "95%", "Duration": "2:30h", "Completed": "2026-11-03"},
    ),
]


def attributes_of(request):
    lines = request.get("details", {"attributes": []})["attributes"]
    return {line["key"]: line["value"] for line in lines}


@pytest.mark.parametrize("given", ["query", "task"])
def test_a_hostile_day_never_stops_the_good_rows(warehouse, tables, source_table, standin, given):
    """Each bad row is `invalid` with field, reason and fix; the good rows arrive."""
    invalid = [one for one in INVALID if given == "task" or can_store(warehouse, one[0])]
    fine = [one for one in GOOD if given == "task" or can_store(warehouse, one[0])]
    bad = {f"bad{n:02}": (row(f"bad{n:02}", **one), why) for n, (one, why) in enumerate(invalid)}
    good = {f"good{n}": (row(f"good{n}", **one), shown) for n, (one, shown) in enumerate(fine)}
    rows = [one for one, _ in (*bad.values(), *good.values())]
    if given == "query":
        fill(warehouse, source_table, rows)
        report = run_day(warehouse, tables, mapping=MAPPING)
    else:
        source = TaskSource(rows)
        report = run_day(warehouse, tables, source=source, mapping=MAPPING)
    links = by_result(warehouse, tables)
    assert {name: links[name].error_message for name in bad} == {
        name: why for name, (_, why) in bad.items()
    }
    assert {links[name].status for name in bad} == {"invalid"}
    assert {links[name].error_code for name in bad} == {"missing_field", "invalid_field"}
    assert {name: links[name].status for name in good} == dict.fromkeys(good, "success")
    sent = {one.result_id: json.loads(one.request) for one in all_of(warehouse, tables.attempts)}
    assert {name: attributes_of(request) for name, request in sent.items()} == {
        name: shown for name, (_, shown) in good.items()
    }
    assert {one["label"] for one in standin.links()} == {"Coding", "ä" * 10_000}
    assert {one["target_id"] for one in standin.links()} >= {"a/b", "../a?b=c#d"}
    assert report.counts == {"invalid": len(invalid), "success": len(fine)}


def test_messages_have_nothing_of_a_persons(warehouse, tables, source_table, standin, caplog):
    """Neither the status table nor the log quotes a value of a bad row."""
    invalid = [one for one, _ in INVALID if can_store(warehouse, one)]
    fill(warehouse, source_table, [row(f"r{n}", **one) for n, one in enumerate(invalid)])
    run_day(warehouse, tables)
    messages = [link.error_message for link in all_of(warehouse, tables.links)]
    assert CANARY not in "".join(messages)
    assert CANARY not in caplog.text


@pytest.mark.parametrize("result_id", [None, "", " \t"])
def test_rows_without_a_result_id_have_a_status_each(
    warehouse, tables, source_table, standin, result_id
):
    """Rows without a result id have keys made of their content, the same ones every day."""
    rows = [row("r", candidate_id=name) | {"result_id": result_id} for name in ("c1", "c2")]
    fill(warehouse, source_table, [*rows, row("good")])
    assert run_day(warehouse, tables).counts == {"invalid": 2, "success": 1}
    assert run_day(warehouse, tables).counts == {"skipped": 2}
    links = [link for link in all_of(warehouse, tables.links) if link.status == "invalid"]
    assert [link.error_message for link in links] == [f"result_id: {EMPTY}"] * 2
    assert {link.target_id for link in links} == {"c1", "c2"}


@pytest.mark.parametrize("score", [Decimal("95.50"), Decimal("9.55E+1")])
def test_a_decimal_is_written_as_a_person_would(warehouse, tables, standin, score):
    """No trailing zero and no exponent of a DECIMAL column reaches the ATS."""
    source = TaskSource([row("r1", score=score, max_score=None)])
    mapping = {"label": "x", "url": {"column": "result_url"}, "attributes": {"A": "{{ score }}"}}
    run_day(warehouse, tables, source=source, mapping=ResultLinkMapping.parse(mapping))
    (attempt,) = all_of(warehouse, tables.attempts)
    assert attributes_of(json.loads(attempt.request)) == {"A": "95.5"}


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 11, 3, 23, 59),
        datetime(2026, 11, 3, 23, 59, tzinfo=timezone.utc),
        "2026-11-03T23:59:00",
        "2026-11-03 23:59:00Z",
    ],
)
def test_a_timestamp_keeps_its_day(warehouse, tables, standin, moment):
    """A time with or without a time zone is shown as the day of its own time zone."""
    source = TaskSource([row("r1", completed_at=moment)])
    run_day(warehouse, tables, source=source, mapping=MAPPING)
    (attempt,) = all_of(warehouse, tables.attempts)
    assert attributes_of(json.loads(attempt.request))["Completed"] == "2026-11-03"


def test_the_same_link_twice_names_the_first(warehouse, tables, source_table, standin):
    """A link under two result ids is sent once; the other row names the first."""
    same = {"candidate_id": "c1", "result_url": f"https://results.example/{CANARY}"}
    fill(warehouse, source_table, [row("first", **same), row("second", **same)])
    assert run_day(warehouse, tables).counts == {"success": 1, "invalid": 1}
    link = by_result(warehouse, tables)["second"]
    assert link.error_code == "duplicate_of"
    assert link.error_message == (
        "url: the same result link is on the same candidate as first: if these are two results,"
        " give each a url of its own"
    )
    assert standin.stats()["received"] == 1


@pytest.mark.parametrize("differs", [{}, {"assessment_name": "Another"}])
def test_a_key_that_appears_twice_is_sent_once(warehouse, tables, source_table, standin, differs):
    """One of several rows with one key is sent, and the others are counted as skipped."""
    fill(warehouse, source_table, [row("r1"), row("r1", **differs), row("r2")])
    report = run_day(warehouse, tables)
    assert (report.planned, report.counts) == (3, {"success": 2, "skipped": 1})
    assert standin.stats()["received"] == 2


# A whole day that cannot be read: nothing is sent ------------------------------------------------


def test_an_empty_table_is_a_day_without_rows(warehouse, tables, source_table, standin):
    """An empty table gives a run with zero rows and no error."""
    assert run_day(warehouse, tables).counts == {}
    (account,) = all_of(warehouse, tables.runs)
    assert (account.planned, account.success, account.error) == (0, 0, None)
    assert run_day(warehouse, tables, source=TaskSource([])).planned == 0


@pytest.mark.parametrize("dropped", ["score", "candidate_id"])
def test_a_column_that_vanished_is_named(warehouse, tables, source_table, standin, dropped):
    """Query and mapping both name a missing column."""
    with warehouse.begin() as connection:
        connection.execute(text(f"ALTER TABLE assessment_results DROP COLUMN {dropped}"))
    with pytest.raises(ConfigurationError, match=f"cannot run: .*{dropped}"):
        asyncio.run(make_run(warehouse, tables)())
    whole = rows_of_day("assessment_results", str)
    mapping = ResultLinkMapping.parse({"label": "x", "url": "{{ result_url }}{{ score }}"})
    with pytest.raises(ConfigurationError, match=f"no column '?{dropped}"):
        mapping.check(
            QuerySource(
                warehouse, tables, whole, parameters_of(DAY), selection=Selection()
            ).columns()
        )


def test_a_column_that_an_upstream_task_left_out_is_named():
    """A task's rows are checked like a query's."""
    rows = [{name: value for name, value in row("r1").items() if name != "result_url"}]
    mapping = ResultLinkMapping.parse({"label": "x", "url": {"column": "result_url"}})
    with pytest.raises(MappingError, match=r"no column 'result_url' \(for url\)"):
        mapping.check(TaskSource(rows).columns())


def test_a_table_that_is_missing_is_named(warehouse, tables, standin):
    """The error has the database's own message, without the query's parameters."""
    with pytest.raises(ConfigurationError, match=r"cannot run: .*assessment_results") as raised:
        asyncio.run(make_run(warehouse, tables)())
    assert DAY.isoformat() not in str(raised.value)


@pytest.mark.parametrize(
    "ask", [lambda: engine_of("nowhere"), lambda: asyncio.run(KomboHook("nowhere").config())]
)
def test_a_connection_that_is_not_there_is_named(ask):
    """A missing connection is a configuration error and names the fix."""
    with pytest.raises(ConfigurationError, match=r"no connection nowhere: .*AIRFLOW_CONN_NOWHERE"):
        ask()
