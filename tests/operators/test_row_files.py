"""Unknown rows as a file, and decisions from a file, by the deciding operator."""

from __future__ import annotations

import csv
import logging

import pytest
from support.harness import ROOT, all_of, delivery, statuses

from airflow_kombo.airflow_compat import AirflowFailException, can_park_questions
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.outcomes import AttemptOutcome, RowOutcome
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.ledger.tables import Tables
from airflow_kombo.operators import row_files
from airflow_kombo.operators.resolve_unknown import KomboResolveUnknownOperator
from airflow_kombo.statuses import Status

COLUMNS = ["result_id", "integration_id", "target_type", "target_id", "attempt", "decision"]
URL = "https://results.example/r1?token=secret"


@pytest.fixture
def ledger(engine):
    """Return a ledger with three unknown rows of two integrations."""
    tables = Tables.named()
    tables.create(engine)
    Runs(engine, tables).start(Run("run"))
    ledger = Ledger(engine, tables)
    body = f'{{"url": "{URL}"}}'.encode()
    rows = [delivery("r1", body=body), delivery("r2"), delivery("r3", integration_id="a:1")]
    claims = ledger.claim("run", rows).won
    outcome = RowOutcome(Status.UNKNOWN, "run_died")
    ledger.record([AttemptOutcome(claim, outcome) for claim in claims])
    return ledger


def resolve(context, **given):
    return KomboResolveUnknownOperator(task_id="resolve", **given).execute(context)


def line(result_id, decision="created", attempt=1, integration_id="workday:one"):
    return f"{result_id},{integration_id},candidate,c1,{attempt},{decision}"


def file_of(*lines):
    return "\r\n".join([",".join(COLUMNS), *lines])


def test_an_export_is_decided_by_its_own_lines(context, ledger, tmp_path, caplog):
    """A file is written, filled in with semicolons, and handed back by path."""
    path = tmp_path / "unknown.csv"
    path.write_text("an older file, which is longer than the new one" * 100)
    with caplog.at_level(logging.INFO):
        assert resolve(context, export_to=str(path)) == {"exported": 3}
    lines = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    assert {one["result_id"]: one["url"] for one in lines} == {"r3": "", "r1": URL, "r2": ""}
    decisions = {"r3": "Created", "r1": "not created", "r2": ""}
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, lines[0], delimiter=";")
        writer.writeheader()
        for one in lines:
            writer.writerow(one | {"decision": decisions[one["result_id"]]})
    with caplog.at_level(logging.INFO):
        counts = resolve(context, decisions_from=f"file://{path}", reason="looked up")
    assert counts == {"decided": 2, "left": 1}
    assert "token" not in caplog.text
    assert statuses(ledger.engine, ledger.tables) == {"success": 1, "retryable": 1, "unknown": 1}
    history = {row.result_id: row for row in all_of(ledger.engine, ledger.tables.attempts)}
    assert (history["r3"].resolution, history["r1"].resolution) == ("created", "not created")
    assert (history["r3"].resolved_by, history["r3"].resolution_reason) == ("Ada", "looked up")


def test_an_export_of_chosen_rows(context, ledger, tmp_path):
    """Conditions narrow an export."""
    path = tmp_path / "unknown.csv"
    assert resolve(context, export_to=str(path), integration_ids=["a:1"]) == {"exported": 1}
    assert path.read_text().count("r3") == 1


def test_an_export_replaces_no_other_kind_of_file(context, ledger, tmp_path):
    """Whoever may trigger the dag cannot overwrite a dag or a configuration of the worker."""
    path = tmp_path / "dag.py"
    path.write_text("dag")
    with pytest.raises(AirflowFailException, match=r"\.csv"):
        resolve(context, export_to=str(path))
    assert path.read_text() == "dag"


def test_lines_that_are_left_are_named(context, ledger, caplog):
    """The log names each left row with the reason; conditions narrow the file."""
    lines = [line("r1", attempt=2), line("r2"), line("r3", integration_id="a:1"), line("gone")]
    given = {"decisions": file_of(*lines, line("r4", "")), "reason": "seen"}
    counts = resolve(context, **given, integration_ids=["workday:one"])
    assert counts == {"decided": 1, "left": 4}
    assert "1 results are left as they are (attempt 2 is not the newest one" in caplog.text
    assert "are left as they are (the other conditions do not hold): r3" in caplog.text
    assert "are left as they are (not found): gone" in caplog.text
    assert resolve(context, **given) == {"decided": 1, "left": 4}  # as a cleared task goes on
    assert "are left as they are (success): r2" in caplog.text


def test_a_dry_run_of_a_file_decides_nothing(context, ledger, caplog):
    """The log of a dry run has the rows by decision."""
    decisions = file_of(line("r1"), line("r2", "not created"), line("gone"))
    with caplog.at_level(logging.INFO):
        counts = resolve(context, decisions=decisions, reason="seen", dry_run=True)
    assert counts == {"would_be_decided": 2, "left": 1}
    assert "would be decided, created: r1" in caplog.text
    assert "would be decided, not created: r2" in caplog.text
    assert statuses(ledger.engine, ledger.tables) == {"unknown": 3}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"decisions": file_of(line("r1"), line("r2", "yes"))}, "in line 3"),
        ({"decisions": file_of(line("r1"))}, "no reason for the decision in line 2"),
        ({"decisions": file_of(line("gone")), "reason": "x"}, "None of the 1 decided lines names"),
        ({"decisions_from": "/no/such/secret.csv"}, "file of decisions_from .* FileNotFoundError"),
        ({"decisions_from": "nosuch://secret/x"}, "file of decisions_from .* ValueError"),
        ({"export_to": "/no/such/secret.csv"}, "file of export_to .* FileNotFoundError"),
        ({"decisions_from": str(ROOT / "README.md")}, "more than 0 MiB"),
    ],
)
def test_a_wrong_file_decides_nothing(context, ledger, given, why, monkeypatch):
    """Airflow does not retry a task with a wrong file, and no error has the path."""
    monkeypatch.setattr(row_files, "_MOST_BYTES", 100)
    with pytest.raises(AirflowFailException, match=why) as error:
        resolve(context, **given)
    assert "secret" not in str(error.value)
    assert statuses(ledger.engine, ledger.tables) == {"unknown": 3}


@pytest.mark.skipif(can_park_questions(), reason="Airflow 3.3 asks: tests/dags has that")
def test_where_a_task_cannot_wait_a_decision_is_required(context, ledger, caplog):
    """Before Airflow 3.3, rows without a decision are in the log, and the task is not retried."""
    with (
        caplog.at_level(logging.INFO),
        pytest.raises(AirflowFailException, match="again with a decision and a reason"),
    ):
        resolve(context, result_ids=["r1", "r2"])
    assert "**2 rows** are `unknown`" in caplog.text
    assert statuses(ledger.engine, ledger.tables) == {"unknown": 3}
    given = {"decision": "created", "reason": "looked up"}
    assert resolve(context, result_ids=["r1"], **given)["decided"] == 1
