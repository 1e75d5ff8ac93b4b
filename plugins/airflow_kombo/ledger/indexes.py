"""Indexes of the tables, and those that only older versions have.

No index has a value that changes with the usual outcome of a row (docs/adr/0034-hot-updates.md).
PostgreSQL then writes the outcome beside the row, and leaves all indexes as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Index, text

from airflow_kombo.database.dialects.indexes import (
    where_indexes_are_never_partial,
    where_indexes_may_be_partial,
)
from airflow_kombo.delivery_key import LinkKey, Target

RETIRED: Final = "retired_indexes"
"""Key of `Table.info`: the table's indexes that only older versions have, with their columns."""
_RETIRED_OF_LINKS: Final[Mapping[str, Sequence[str]]] = {
    "day": ("assessment_date", "status"),
    "sending": ("run_id",),
    "status": ("status", "run_id"),
    "trouble": ("assessment_date", "result_id"),
    "unknown": LinkKey._fields,
}
_RETIRED_OF_ATTEMPTS: Final[Mapping[str, Sequence[str]]] = {
    "claimed": ("claimed_at",),
    "limited": ("run_id",),
    "open": ("run_id",),
    "run": ("run_id", "status"),
}


def of_links(name: str) -> list[Index]:
    """Return the indexes of the status table."""
    return [
        # The database itself keeps one link from being sent under two result ids.
        Index(f"{name}_url", *Target._fields, "url_hash", unique=True),
        Index(f"{name}_result", "result_id"),  # finds a result on any target
        Index(f"{name}_run", "run_id"),  # finds the rows that a dead run left, and those of a run
        # The page reads a result or a part of the list, and the few rows that need a person.
        Index(f"{name}_date", "assessment_date"),
        Index(f"{name}_listed", "assessment_date", "result_id", "integration_id"),
        _partial(f"{name}_in_doubt", "trouble = 'unknown'", *LinkKey._fields),
        _partial(
            f"{name}_in_trouble", "trouble IS NOT NULL", "assessment_date", "result_id", "trouble"
        ),
        _partial(f"{name}_warned", "warnings IS NOT NULL", "assessment_date"),
        _partial(f"{name}_left_out", "left_out_at IS NOT NULL", "assessment_date", "result_id"),
        _instead_of_partial(f"{name}_troubles", "trouble", "assessment_date"),
    ]


def of_attempts(name: str) -> list[Index]:
    """Return the indexes of the attempts' history."""
    return [
        Index(f"{name}_of_run", "run_id"),
        # Each run deletes the responses of long ago.
        _partial(f"{name}_response", "response IS NOT NULL", "claimed_at"),
        _instead_of_partial(f"{name}_responses", "response", first_characters=1),
        Index(f"{name}_result", "result_id"),
    ]


def of_preview(name: str) -> list[Index]:
    """Return the indexes of the table of dry runs."""
    return [
        Index(f"{name}_target", "run_id", "integration_id", "target_id"),
        # The page counts the rows of dry runs by action, without a look at their requests.
        Index(f"{name}_action", "run_id", "action", "number"),
        # The page lists dry runs by their first row.
        _partial(f"{name}_first", "number = 0", "previewed_at", "run_id"),
        _instead_of_partial(f"{name}_number", "number", "previewed_at", "run_id"),
    ]


def retired_of_links(name: str) -> dict[str, list[str]]:
    """Return the status table's indexes of older versions, each with its columns."""
    return _named(name, _RETIRED_OF_LINKS)


def retired_of_attempts(name: str) -> dict[str, list[str]]:
    """Return the attempts' indexes of older versions, each with its columns."""
    return _named(name, _RETIRED_OF_ATTEMPTS)


def _named(table: str, indexes: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {f"{table}_{name}": list(columns) for name, columns in indexes.items()}


def _partial(name: str, condition: str, *columns: str) -> Index:
    """Return an index on the few rows with a condition. One on all rows would be larger."""
    only = text(condition)
    index = Index(name, *columns, postgresql_where=only, sqlite_where=only)
    return where_indexes_may_be_partial(index)


def _instead_of_partial(name: str, *columns: str, first_characters: int | None = None) -> Index:
    """Return an index that finds the same rows on a database without partial indexes.

    :param first_characters: The number of a text's characters in the index; by default all.
    """
    length = {} if first_characters is None else dict.fromkeys(columns, first_characters)
    index = Index(name, *columns, mysql_length=length, mariadb_length=length)
    return where_indexes_are_never_partial(index)
