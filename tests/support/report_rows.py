"""Ledger for the page's tests: rows of all statuses, as real runs leave them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

from sqlalchemy import insert
from support.harness import DAY, delivery

from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.outcomes import AttemptOutcome, RowOutcome
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.statuses import Status

SCRIPT = "<script>alert(1)</script>"
LOG = "https://app.kombo.dev/logs/1"
_NOON = datetime(2026, 11, 3, 12, tzinfo=timezone.utc)
RUN = Run("run-1", "kombo_result_links", "manual__1", "deliver", -1, 1, DAY)
BLOCKED = RowOutcome(
    Status.BLOCKED, "INTEGRATION.PERMISSION_MISSING", "A permission is missing.", log_url=LOG
)
FAILED = RowOutcome(
    Status.FAILED, "ATS.JOB_CLOSED", SCRIPT, f"{SCRIPT} & more", "javascript:alert(1)"
)
WARNED = RowOutcome(Status.SUCCESS, warnings=(SCRIPT, "The emoji was removed."))
UNKNOWN = RowOutcome(
    Status.UNKNOWN, "answer_lost", error_message="No answer came.", http_status=504
)


def fill_ledger(engine, tables):
    """Deliver six rows of two integrations with different outcomes in one run."""
    runs, ledger = Runs(engine, tables), Ledger(engine, tables)
    runs.start(RUN)
    body = f'{{"label": "{SCRIPT}"}}'.encode()
    for result_id, outcome, integration_id in (
        ("blocked", BLOCKED, "personio:two"),
        ("failed", FAILED, "workday:one"),
        ("warned", WARNED, "workday:one"),
        ("unknown", UNKNOWN, "workday:one"),
        ("done", RowOutcome(Status.SUCCESS), "workday:one"),
        ("=1+1", RowOutcome(Status.SUCCESS), "workday:one"),
    ):
        row = delivery(result_id, integration_id=integration_id, target_id=f"c-{result_id}")
        record(ledger, replace(row, body=body), outcome)
    runs.finish("run-1", {"planned": 6, "success": 3, "failed": 1, "blocked": 1, "unknown": 1})
    return ledger


def record(ledger, row, outcome, run_id="run-1"):
    """Claim a row, and record the outcome."""
    (claim,) = ledger.claim(run_id, [row], ["failed", "unknown"]).won
    ledger.record([AttemptOutcome(claim, outcome, 12)])


def add_rows(engine, tables, *rows):
    """Insert rows into the status table: (result id, days before DAY or None, status)."""
    moment = RowOutcome(Status.SUCCESS).values | {"updated_at": _NOON, "attempts": 1, "run_id": "x"}
    with engine.begin() as connection:
        connection.execute(
            insert(tables.links),
            [
                {
                    **moment,
                    **delivery(result_id, target_id=f"c-{number % 3}").key.columns,
                    "status": status,
                    "assessment_date": None if before is None else DAY - timedelta(days=before),
                }
                for number, (result_id, before, status) in enumerate(rows)
            ],
        )
