"""The operator that looks for the links of `unknown` rows in the customers' ATS.

Airflow's dag processor imports this module again and again. Heavy imports are in `reconcile_rows`,
which only the methods import.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_kombo.operators.failure_policy import not_tried_again
from airflow_kombo.operators.garbage_collection import collecting_rarely
from airflow_kombo.operators.run_configuration import refuse_misspelled_params

if TYPE_CHECKING:
    from airflow.sdk import Context


class KomboReconcileOperator(BaseOperator):
    """Look for the links of `unknown` rows, and settle the rows by what is found.

    A link that is found makes its row `success`. A link that is absent makes its row `retryable`
    only if the recipe allows that, and a link that was sent later is found by the same read.
    Anything else leaves the row `unknown`. The attempts' history keeps what was looked for.

    A row has to meet all conditions that are set; without a condition, all rows are looked for.

    :param recipes: The path of the YAML file with the recipes: which read of which tool shows a
        link.
    :param result_ids: Only these results. (templated)
    :param integration_ids: Only these integrations. (templated)
    :param assessment_date: Only rows of this day, `YYYY-MM-DD`. (templated)
    :param look_again: Look also for rows that were looked for a short time ago. (templated)
    :param dry_run: Look, and write nothing. (templated)
    :param kombo_conn_id: The connection to Kombo.
    :param warehouse_conn_id: The connection to the warehouse, as the delivering task names it.
    :param ledger_conn_id: The connection to the database of the ledger, as the delivering task
        names it. By default the warehouse holds the ledger too.
    :param status_table: The status table of result links, as the delivering task names it.
    """

    template_fields: Sequence[str] = (
        "result_ids",
        "integration_ids",
        "assessment_date",
        "look_again",
        "is_dry_run",
    )
    ui_color = "#dfeaf5"

    def __init__(
        self,
        *,
        recipes: str | Path,
        result_ids: Sequence[str] | str | None = None,
        integration_ids: Sequence[str] | str | None = None,
        assessment_date: str | None = None,
        look_again: bool | str = False,
        dry_run: bool | str = False,
        kombo_conn_id: str = "kombo_default",
        warehouse_conn_id: str = "warehouse_default",
        ledger_conn_id: str | None = None,
        status_table: str = "kombo_result_links",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.recipes = recipes
        self.result_ids = result_ids
        self.integration_ids = integration_ids
        self.assessment_date = assessment_date
        self.look_again = look_again
        self.is_dry_run = dry_run  # Airflow's operators have a method `dry_run`
        self.kombo_conn_id = kombo_conn_id
        self.warehouse_conn_id = warehouse_conn_id
        self.ledger_conn_id = ledger_conn_id
        self.status_table = status_table

    @not_tried_again()
    @collecting_rarely()
    def execute(self, context: Context) -> dict[str, int]:
        """Look for the rows, and return their numbers by what became of them.

        :raises AirflowFailException: for an error that only a person can correct, such as a wrong
            key or a recipe that cannot be used. Its cause is a `ConfigurationError`.
        :raises UnreachableError: if Kombo cannot be reached.
        :raises LedgerError: if the ledger failed; rows that were settled by then stay settled.
        """
        from airflow_kombo.operators.reconcile_rows import reconcile  # noqa: PLC0415 - see above

        refuse_misspelled_params(context)
        return reconcile(self, context["dag"].dag_id)
