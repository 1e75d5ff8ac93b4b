"""Looking rows up in the ledger: which of them are done, so that a run leaves them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, select

from airflow_kombo.database.bulk_writes import Bulk
from airflow_kombo.database.transactions import transaction
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.ledger.tables import KEY

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from airflow_kombo.ledger.tables import Tables
    from airflow_kombo.rows.source import Selection

_IDS: Final = "ids"
_LOOKUP_IDS: Final = 1_000
"""Ids of one statement: SQLite allows no more parameters."""


class DoneRows:
    """The rows of the ledger that a run leaves out.

    A source leaves them out by itself if it reads from the ledger's own database.

    :param selection: The rows that the run wants.
    """

    def __init__(self, engine: Engine, tables: Tables, selection: Selection) -> None:
        links = tables.links.c
        self._engine = engine
        self._asked = Bulk(engine, [links.result_id])
        done = select(*(links[name] for name in KEY)).where(
            links.status.not_in(sorted(selection.open_statuses))
        )
        if self._asked.rows is not None:
            is_asked = links.result_id == self._asked.c["result_id"]
            self._query = done.join_from(self._asked.rows, tables.links, is_asked)
        else:
            self._query = done.where(links.result_id.in_(bindparam(_IDS, expanding=True)))

    def among(self, keys: Sequence[LinkKey]) -> set[LinkKey]:
        """Return the keys of rows that are done.

        The claim checks each row again before sending.

        :raises LedgerError: if the ledger cannot be read.
        """
        ids = sorted({key.result_id for key in keys})
        done: set[LinkKey] = set()
        with transaction(
            self._engine, "look rows up", reads_only=True, finds_by_key=True
        ) as connection:
            for start in range(0, len(ids), _LOOKUP_IDS):
                given = self._given(ids[start : start + _LOOKUP_IDS])
                done.update(map(LinkKey._make, connection.execute(self._query, given)))
        return done

    def _given(self, ids: Sequence[str]) -> Any:
        """Return the query's parameters for ids."""
        if self._asked.rows is not None:
            return self._asked.given([{"result_id": one} for one in ids])
        return {_IDS: ids}
