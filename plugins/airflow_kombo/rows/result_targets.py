"""Targets of the results of a run: a result with two targets has none that is sure.

They are in a private database on the worker's disk, so that memory does not grow with the day.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Final

from airflow_kombo.exceptions import RowError
from airflow_kombo.kombo_api.request import InvalidRow, MappedRow, RowRequest
from airflow_kombo.rows.private_database import open_private_database, written
from airflow_kombo.statuses import ErrorCode

if TYPE_CHECKING:
    from airflow_kombo.delivery_key import LinkKey

_PARTS: Final = "\n"
"""Character between the parts of a target: no part of a valid key contains it."""
_ADD: Final = """
    INSERT INTO results (result_id, target) VALUES (?, ?)
    ON CONFLICT (result_id) DO UPDATE SET other = excluded.target
    WHERE other IS NULL AND target <> excluded.target
"""
_FIND: Final = """
    SELECT result_id, target, other FROM results
    WHERE other IS NOT NULL AND result_id IN (SELECT value FROM json_each(?))
"""


class ResultTargets:
    """The targets of each result, as the rows of a run name them; any thread may ask."""

    def __init__(self) -> None:
        self._database = open_private_database("""
            CREATE TABLE results (result_id TEXT PRIMARY KEY, target TEXT, other TEXT)
            WITHOUT ROWID;
        """)
        self._turn = Lock()
        self._are_ambiguous: bool | None = None

    def add(self, keys: Iterable[LinkKey]) -> None:
        """Add the keys of valid rows.

        :raises ConfigurationError: if the disk has no room.
        """
        rows = ((key.result_id, _PARTS.join(key.target)) for key in keys)
        with self._turn:
            self._are_ambiguous = None
            with written(self._database):
                self._database.executemany(_ADD, rows)

    def marked(self, page: Sequence[MappedRow]) -> list[MappedRow]:
        """Return rows in their order, with an invalid row for each of an ambiguous result."""
        found = dict(self._ambiguous(page))
        if not found:
            return list(page)
        return [
            _invalid(row, found[row.key.result_id])
            if row.key.result_id in found and _is_addressed(row)
            else row
            for row in page
        ]

    def _ambiguous(self, page: Sequence[MappedRow]) -> Iterator[tuple[str, tuple[str, str]]]:
        """Yield the results of a page that have two targets, with both."""
        with self._turn:
            if self._are_ambiguous is None:
                query = "SELECT EXISTS (SELECT 1 FROM results WHERE other IS NOT NULL)"
                ((self._are_ambiguous,),) = self._database.execute(query)
            if not self._are_ambiguous:
                return
            ids = json.dumps([row.key.result_id for row in page])
            rows = self._database.execute(_FIND, [ids]).fetchall()
        yield from ((result_id, (target, other)) for result_id, target, other in rows)


def _is_addressed(row: MappedRow) -> bool:
    return isinstance(row, RowRequest) or row.is_addressed


def _invalid(row: MappedRow, targets: tuple[str, str]) -> InvalidRow:
    own = _PARTS.join(row.key.target)
    other = next(target for target in targets if target != own)
    integration_id, kind, target_id = other.split(_PARTS)
    reason = (
        f"another row has the same one, for {kind} {target_id} of {integration_id}: give each"
        " result one target"
    )
    error = RowError(ErrorCode.DUPLICATE_RESULT_ID, "result_id", reason)
    return InvalidRow(row.key, row.assessment_date, error)
