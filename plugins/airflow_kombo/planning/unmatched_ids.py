"""Unmatched ids: requested from a run, but without a row in the run."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any, Final

from sqlalchemy import Column, select

from airflow_kombo.database.transactions import transaction
from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.rows.source import Selection, Unmatched

log = logging.getLogger(__name__)

_LISTED: Final = 20
"""Ids that a message lists."""
_LOOKUP_IDS: Final = 1_000
"""Ids of one lookup: SQLite allows no more parameters in a statement."""


def report_unmatched_ids(unmatched: Unmatched, selection: Selection, ledger: Ledger) -> None:
    """Log the requested ids without a row in the run.

    Ids with a row in the status table are done, or are of another day. They are logged with their
    status.

    :raises ConfigurationError: if all requested results are unknown to the run and to the status
        table. In a run by hand also if all requested integrations are. Such ids are mistyped, and
        a run that sends nothing would look like a success.
    """
    if unmatched.result_ids:
        known = _results(unmatched.result_ids, selection, ledger)
        for status, ids in sorted(known.items()):
            log.warning(
                "%d of the requested results are not among the rows to send. Their status is"
                " %s: %s",
                len(ids),
                status,
                _listed(ids),
            )
        unknown = unmatched.result_ids.difference(*known.values())
        _report_unknown("result_ids", unknown, selection.result_ids, fatal=True)
    if unmatched.integration_ids:
        unknown = unmatched.integration_ids - _integrations(unmatched.integration_ids, ledger)
        _report_unknown(
            "integration_ids", unknown, selection.integration_ids, fatal=selection.by_hand
        )


def _report_unknown(
    name: str, unknown: Collection[str], requested: Collection[str], *, fatal: bool
) -> None:
    if not unknown:
        return
    message = (
        f"{len(unknown)} of {len(requested)} {name} match no row that this run reads, and no row of"
        f" the status table: {_listed(unknown)}. Check the ids, the run's day and its other"
        " conditions."
    )
    if fatal and len(unknown) == len(requested):
        raise ConfigurationError(message)
    log.warning("%s", message)


def _results(ids: Collection[str], selection: Selection, ledger: Ledger) -> dict[str, set[str]]:
    """Return the results with a row in the status table, by status."""
    links, known = ledger.tables.links.c, dict[str, set[str]]()
    columns = (links.result_id, links.integration_id, links.status)
    for result_id, integration_id, status in _select(ids, ledger, *columns):
        if selection.wants(integration_id):
            known.setdefault(status, set()).add(result_id)
    return known


def _integrations(ids: Collection[str], ledger: Ledger) -> set[str]:
    column = ledger.tables.links.c.integration_id
    return {row.integration_id for row in _select(ids, ledger, column)}


def _select(ids: Collection[str], ledger: Ledger, *columns: Column[Any]) -> Iterator[Any]:
    """Read the distinct values of the rows with one of the ids in the first column."""
    rest = iter(sorted(ids))
    while chunk := list(islice(rest, _LOOKUP_IDS)):
        query = select(*columns).where(columns[0].in_(chunk)).distinct()
        with transaction(ledger.engine, "look ids up", reads_only=True) as connection:
            yield from connection.execute(query)


def _listed(ids: Collection[str]) -> str:
    listed = ", ".join(sorted(ids)[:_LISTED])
    more = len(ids) - _LISTED
    return f"{listed} and {more:,} more" if more > 0 else listed
