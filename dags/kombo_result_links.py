"""Every night, yesterday's assessment results become result links in the customers' ATS."""

from __future__ import annotations

from datetime import timedelta

from airflow.configuration import conf
from airflow.sdk import DAG, Asset
from pendulum import datetime

from airflow_kombo.include_folder import include_folder
from airflow_kombo.operators.delivery_group import KomboResultLinkGroup
from airflow_kombo.operators.trigger_form import field, flag, ids, text
from airflow_kombo.statuses import REDELIVERABLE
from airflow_kombo.timetables.nightly import NightlyTimetable

HOUR, TIMEZONE = 2, "UTC"  # every night at this hour, for the day before in this time zone

OUT = Asset("kombo_result_links")  # its partition is the day: other dags can wait for it

# Where the warehouse cannot hold the ledger: AIRFLOW__KOMBO__LEDGER_CONN_ID, also for the page.
LEDGER_CONN_ID = conf.get("kombo", "ledger_conn_id", fallback=None) or None

INCLUDE = include_folder(__file__)
TO_REDELIVER = list(reversed(REDELIVERABLE))  # the form lists `success` last: it makes second links

ROWS, CARE, AGAIN = "Which rows", "How carefully", "Second chances"  # sections of the form

DOC = """
Takes the day's rows of the warehouse, puts each as a **result link** on its candidate or
application through Kombo, and writes every row's outcome to the table `kombo_result_links`.

- **Which day?** The parameter `assessment_date`, else the run's partition, else its logical date.
- **Did it arrive?** `SELECT * FROM kombo_result_links WHERE result_id = '…'`; the history of a row
  is in `kombo_result_link_attempts`, each run in `kombo_result_link_runs`.
- **Run it again?** At any time: a delivered row is never sent again.
- **Look first?** With `dry_run` a run writes every row with its action to
  `kombo_result_link_preview`, and sends nothing.
- **Refused rows?** The next run sends corrected ones; `redeliver` sends rows as they are.
- **`unknown`?** No response proves that the link exists, or that it does not. The dag
  `kombo_reconcile` looks for the link in the ATS. Or find the call in Kombo's logs (30 days), and
  decide with the dag `kombo_resolve_unknown`.
- **Who waits for it?** The asset `kombo_result_links`, with the day as its partition.
- **What is sent?** The mapping is `include/result_link_mapping.yaml`.
"""


with DAG(
    dag_id="kombo_result_links",
    description="Assessment results become result links in the customers' ATS, through Kombo",
    doc_md=DOC,
    schedule=NightlyTimetable(HOUR, TIMEZONE),
    start_date=datetime(2026, 1, 1, tz=TIMEZONE),
    catchup=False,
    render_template_as_native_obj=True,
    template_searchpath=[str(INCLUDE)],
    default_args={
        "owner": "data-engineering",
        "retries": 2,
        "retry_delay": timedelta(minutes=5),
    },
    tags=["kombo", "assessments"],
    params={
        "assessment_date": text(
            ROWS,
            "Day",
            "Deliver the results of this day (YYYY-MM-DD). Empty: the run's own day.",
            format="date",
        ),
        "lookback_days": field(
            "integer",
            ROWS,
            "Days back",
            "The scheduled run also delivers rows of so many days before that were never"
            " delivered: late, retryable and blocked ones. A run by hand or a backfill delivers"
            " its own day only.",
            default=7,
            minimum=0,
            maximum=366,
        ),
        "integration_ids": ids(
            ROWS,
            "Integrations",
            "Only these, such as workday:HWUTwvyx2wLoSUHphiWVrp28. Empty: all.",
        ),
        "result_ids": ids(ROWS, "Results", "Only these. Empty: all."),
        "not_before": text(
            ROWS,
            "Not before",
            "Deliver no result of a day before this one (YYYY-MM-DD), such as the day on which a"
            " new table went live.",
            format="date",
        ),
        "dry_run": flag(
            CARE,
            "Dry run",
            "Send nothing: write every row's request and what a run would do with it to"
            " kombo_result_link_preview; counts and an estimate of the time are in the log.",
        ),
        "limit": field("integer", CARE, "At most", "Send at most so many rows.", minimum=1),
        "max_rows": field(
            "integer",
            CARE,
            "Stop above",
            "A run that would send more rows than this stops before the first one. Empty: ten"
            " times what a day usually sends (median of the last 14), at least 1,000.",
            minimum=1,
        ),
        "approve_rows": flag(
            CARE,
            "Approve the number of rows",
            "Send them however many they are: for a run that stopped because of their number,"
            " after a person has looked.",
        ),
        "shards": field(
            "integer",
            CARE,
            "Shards",
            "Divide the day by integration into so many tasks at most, each on any worker.",
            default=1,
            minimum=1,
            maximum=100,
        ),
        "redeliver": field(
            "array",
            AGAIN,
            "Send again",
            "Send rows with these statuses again; changed are the delivered ones whose content is"
            " another now, which makes a second link. An unknown or a successful one may exist"
            " already, too.",
            default=[],
            items={"type": "string", "enum": TO_REDELIVER},
            examples=TO_REDELIVER,
        ),
        "seen": field(
            "object",
            AGAIN,
            "As a person saw them",
            "For Send again: send a result only if its status and number of attempts are still"
            ' these, such as {"ar-1": "unknown 2"}. The page fills it in. Empty: any.',
            default={},
            additionalProperties={"type": "string"},
        ),
    },
) as dag:
    KomboResultLinkGroup(
        "deliver",
        shards="{{ params.shards }}",
        sql="sql/assessment_results.sql",
        mapping=INCLUDE / "result_link_mapping.yaml",
        assessment_date="{{ params.assessment_date }}",
        lookback_days="{{ params.lookback_days }}",
        integration_ids="{{ params.integration_ids }}",
        result_ids="{{ params.result_ids }}",
        redeliver="{{ params.redeliver }}",
        seen="{{ params.seen }}",
        limit="{{ params.limit }}",
        max_rows="{{ params.max_rows }}",
        approve_rows="{{ params.approve_rows }}",
        not_before="{{ params.not_before }}",
        dry_run="{{ params.dry_run }}",
        ledger_conn_id=LEDGER_CONN_ID,
        outlets=[OUT],
    )
