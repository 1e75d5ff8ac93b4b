"""Look for the links of `unknown` rows: the work of the operator's task.

Only `KomboReconcileOperator.execute` imports this module: what it imports is too heavy for
Airflow's dag processor.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Protocol

from airflow_kombo.hooks.kombo import KomboHook
from airflow_kombo.kombo_api.api_check import check_api
from airflow_kombo.kombo_api.result_link import RESULT_LINKS
from airflow_kombo.ledger.doubtful_rows import DoubtfulRows
from airflow_kombo.ledger.unknown_rows import UnknownRowsFilter
from airflow_kombo.observability.log_summary import table
from airflow_kombo.operators.databases import opened
from airflow_kombo.operators.parameters import ReconcileParameters
from airflow_kombo.reconciliation.recipes import Recipes
from airflow_kombo.reconciliation.reconciliation import Reconciliation, Settings

log = logging.getLogger(__name__)


class _Task(Protocol):
    recipes: str | Path
    kombo_conn_id: str
    warehouse_conn_id: str
    ledger_conn_id: str | None
    status_table: str


def reconcile(task: _Task, dag_id: str) -> dict[str, int]:
    """Look for the rows of a task, and return their numbers by what became of them.

    :raises ConfigurationError: if a person has to change something.
    :raises UnreachableError: if Kombo cannot be reached.
    :raises LedgerError: if the ledger failed.
    """
    parameters, recipes = ReconcileParameters.of(task), Recipes.load(task.recipes)
    settings = Settings(dag_id, look_again=parameters.look_again, dry_run=parameters.dry_run)
    choice = UnknownRowsFilter(
        result_ids=parameters.result_ids,
        integration_ids=parameters.integration_ids,
        assessment_date=parameters.assessment_date,
    )
    with opened(task.warehouse_conn_id, task.ledger_conn_id, task.status_table) as databases:
        rows = DoubtfulRows(databases.ledger, databases.tables, RESULT_LINKS.once or "url")
        if not rows.groups():
            log.info("No row is unknown: there is nothing to look for.")
            return {}
        if not settings.dry_run:
            databases.check()
        counts = asyncio.run(_look(task.kombo_conn_id, rows, recipes, settings, choice))
        if not settings.dry_run:
            databases.write_back()
    return counts


async def _look(
    kombo_conn_id: str,
    rows: DoubtfulRows,
    recipes: Recipes,
    settings: Settings,
    choice: UnknownRowsFilter,
) -> dict[str, int]:
    async with KomboHook(kombo_conn_id).client() as client:
        await check_api(client)
        reconciliation = Reconciliation(rows, recipes, client, settings)
        try:
            return dict(await reconciliation.run(choice))
        finally:
            for line in table(reconciliation.counts):
                log.info("%s", line)
            if settings.dry_run:
                log.info("This was a dry run: nothing was written.")
