"""What the ledger holds of some results: their status rows, their links, their attempts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.ledger.outcomes import LedgerRow
from airflow_kombo.ledger.tables import KEY, Tables
from airflow_kombo.statuses import BINDING, DUPLICATE_RESULT_ID, OWNERS

_HISTORY = (
    "attempt",
    "status",
    "warnings",
    "error_code",
    "error_title",
    "error_message",
    "log_url",
    "http_status",
    "resolution",
)


class KnownRows:
    """Status rows, as they were when we looked.

    A result has one status row, on the target that it was sent to, or is to be sent to. Only rows
    that name one result twice have more.

    :param rows: Rows of a lookup; some may come twice.
    """

    def __init__(self, rows: Iterable[LedgerRow]) -> None:
        self.by_key: dict[LinkKey, LedgerRow] = {LinkKey(*row[:4]): row for row in rows}
        self._by_result: defaultdict[str, list[LedgerRow]] = defaultdict(list)
        self._by_link: dict[tuple[str, ...], LedgerRow] = {}
        for row in self.by_key.values():
            self._by_result[row.result_id].append(row)
            if row.url_hash:
                self._by_link[(*row[:3], row.url_hash)] = row

    def of(self, result_id: str) -> Sequence[LedgerRow]:
        """Return a result's rows."""
        return self._by_result.get(result_id, ())

    def standing(self, key: LinkKey) -> LedgerRow | None:
        """Return the row that speaks for a result: the one that binds it, else the key's own."""
        own = self.by_key.get(key)
        if own is not None and own.status in BINDING:
            return own
        rows = self.of(key.result_id)
        bound = next((row for row in rows if row.status in BINDING), None)
        return bound or own or next(iter(rows), None)

    def replaced_by(self, row: Mapping[str, Any], before: LedgerRow | None) -> list[LedgerRow]:
        """Return the rows of a result that make way for what is written of it.

        Rows that name one result twice stand side by side until one of them is sent.
        """
        if row.get("error_code") == DUPLICATE_RESULT_ID:
            return []
        others = (one for one in self.of(row["result_id"]) if one is not before)
        return [one for one in others if one.status not in BINDING]

    def owner_of(self, link: tuple[str, ...], result_id: str) -> str | None:
        """Return the other result that has a link; a refused one has none."""
        owner = self._by_link.get(link)
        if owner is None or owner.result_id == result_id or owner.status not in OWNERS:
            return None
        return str(owner.result_id)

    def losers(self, delivery: RowRequest) -> list[LedgerRow]:
        """Return the rows that have a request's link in the table though they were refused."""
        owner = self._by_link.get((*delivery.key[:3], delivery.url_hash or ""))
        if owner is None or owner.result_id == delivery.key.result_id:
            return []
        return [owner]


def lock(connection: Connection, tables: Tables, result_ids: Collection[str]) -> None:
    """Lock the status rows of results in the order of their keys, until the transaction ends.

    Nobody then records an attempt of theirs between our look and our write.
    """
    links = tables.links.c
    rows = select(links.result_id).where(links.result_id.in_(sorted(set(result_ids))))
    connection.execute(rows.order_by(*(links[name] for name in KEY)).with_for_update()).all()


def history(
    connection: Connection, tables: Tables, result_ids: Collection[str]
) -> dict[str, list[Any]]:
    """Return the attempts of results, oldest first."""
    attempts = tables.attempts.c
    found: dict[str, list[Any]] = {result_id: [] for result_id in sorted(set(result_ids))}
    query = select(*(attempts[name] for name in (*KEY, *_HISTORY)))
    query = query.where(attempts.result_id.in_(list(found)))
    for row in connection.execute(query.order_by(attempts.attempt, attempts.claimed_at)):
        found[row.result_id].append(row)
    return found
