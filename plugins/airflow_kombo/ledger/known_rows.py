"""Status rows of some results, and the owners of links."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.ledger.history import history, may_have_link
from airflow_kombo.ledger.ledger_rows import LedgerRow, version_of
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.statuses import BINDING, OWNERS, ErrorCode


class KnownRows:
    """Status rows, as they were when the ledger read them.

    A result has one status row. Its target is the one that the result was sent to, or is to be
    sent to. Only rows that name one result twice have more.

    :param rows: Rows of a lookup. The same row may come twice.
    """

    def __init__(self, rows: Iterable[LedgerRow]) -> None:
        self.by_key: dict[LinkKey, LedgerRow] = {LinkKey.of(row): row for row in rows}
        self._by_result: defaultdict[str, list[LedgerRow]] = defaultdict(list)
        self._by_url: defaultdict[str, list[LedgerRow]] = defaultdict(list)
        for key, row in self.by_key.items():
            self._by_result[key.result_id].append(row)
            if row.url_hash:
                self._by_url[row.url_hash].append(row)

    def of(self, result_id: str) -> Sequence[LedgerRow]:
        """Return the rows of a result."""
        return self._by_result.get(result_id, ())

    def is_left_out(self, result_id: str) -> bool:
        """Return True if a person has left a result out, on whichever target."""
        return any(row.left_out_at is not None for row in self.of(result_id))

    def is_as_seen(self, key: LinkKey, seen: Mapping[str, str], own: int) -> bool:
        """Return True if the valid row of a result has the version seen by a person.

        :param seen: The versions by result id. Empty means that any version will do.
        :param own: The number of attempts since, of the same dag run.
        """
        row = self.standing(key)
        return row is None or not seen or version_of(row, own) == seen.get(key.result_id)

    def standing(self, key: LinkKey) -> LedgerRow | None:
        """Return the valid row of a result: the binding one, else the key's own."""
        rows = self.of(key.result_id)
        if not rows:
            return None
        own = self.by_key.get(key)
        if own is not None and own.status in BINDING:
            return own
        bound = next((row for row in rows if row.status in BINDING), None)
        return bound or own or rows[0]

    def replaced_by(self, row: Mapping[str, Any], before: LedgerRow | None) -> list[LedgerRow]:
        """Return the rows of a result to be replaced by a new row.

        Rows that name one result twice stay side by side until one of them is sent.

        :param row: The new row by column.
        :param before: The row that it changes. None if it is inserted.
        """
        if row.get("error_code") == ErrorCode.DUPLICATE_RESULT_ID:
            return []
        others = (one for one in self.of(row["result_id"]) if one is not before)
        return [one for one in others if one.status not in BINDING]

    def owner_of(self, request: RowRequest) -> str | None:
        """Return the result id of another owner of a request's link.

        A refused row owns no link. Nor does a row that a person has left out, unless its link
        exists or may exist.
        """
        holder = self._other_with_link(request)
        if holder is None:
            return None
        owners = OWNERS if holder.left_out_at is None else BINDING
        return holder.result_id if holder.status in owners else None

    def losers(self, request: RowRequest) -> list[LedgerRow]:
        """Return the rows with the link of a request, without owners."""
        holder = self._other_with_link(request)
        return [holder] if holder else []

    def _other_with_link(self, request: RowRequest) -> LedgerRow | None:
        for row in self._by_url.get(request.url_hash or "", ()):
            key = LinkKey.of(row)
            if key.target == request.key.target and key.result_id != request.key.result_id:
                return row
        return None


def targets_with_links(
    connection: Connection, tables: Tables, known: KnownRows, keys: Iterable[LinkKey]
) -> set[LinkKey]:
    """Return the keys with a possible link and without their status row.

    A status row is replaced when its result is sent to another target.

    :param known: The status rows of the keys' results.
    """
    moved = {key.result_id for key in keys if key not in known.by_key and known.of(key.result_id)}
    if not moved:
        return set()
    attempts = history(connection, tables, moved)
    return {LinkKey.of(one) for own in attempts.values() for one in own if may_have_link(one)}


def lock(connection: Connection, tables: Tables, result_ids: Collection[str]) -> None:
    """Lock the status rows of results until the transaction ends, in the order of their keys.

    Nobody can then record an attempt of theirs between a read and a write.
    """
    links = tables.links.c
    rows = select(links.result_id).where(links.result_id.in_(sorted(set(result_ids))))
    connection.execute(rows.order_by(*(links[name] for name in KEY)).with_for_update()).all()
