"""Page and JSON views over one ledger: rows of every outcome, and two runs."""

from __future__ import annotations

from urllib.parse import urlencode

from sqlalchemy import func, update
from support.harness import delivery
from support.page_client import Browser
from support.report_rows import FAILED, RUN, add_rows, fill_ledger, record

from airflow_kombo.ledger.run_calls import keep_calls
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.web.next_try import Schedule

DAG_RUN = {"dag_id": RUN.dag_id, "dag_run_id": RUN.dag_run_id}


def key_of(result_id, integration_id="workday:one"):
    """Return the key of a row as parameters of an address."""
    key = delivery(result_id, integration_id=integration_id, target_id=f"c-{result_id}").key
    return urlencode(key.columns)


VIEWS = {
    "overview": ("/", "/overview.json"),
    "rows": ("/rows", "/rows.json"),
    "row": (f"/row?{key_of('failed')}", f"/row.json?{key_of('failed')}"),
    "runs": ("/runs", "/runs.json"),
    "calls": ("/calls", "/calls.json"),
    "run": (f"/run?{urlencode(DAG_RUN)}", f"/run.json?{urlencode(DAG_RUN)}"),
}
"""Addresses of each view: of the page, and of its JSON."""


def json_site(warehouse, tables):
    """Serve the views over rows with decisions, a row left out, two runs and a paused dag."""
    ledger = fill_ledger(warehouse, tables)
    Runs(warehouse, tables).start(Run("alone"))
    keep_calls(warehouse, tables, RUN.run_id)
    failed = delivery("failed", integration_id="workday:one", target_id="c-failed", body=b"{}")
    record(ledger, failed, FAILED, "alone")
    add_rows(warehouse, tables, ("older", 3, "retryable"), ("no day", None, "success"))
    decided = {"resolution": "created", "resolved_by": "ada", "resolution_reason": "seen in logs"}
    left_out = {"left_out_by": "bob", "left_out_reason": "a test row"}
    links, attempts = tables.links, tables.attempts
    with warehouse.begin() as connection:
        unknown = attempts.c.status == "unknown"
        connection.execute(update(attempts).where(unknown).values(decided))
        chosen = update(links).where(links.c.result_id == "done")
        connection.execute(chosen.values(left_out_at=func.current_timestamp(), **left_out))
    return Browser.of(
        lambda: warehouse, tables, lambda task: Schedule(str(task.dag_id), is_paused=True)
    )
