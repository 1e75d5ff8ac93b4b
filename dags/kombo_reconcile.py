"""Look for the links of `unknown` rows in the customers' ATS, and settle the rows by them."""

from __future__ import annotations

from airflow.configuration import conf
from airflow.sdk import DAG
from pendulum import datetime

from airflow_kombo.include_folder import include_folder
from airflow_kombo.operators.reconcile import KomboReconcileOperator
from airflow_kombo.operators.trigger_form import flag, ids, text

SCHEDULE = "*/5 * * * *"  # without a row to look for, a run reads one index and ends

INCLUDE = include_folder(__file__)

ROWS, CARE = "Which rows", "How carefully"  # sections of the trigger form

DOC = """
A row is **unknown** when its request left and no response proves the result. This dag looks for the
row's link where the ATS keeps it, and settles the row by what it finds.

- **Found**: the link was created, and the row is `success`.
- **Not found** proves nothing by itself. The row becomes `retryable` only if Kombo cannot be
  carrying the request out any more (300 s, and 2 minutes), **and** a link that was sent later is
  found by the same read, **and** the recipe allows it. The next run of its day sends it.
- **Anything else**: the row stays `unknown`, and is looked for again, ever more rarely. A person
  can decide with the dag `kombo_resolve_unknown` at any time.
- **Where does it look?** `include/reconciliation.yaml` has a recipe for each tool. A recipe that
  nobody has tried finds links, and never denies one.
- **What was looked for?** `evidence` and `evidence_at` in `kombo_result_link_attempts`.

Without a condition below, all rows are looked for that are due.
"""


with DAG(
    dag_id="kombo_reconcile",
    description="Look for the links of unknown rows in the customers' ATS, and settle the rows",
    doc_md=DOC,
    schedule=SCHEDULE,
    start_date=datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    render_template_as_native_obj=True,
    default_args={"owner": "data-engineering"},
    tags=["kombo", "assessments"],
    params={
        "result_ids": ids(ROWS, "Results", "Only these."),
        "integration_ids": ids(ROWS, "Integrations", "Only these."),
        "assessment_date": text(
            ROWS, "Day", "Only results of this day (YYYY-MM-DD).", format="date"
        ),
        "look_again": flag(
            CARE, "Look again", "Look also for rows that were looked for a short time ago."
        ),
        "dry_run": flag(
            CARE, "Dry run", "Look, write the findings to the log, and change nothing."
        ),
    },
) as dag:
    KomboReconcileOperator(
        task_id="look",
        recipes=INCLUDE / "reconciliation.yaml",
        result_ids="{{ params.result_ids }}",
        integration_ids="{{ params.integration_ids }}",
        assessment_date="{{ params.assessment_date }}",
        look_again="{{ params.look_again }}",
        dry_run="{{ params.dry_run }}",
        ledger_conn_id=conf.get("kombo", "ledger_conn_id", fallback=None) or None,
    )
