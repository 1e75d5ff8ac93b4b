"""Find the ids of targets that a recipe needs, in Kombo and in the ATS."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from airflow_kombo.delivery_key import TargetType
from airflow_kombo.kombo_api.reads import records_by_ids
from airflow_kombo.ledger.doubtful_rows import RowGroup
from airflow_kombo.reconciliation.integration_reader import (
    IntegrationReader,
    IntegrationUnreadableError,
    UnreadableError,
)
from airflow_kombo.reconciliation.recipes import Place, Recipe

Places = Mapping[Place, str]
"""The ids of one target."""

_COLLECTIONS: Final = {
    TargetType.APPLICATION.value: "applications",
    TargetType.CANDIDATE.value: "candidates",
}
_IDS_AT_ONCE: Final = 100
_LONGEST_IDS: Final = 3_000
"""Characters of the ids in one address, unless a single id is longer."""


async def places_of(
    reader: IntegrationReader, group: RowGroup, recipe: Recipe, target_ids: Iterable[str]
) -> dict[str, Places]:
    """Return the ids of targets by Kombo's id of the target.

    An id that Kombo does not tell may be missing. A recipe that may deny gets no id at all of a
    target without a record: such a target may look empty, because Kombo does not sync it.

    :raises IntegrationUnreadableError: if no read of the integration brings anything.
    """
    ids = sorted(set(target_ids))
    known = {one: {} if recipe.may_deny else _own_ids(one, group.target_type) for one in ids}
    if any(not places or recipe.places - places.keys() for places in known.values()):
        for part in _parts(one for one in ids if "," not in one):
            for record in await _records_of(reader, group, part):
                if (target_id := record.get("id")) in part:
                    known[target_id] = _own_ids(target_id, group.target_type)
                    known[target_id].update(_places_in(record, group.target_type))
    return dict(known)


def _own_ids(target_id: str, target_type: str) -> dict[Place, str]:
    """Return the ids of a target that are known without its record."""
    own = {Place.TARGET_ID: target_id}
    if target_type == TargetType.CANDIDATE.value:
        own[Place.CANDIDATE_ID] = target_id
    return own


def _parts(ids: Iterable[str]) -> Iterator[list[str]]:
    """Yield ids in parts, each of which one address can hold."""
    part: list[str] = []
    for one in ids:
        if len(part) == _IDS_AT_ONCE or len(quote(",".join([*part, one]))) > _LONGEST_IDS:
            if part:
                yield part
            part = []
        part.append(one)
    if part:
        yield part


async def _records_of(
    reader: IntegrationReader, group: RowGroup, ids: list[str]
) -> list[Mapping[str, Any]]:
    """Return Kombo's records by their ids. An id that Kombo refuses hides no other record."""
    collection = _COLLECTIONS[group.target_type]
    try:
        return _records(await reader.data_of(records_by_ids(group.integration_id, collection, ids)))
    except IntegrationUnreadableError:
        raise
    except UnreadableError:
        if len(ids) == 1:
            return []
    middle = len(ids) // 2
    halves = [await _records_of(reader, group, half) for half in (ids[:middle], ids[middle:])]
    return [record for half in halves for record in half]


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
