"""Look for a link on its target, as a recipe says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from airflow_kombo.kombo_api.reads import Read, passthrough
from airflow_kombo.reconciliation.integration_reader import IntegrationReader, UnreadableError
from airflow_kombo.reconciliation.recipes import Recipe
from airflow_kombo.reconciliation.targets import Places
from airflow_kombo.reconciliation.url_search import Seen, search

_MOST_PAGES: Final = 20
_UNSAFE: Final = re.compile(r"['\"\\\x00-\x1f\x7f]")
"""Characters of an id that could end a text in a query such as SOQL."""
_BEST: Final = (Seen.FOUND, Seen.SIMILAR, Seen.ABSENT)


async def look(
    reader: IntegrationReader, integration_id: str, recipe: Recipe, places: Places, url: str
) -> Seen:
    """Look for an address in all entries that a recipe reads, and return what was seen.

    :raises UnreadableError: if the entries were not all read, so that an absence proves nothing.
    """
    seen, cursors = Seen.ABSENT, list[str]()
    for _ in range(_MOST_PAGES):
        read = _read(integration_id, recipe, places, cursors[-1] if cursors else None)
        answer = _answer(recipe, await reader.data_of(read))
        texts = [text for entry in _entries(recipe, answer) for text in _texts(recipe, entry)]
        seen = min(seen, search(url, texts), key=_BEST.index)
        if seen is Seen.FOUND:
            return seen
        _refuse_missing_lists(recipe, answer)
        cursor = _at(answer, recipe.next) if recipe.next else None
        if not cursor:
            return seen
        if not recipe.next_param or str(cursor) in cursors:
            break
        cursors.append(str(cursor))
    raise UnreadableError("there are more pages than were read")


def _read(integration_id: str, recipe: Recipe, places: Places, cursor: str | None) -> Read:
    if not places:
        raise UnreadableError("Kombo does not track the target")
    missing = sorted(recipe.places - places.keys())
    if missing:
        raise UnreadableError(f"Kombo does not track the target: it has no {', '.join(missing)}")
    if any(_UNSAFE.search(places[one]) for one in recipe.places):
        raise UnreadableError("an id of the target has quotes or control characters")
    values = {str(place): value for place, value in places.items()}
    in_path = {name: quote(value, safe="") for name, value in values.items()}
    params = {name: text.format_map(values) for name, text in recipe.params.items()}
    data = _filled(recipe.data, values)
    if cursor is not None and recipe.next_param:
        (data if recipe.method == "POST" else params)[recipe.next_param] = cursor
    if recipe.get:
        return Read(integration_id, recipe.get.format_map(in_path), params)
    return passthrough(
        integration_id,
        recipe.passthrough or "",
        method=recipe.method,
        path=(recipe.path or "").format_map(in_path),
        params=params,
        data=data,
    )


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    """Return a value of JSON with ids in the place of the placeholders."""
    if isinstance(value, str):
        return value.format_map(values)
    if isinstance(value, Mapping):
        return {name: _filled(one, values) for name, one in value.items()}
    return [_filled(one, values) for one in value] if isinstance(value, list) else value


def _answer(recipe: Recipe, data: Any) -> Any:
    """Return the answer of Kombo, or of the applicant tracking system behind it."""
    if recipe.get:
        return data
    status = data.get("status") if isinstance(data, Mapping) else None
    if not isinstance(status, int) or not 200 <= status < 300:  # noqa: PLR2004 - the class of 2xx
        answered = f"HTTP {status}" if isinstance(status, int) else "no HTTP status"
        raise UnreadableError(f"the applicant tracking system answered {answered}")
    return data.get("data")


def _entries(recipe: Recipe, answer: Any) -> Iterator[Any]:
    for path in recipe.lists:
        found = _at(answer, path)
        if isinstance(found, list):
            yield from found


def _refuse_missing_lists(recipe: Recipe, answer: Any) -> None:
    missing = [path for path in recipe.lists if not isinstance(_at(answer, path), list)]
    if missing:
        raise UnreadableError(f"the answer has no list {', '.join(missing)}")


def _at(answer: Any, path: str) -> Any:
    """Return the value at a path such as `paging.next`; `.` is the answer itself."""
    for name in path.split(".") if path != "." else ():
        answer = answer.get(name) if isinstance(answer, Mapping) else None
    return answer


def _texts(recipe: Recipe, entry: Any) -> Iterator[str]:
    """Yield the texts of an entry in which an address may be."""
    # Without recursion: foreign data may be nested more deeply than Python calls functions.
    left = [(entry, False)]
    while left:
        value, is_text = left.pop()
        if isinstance(value, str) and is_text:
            yield value
        elif isinstance(value, Mapping):
            left += [(one, is_text or name in recipe.texts) for name, one in value.items()]
        elif isinstance(value, list):
            left += [(one, is_text) for one in value]
