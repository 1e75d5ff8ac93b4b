"""By hand: a person says of rows that are `unknown` whether their links were created."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG, Param

from airflow_kombo.operators.resolve_unknown import KomboResolveUnknownOperator
from airflow_kombo.statuses import Decision

DOC = """
A row is **unknown** when its request left and no answer was heard: its link may exist or not, so
it is never sent again by itself. Look the call up in Kombo's dashboard under *Logs* (kept for 30
days), and decide here.

- **`created`**: the rows become `success`.
- **`not created`**: they become `retryable`, and the next run of their day sends them.
- **No decision?** The task describes the rows and waits for an answer, with a reason, on its page
  under *Required Actions*. It needs no worker and no triggerer while it waits.
- **Which rows?** Those that meet every condition that is given; at least one is needed. With
  `dry_run` the log lists them, and nothing is decided.
- **Who decided?** `resolved_by`, `resolved_at`, `resolution` and `resolution_reason` in
  `kombo_result_link_attempts`.

Only rows that are `unknown` now are touched; others that were named are told in the log. If Kombo's
answer comes after all, it counts more than the decision.
"""


def ids(description: str) -> Param:
    """Declare a list of ids in the trigger form; empty is no condition."""
    return Param([], type="array", items={"type": "string"}, description=description)


def text(description: str, **schema: object) -> Param:
    """Declare a text in the trigger form that may stay empty."""
    return Param(None, type=["null", "string"], description=description, **schema)


with DAG(
    dag_id="kombo_resolve_unknown",
    description="Decide about rows of which nobody knows whether their link was created",
    doc_md=DOC,
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    default_args={"owner": "data-engineering"},
    tags=["kombo", "assessments"],
    params={
        "result_ids": ids("Only these results."),
        "integration_ids": ids("Only these integrations."),
        "assessment_date": text("Only results of this day (YYYY-MM-DD).", format="date"),
        "error_code": text(
            "Only rows with this error_code, such as run_died, answer_lost or"
            " PLATFORM.TASK_TIMED_OUT."
        ),
        "run_id": text(
            "Only rows that this run sent: the run_id of kombo_result_links, which the warning in"
            " the run's log names. It is not Airflow's."
        ),
        "decision": text(
            "Were the links created? Empty: show the rows and ask.",
            enum=[*map(str, Decision), None],
        ),
        "reason": text(
            "The evidence for the decision, such as an entry in Kombo's logs. A decision needs one;"
            " the history keeps it, with your name."
        ),
        "dry_run": Param(
            default=False,
            type="boolean",
            description="List the rows in the log, and decide nothing.",
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
        dry_run=dag.param("dry_run"),
    )
