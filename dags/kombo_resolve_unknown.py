"""Decide about rows by hand: unknown ones were created or not, and others are left out."""

from __future__ import annotations

from datetime import datetime

from airflow.configuration import conf
from airflow.sdk import DAG

from airflow_kombo.operators.resolve_unknown import KomboResolveUnknownOperator
from airflow_kombo.operators.trigger_form import flag, ids, text
from airflow_kombo.statuses import Decision

ROWS, DECISION, FILES = "Which rows", "The decision", "Many rows"  # sections of the form

DOC = """
A row is **unknown** when its request left and no response proves the result. Its link may exist or
not, so no run sends the row again by itself. Find the call in Kombo's dashboard under *Logs* (kept
for 30 days), and decide here.

- **`created`**: the rows become `success`.
- **`not created`**: they become `retryable`, and the next run of their day sends them.
- **`leave out`**: rows of any status but `sending` keep their status, and no run sends them.
  **`take back`** ends that.
- **No decision?** The task describes the rows and waits for an answer, with a reason, on its page
  under *Required Actions*. It needs no worker and no triggerer while it waits.
- **Which rows?** Those that meet all conditions; at least one condition is needed, except with a
  file. With `dry_run`
  the log lists the rows, and nothing is decided.
- **Many rows?** `export_to` writes them to a CSV file, in the order of Kombo's log view: by
  integration, newest first. Fill in `decision` and `reason`, and hand the file back: paste it into
  `decisions`, or name its path in `decisions_from`. Each line decides exactly its row. A row that
  was sent again since is left. A file with a mistake decides nothing. The page *Kombo result links*
  has the same file, and checks a filled-in one.
- **Who decided?** `resolved_by`, `resolved_at`, `resolution` and `resolution_reason` in
  `kombo_result_link_attempts`.

Only rows that are `unknown` now are decided as created or not; the log names other rows in
`result_ids`. A late response of Kombo's takes precedence over the decision.
"""


with DAG(
    dag_id="kombo_resolve_unknown",
    description="Decide about unknown rows: their links were created, or they were not",
    doc_md=DOC,
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    default_args={"owner": "data-engineering"},
    tags=["kombo", "assessments"],
    params={
        "result_ids": ids(ROWS, "Results", "Only these."),
        "integration_ids": ids(ROWS, "Integrations", "Only these."),
        "assessment_date": text(
            ROWS, "Day", "Only results of this day (YYYY-MM-DD).", format="date"
        ),
        "error_code": text(
            ROWS,
            "Error code",
            "Only rows with this error_code, such as run_died, answer_lost or"
            " PLATFORM.TASK_TIMED_OUT.",
        ),
        "run_id": text(
            ROWS,
            "Run",
            "Only rows that this run sent: the run_id of kombo_result_links, which the warning in"
            " the run's log names. It is not Airflow's.",
        ),
        "decision": text(
            DECISION,
            "Decision",
            "Were the links created? Or shall no run send the rows (leave out), or runs send them"
            " again (take back)? Empty: show the rows and ask.",
            enum=[*map(str, Decision), None],
        ),
        "reason": text(
            DECISION,
            "Reason",
            "The evidence for the decision, such as an entry in Kombo's logs. A decision needs one;"
            " the history keeps it, with your name.",
        ),
        "dry_run": flag(DECISION, "Dry run", "List the rows in the log, and decide nothing."),
        "export_to": text(
            FILES,
            "Export to",
            "Decide nothing: write the rows to this path or address (*.csv). Without a condition,"
            " all unknown rows.",
        ),
        "decisions": text(
            FILES,
            "Decisions",
            "A CSV file with your decisions, as export_to wrote it or the page did: paste it here."
            " The conditions above narrow it; decision stays empty.",
            format="multiline",
        ),
        "decisions_from": text(
            FILES,
            "Decisions from",
            "The path of such a file, or its address in an object storage, such as"
            " s3://aws_default@bucket/unknown.csv.",
        ),
    },
) as dag:
    KomboResolveUnknownOperator(
        task_id="resolve",
        result_ids=dag.param("result_ids"),
        integration_ids=dag.param("integration_ids"),
        assessment_date=dag.param("assessment_date"),
        error_code=dag.param("error_code"),
        run_id=dag.param("run_id"),
        decision=dag.param("decision"),
        reason=dag.param("reason"),
        decisions=dag.param("decisions"),
        decisions_from=dag.param("decisions_from"),
        export_to=dag.param("export_to"),
        dry_run=dag.param("dry_run"),
        ledger_conn_id=conf.get("kombo", "ledger_conn_id", fallback=None) or None,
    )
