"""Rows in doubt, the time after them, and looks for their links."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import yaml
from sqlalchemy import update
from support.harness import DAY, all_of, fill, row, run_day

from airflow_kombo.hooks.kombo import KomboHook
from airflow_kombo.ledger.doubtful_rows import DoubtfulRows
from airflow_kombo.ledger.unknown_rows import UnknownRowsFilter
from airflow_kombo.reconciliation.recipes import Recipes
from airflow_kombo.reconciliation.reconciliation import Reconciliation, Settings

NOTES = {
    "get": "/ats/notes",
    "params": {"candidate_ids": "{candidate_id}", "page_size": "250"},
    "lists": ["results"],
    "texts": ["content_html"],
    "next": "next",
    "next_param": "cursor",
}
DOCUMENTS = {
    "get": "/ats/{target_type}s/{target_id}/attachments",
    "lists": ["results"],
    "texts": ["data_url"],
}
ACTIVITIES = {
    "passthrough": "workday/hcm",
    "path": "/candidates/{candidate_remote_id}/activity_feed",
    "lists": ["notes", "emails", "activities"],
    "texts": ["body", "subject"],
    "next": "next",
    "next_param": "page",
}
READS = {"notes": NOTES, "documents": DOCUMENTS, "activities": ACTIVITIES}
SURE = {"source": "tried", "because": "a test has tried it", "when_absent": "retryable"}
LOST = {"kind": "answer", "status": 500, "code": "PLATFORM.UNKNOWN_ERROR"}
AN_HOUR = 3600.0
_BEFORE_GIVING_UP = 4  # a run gives an integration up after five failures


def recipes_of(path, read, **changes):
    """Write and load a file of recipes for all tools."""
    both = {}
    for target_type in ("application", "candidate"):
        recipe = {**read, **SURE, **changes}
        if "get" in recipe:
            recipe["get"] = recipe["get"].replace("{target_type}", target_type)
        both[target_type] = {name: value for name, value in recipe.items() if value is not None}
    file = Path(path) / "reconciliation.yaml"
    file.write_text(yaml.safe_dump({"tools": {"default": both}}))
    return Recipes.load(file)


def leave_in_doubt(warehouse, tables, source_table, standin, made=(), not_made=(), **columns):
    """Deliver rows that end in doubt."""
    rows = [row(one, **columns) for one in (*made, *not_made)]
    for one in rows:
        effect = "created" if one["result_id"] in made else "none"
        standin.add_rule(LOST, url=one["result_url"], effect=effect)
    for start in range(0, len(rows), _BEFORE_GIVING_UP):
        fill(warehouse, source_table, rows[start : start + _BEFORE_GIVING_UP])
        run_day(warehouse, tables)
    standin.clear_rules()


def deliver(warehouse, tables, source_table, *result_ids, **columns):
    """Deliver rows without a failure."""
    fill(warehouse, source_table, [row(one, **columns) for one in result_ids])
    run_day(warehouse, tables, day=columns.get("assessment_date", DAY))


def let_pass(warehouse, tables, seconds=AN_HOUR):
    """Move all times of the ledger back, as if so many seconds had passed."""
    past, moves = timedelta(seconds=seconds), []
    for table in (tables.links, tables.attempts, tables.runs):
        times = [one.name for one in table.columns if one.name.endswith("_at")]
        for entry in all_of(warehouse, table):
            of_entry = entry._mapping
            is_entry = [one == of_entry[one.name] for one in table.primary_key]
            moved = {name: of_entry[name] - past for name in times if of_entry[name]}
            moves.append(update(table).where(*is_entry).values(moved))
    with warehouse.begin() as connection:
        for move in moves:
            connection.execute(move)


def reconcile(warehouse, tables, recipes, choice=None, *, wrap=lambda client: client, **settings):
    """Look for the rows in doubt, and return the counts.

    :param wrap: A function that puts something around the client.
    """

    async def run():
        rows = DoubtfulRows(warehouse, tables, "url")
        async with KomboHook().client() as client:
            reconciliation = Reconciliation(
                rows, recipes, wrap(client), Settings(by="test", **settings)
            )
            return await reconciliation.run(choice or UnknownRowsFilter())

    return dict(asyncio.run(run()))
