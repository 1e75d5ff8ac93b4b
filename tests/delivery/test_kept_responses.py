"""Responses in the history after a run: all but plain successes, and no body in the log."""

from __future__ import annotations

import json
import logging

import pytest
from support.harness import all_of, connect, fill, row, run_day

from airflow_kombo.delivery.run_context import Settings

CANARY = "canary5e1f"
RESPONSES = {
    "plain": {"kind": "success"},
    "lost body": {"kind": "truncate"},
    "warned": {"kind": "success", "warnings": [f"The label {CANARY} was cut"]},
    "refused": {"kind": "answer", "status": 400, "code": "ATS.JOB_CLOSED"},
    "foreign": {"kind": "raw", "status": 502, "body": f"<html>{CANARY}</html>"},
    "long": {"kind": "raw", "status": 504, "body": "ü" * 9_000},
    "reset": {"kind": "reset"},
}


@pytest.fixture
def attempts(warehouse, tables, source_table, standin, monkeypatch, caplog):
    """Deliver a row with each response, and return the attempts by the response's name."""
    connect(monkeypatch, standin.url, timeout=5)
    names = dict(enumerate(RESPONSES))
    fill(warehouse, source_table, [row(f"r{n}", integration_id=f"ats:{n}") for n in names])
    for number, name in names.items():
        standin.add_rule(RESPONSES[name], integration_id=f"ats:{number}")
    with caplog.at_level(logging.DEBUG):
        run_day(warehouse, tables, settings=Settings(first_retry=0.01, max_tries=1))
    return {names[int(one.result_id[1:])]: one for one in all_of(warehouse, tables.attempts)}


def test_all_but_plain_successes_are_kept(attempts):
    """Each response but a plain success is kept; a plain success is a status alone."""
    kept = {name: json.loads(one.response) for name, one in attempts.items() if one.response}
    assert set(kept) == {"warned", "refused", "foreign", "long"}
    assert {name: one["status"] for name, one in kept.items()} == {
        "warned": 200, "refused": 400, "foreign": 502, "long": 504,
    }  # fmt: skip
    assert json.loads(kept["refused"]["body"])["error"]["code"] == "ATS.JOB_CLOSED"
    assert kept["refused"]["headers"]["Content-Type"] == "application/json"
    assert kept["foreign"]["body"] == f"<html>{CANARY}</html>"
    assert (kept["long"]["body"], kept["long"]["is_cut"]) == ("ü" * 4_096, True)
    assert attempts["plain"].status == attempts["lost body"].status == "success"
    assert (attempts["reset"].status, attempts["reset"].response) == ("unknown", None)


def test_no_body_is_in_the_log(attempts, caplog):
    """The log of a run has no body, in no level and no error."""
    assert attempts["foreign"].response
    records = [
        record
        for record in caplog.get_records("setup")
        if not record.name.startswith("sqlalchemy")  # its statements, which only a DEBUG level logs
    ]
    assert [record for record in records if record.name.startswith("airflow_kombo")]
    lines = [record.getMessage() for record in records]
    assert [line for line in lines if f"<html>{CANARY}" in line or "üüü" in line] == []
