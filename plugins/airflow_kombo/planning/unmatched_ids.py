"""Ids that a run was asked for by name, and that none of its rows has."""

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

_NAMED: Final = 20
"""Ids that the log names."""
_LOOKED_UP: Final = 1_000
"""Ids in one statement: SQLite takes so many parameters and not more."""


def report_unmatched_ids(unmatched: Unmatched, selection: Selection, ledger: Ledger) -> None:
    """Log the ids that were asked for and that no row of the run has.

    The status table knows those that are done, or that are of another day: they are told with
    their status.

    :raises ConfigurationError: if nobody knows any of the results that were asked for, or in a run
        by hand any of the integrations: they are mistyped, and to send nothing is no success.
    """
    if unmatched.result_ids:
        known = _results(unmatched.result_ids, selection, ledger)
        for status, ids in sorted(known.items()):
            log.warning(
                "%d of the results asked for are not among the rows to send, they are %s: %s",
                len(ids),
                status,
                _some(ids),
            )
        lost = unmatched.result_ids.difference(*known.values())
        _tell_lost("result_ids", lost, selection.result_ids, fatal=True)
    if unmatched.integration_ids:
        lost = unmatched.integration_ids - _integrations(unmatched.integration_ids, ledger)
        _tell_lost("integration_ids", lost, selection.integration_ids, fatal=selection.by_hand)


def _tell_lost(name: str, lost: Collection[str], asked: Collection[str], *, fatal: bool) -> None:
    if not lost:
        return
    told = (
        f"{len(lost)} of {len(asked)} {name} match no row that this run reads, and none of the"
        f" status table: {_some(lost)}. Check them, the run's day and its other conditions."
    )
    if fatal and len(lost) == len(asked):
        raise ConfigurationError(told)
    log.warning("%s", told)


def _results(ids: Collection[str], selection: Selection, ledger: Ledger) -> dict[str, set[str]]:
    """Give those of the results that have a row in the status table, by status."""
    links, known = ledger.tables.links.c, dict[str, set[str]]()
    columns = (links.result_id, links.integration_id, links.status)
    for result_id, integration_id, status in _among(ids, ledger, *columns):
        if selection.wants(integration_id):
            known.setdefault(status, set()).add(result_id)
    return known


def _integrations(ids: Collection[str], ledger: Ledger) -> set[str]:
    return {row.integration_id for row in _among(ids, ledger, ledger.tables.links.c.integration_id)}


def _among(ids: Collection[str], ledger: Ledger, *columns: Column[Any]) -> Iterator[Any]:
    """Give the distinct values of the rows whose first of these columns is one of the ids."""
    rest = iter(sorted(ids))
    while chunk := list(islice(rest, _LOOKED_UP)):
        query = select(*columns).where(columns[0].in_(chunk)).distinct()
        with transaction(ledger.engine, "look ids up", reads_only=True) as connection:
            yield from connection.execute(query)


def _some(ids: Collection[str]) -> str:
    named = ", ".join(sorted(ids)[:_NAMED])
    more = len(ids) - _NAMED
    return f"{named} and {more:,} more" if more > 0 else named
