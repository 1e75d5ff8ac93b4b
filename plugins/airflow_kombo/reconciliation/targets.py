"""Find the ids of targets that a recipe needs, in Kombo and in the ATS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

from airflow_kombo.delivery_key import TargetType
from airflow_kombo.kombo_api.reads import LONGEST_PAGE, records_by_ids
from airflow_kombo.ledger.doubtful_rows import RowGroup
from airflow_kombo.reconciliation.integration_reader import IntegrationReader
from airflow_kombo.reconciliation.recipes import Place, Recipe

Places = Mapping[Place, str]
"""The ids of one target."""

_COLLECTIONS: Final = {
    TargetType.APPLICATION.value: "applications",
    TargetType.CANDIDATE.value: "candidates",
}
_IDS_AT_ONCE: Final = 100
"""Ids in one address, which stays shorter than 4,000 characters so."""


async def places_of(
    reader: IntegrationReader, group: RowGroup, recipe: Recipe, target_ids: Iterable[str]
) -> dict[str, Places]:
    """Return the ids of targets by Kombo's id of the target.

    A target that Kombo does not track, or an id that the recipe needs, may be missing.

    :raises UnreadableError: if Kombo's records cannot be read.
    """
    ids = sorted(set(target_ids))
    known: dict[str, dict[Place, str]] = {one: {Place.TARGET_ID: one} for one in ids}
    if group.target_type == TargetType.CANDIDATE.value:
        for one in ids:
            known[one][Place.CANDIDATE_ID] = one
    if all(recipe.places <= places.keys() for places in known.values()):
        return dict(known)
    rest = (one for one in ids if "," not in one and len(one) <= LONGEST_PAGE)
    while part := list(islice(rest, _IDS_AT_ONCE)):
        read = records_by_ids(group.integration_id, _COLLECTIONS[group.target_type], part)
        for record in _records(await reader.data_of(read)):
            if (target_id := record.get("id")) in known:
                known[target_id].update(_places_in(record, group.target_type))
    return dict(known)


def _records(data: Any) -> list[Mapping[str, Any]]:
    results = data.get("results") if isinstance(data, Mapping) else None
    found = results if isinstance(results, list) else []
    return [one for one in found if isinstance(one, Mapping)]


def _places_in(record: Mapping[str, Any], target_type: str) -> dict[Place, str]:
    candidate = record.get("candidate") if target_type == TargetType.APPLICATION.value else record
    candidate = candidate if isinstance(candidate, Mapping) else {}
    found = {
        Place.REMOTE_ID: record.get("remote_id"),
        Place.CANDIDATE_ID: candidate.get("id") or record.get("candidate_id"),
        Place.CANDIDATE_REMOTE_ID: candidate.get("remote_id"),
    }
    return {place: value for place, value in found.items() if isinstance(value, str) and value}
