"""Counts of a day's rows by integration, before the day is divided into shards."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import (
    Column,
    MetaData,
    Select,
    Table,
    Text,
    and_,
    case,
    func,
    select,
)

from airflow_kombo.rows.private_database import open_private_database, written

if TYPE_CHECKING:
    from airflow_kombo.delivery_key import LinkKey


class IntegrationCount(NamedTuple):
    """Rows of one integration.

    :param rows: The number of rows to read.
    :param shares_results: True if a result of the integration has rows of another one, too. One
        run has to see them all, as such a result has no target that is sure.
    """

    integration_id: str
    rows: int
    shares_results: bool


def count_by_integration(keys: Select[Any]) -> Select[tuple[str, int, int]]:
    """Build the query that counts rows by integration; `counted` reads the result.

    :param keys: The rows, with the columns `integration_id` and `result_id`.
    """
    row = keys.subquery("row_keys").c
    first, last = (
        of(row.integration_id).over(partition_by=row.result_id) for of in (func.min, func.max)
    )
    # Rows without a result share none: each of them gets a key of its own.
    is_shared = case((and_(row.result_id.is_not(None), first != last), 1), else_=0)
    marked = select(row.integration_id, is_shared.label("is_shared")).subquery("marked").c
    return select(marked.integration_id, func.count(), func.max(marked.is_shared)).group_by(
        marked.integration_id
    )


_KEYS: Final = Table("keys", MetaData(), Column("integration_id", Text), Column("result_id", Text))


class KeyCounter:
    """Counts of rows that come in chunks, where the database of the rows cannot count them.

    The keys are in a private database on the worker's disk, so that memory does not grow with the
    day.
    """

    def __init__(self) -> None:
        self._database = open_private_database(
            "CREATE TABLE keys (integration_id TEXT, result_id TEXT);"
        )

    def add(self, keys: Iterable[LinkKey]) -> None:
        """Add rows by their keys.

        :raises ConfigurationError: if the disk has no room.
        """
        rows = ((key.integration_id, key.result_id) for key in keys)
        with written(self._database):
            self._database.executemany("INSERT INTO keys VALUES (?, ?)", rows)

    def counts(self) -> list[IntegrationCount]:
        """Return the rows so far by integration."""
        query = count_by_integration(select(_KEYS)).compile(compile_kwargs={"literal_binds": True})
        return counted(self._database.execute(str(query)))


def counted(rows: Iterable[tuple[Any, ...]]) -> list[IntegrationCount]:
    """Return the result of `count_by_integration`; an id that cannot be read is blank."""
    return [
        IntegrationCount(name if isinstance(name, str) else "", number, bool(is_shared))
        for name, number, is_shared in rows
    ]
