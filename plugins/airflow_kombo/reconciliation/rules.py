"""The rule of evidence: what a look for a link proves about a row in doubt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from airflow_kombo.ledger.doubtful_rows import Control, DoubtfulRow, Rivals
from airflow_kombo.ledger.evidence import Evidence
from airflow_kombo.reconciliation.recipes import Recipe
from airflow_kombo.reconciliation.url_search import Seen
from airflow_kombo.statuses import Decision

KOMBO_SECONDS: Final = 300.0
"""Time limit of Kombo for a write: a request that we gave up may still be carried out so long."""
MARGIN_SECONDS: Final = 120.0
"""Seconds more, for what the network held back, and for clocks that do not agree."""
_FIRST_PAUSE: Final = timedelta(minutes=5)
_PART_OF_AGE: Final = 4
"""A row is looked for again when its age has grown by this part."""


@dataclass(frozen=True)
class FoundControl:
    """Control that was found before the rows in doubt were looked for.

    :param found_at: The time at which its look began.
    """

    control: Control
    found_at: datetime


def executed_by(row: DoubtfulRow) -> datetime:
    """Return the time after which no attempt in doubt can be carried out any more."""
    return row.sent_until + timedelta(seconds=KOMBO_SECONDS + MARGIN_SECONDS)


def is_due(row: DoubtfulRow, now: datetime) -> bool:
    """Return True if a row is to be looked for now: ever more rarely, the older it is."""
    if row.looked_at is None:
        return executed_by(row) <= now
    age = row.looked_at - row.sent_until
    return row.looked_at + max(_FIRST_PAUSE, age / _PART_OF_AGE) <= now


def serves(control: Control, row: DoubtfulRow) -> bool:
    """Return True if a control was sent after the last moment of a row in doubt.

    An older one may be visible while the row in doubt is not synced yet.
    """
    return control.sent_after >= executed_by(row)


def evidence_of(
    row: DoubtfulRow, seen: Seen, recipe: Recipe, at: datetime, control: FoundControl | None
) -> Evidence:
    """Return what a look proves.

    :param at: The time at which the look began.
    :param control: A control that was found before, by the same read; None without one.
    """
    where = f"{recipe.name} at {_minute(at)}"
    if seen is Seen.FOUND:
        if row.rivals is Rivals.NONE:
            return Evidence(row, f"Found by {where}.", Decision.CREATED)
        return Evidence(
            row, f"Found by {where}; another attempt or result with this address may have made it."
        )
    if seen is Seen.SIMILAR:
        return Evidence(row, f"Another form of the address was found by {where}.")
    return _of_absence(row, recipe, where, at, control)


def _of_absence(
    row: DoubtfulRow, recipe: Recipe, where: str, at: datetime, control: FoundControl | None
) -> Evidence:
    absent = f"Not found by {where}"
    if row.rivals is Rivals.MADE:
        return Evidence(row, f"{absent}, nor the link of an earlier attempt.")
    if not recipe.may_deny:
        return Evidence(row, f"{absent}. This recipe may not deny a link ({recipe.source}).")
    if executed_by(row) > at:
        return Evidence(row, f"{absent}. Kombo may still be carrying it out.")
    if control is None or not serves(control.control, row) or control.found_at > at:
        return Evidence(row, f"{absent}. No later link of this integration was found so either.")
    return Evidence(
        row,
        f"{absent}, and a later link was: that of {control.control.key.result_id}, sent after"
        f" {_minute(control.control.sent_after)}.",
        Decision.NOT_CREATED,
    )


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
