"""Dry runs for the page's tests: a real one of a day, and rows put into the preview table."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from uuid import uuid4

from sqlalchemy import insert
from support.harness import DAY, SQL, delivery, mapped_rows

from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.runs import Run
from airflow_kombo.planning import dry_run as dry_runs
from airflow_kombo.planning.planner import Planner
from airflow_kombo.rows.query_source import QuerySource, parameters_of
from airflow_kombo.rows.source import Selection

PREVIEWED = datetime(2026, 11, 4, 9, tzinfo=timezone.utc)
_TASK = {"dag_id": "kombo_result_links", "task_id": "deliver", "map_index": -1}


def real_dry_run(engine, tables, dag_run_id="manual__1", redact=None):
    """Do a dry run of the day of the source table, and return the run's id."""
    selection = Selection(also_done=True)
    source = QuerySource(engine, tables, SQL, parameters_of(DAY), selection=selection)
    run = Run(str(uuid4()), **_TASK, dag_run_id=dag_run_id, assessment_date=DAY)
    planner = Planner(mapped_rows(source, selection), Ledger(engine, tables, redact), selection)
    dry_runs.dry_run(run, planner)
    return run.run_id


def add_dry_run(engine, tables, run_id, actions, minute=0, dag_run_id="manual__1"):
    """Put a row for each action into the preview table, without a request for every third one."""
    tables.create_preview(engine)
    rows = [
        {
            **delivery(f"{run_id}-{n}", integration_id=f"ats:{n % 2}", target_id=f"c-{n % 3}")
            .key.columns,
            **_TASK,
            "run_id": run_id,
            "number": n,
            "dag_run_id": dag_run_id,
            "run_date": DAY,
            "assessment_date": DAY,
            "action": action,
            "request": None if n % 3 == 2 else f'{{"label": "{n}"}}',
            "previewed_at": PREVIEWED + timedelta(minutes=minute),
        }
        for n, action in enumerate(actions)
    ]  # fmt: skip
    with engine.begin() as connection:
        connection.execute(insert(tables.preview), rows)
