"""Decide which rows a run may claim, by what the ledger holds of them."""

from __future__ import annotations

from collections.abc import Collection

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.ledger.known_rows import KnownRows
from airflow_kombo.ledger.outcomes import (
    Claim,
    Claims,
    LedgerRow,
    MovedRow,
    may_be_sent,
    may_follow,
)


class ClaimRules:
    """Decide about rows that are to be claimed together, one after the other.

    :param known: What the ledger holds of them.
    """

    def __init__(self, known: KnownRows) -> None:
        self._known = known
        self._won: dict[str, Claim] = {}
        self._links: dict[tuple[str, ...], str] = {}
        self._duplicates: list[tuple[RowRequest, str]] = []
        self._skipped: list[RowRequest] = []
        self._moved: list[MovedRow] = []

    @property
    def claims(self) -> Claims:
        """Return what became of the rows."""
        return Claims(
            tuple(self._won.values()),
            tuple(self._duplicates),
            tuple(self._skipped),
            tuple(self._moved),
        )

    def decide(self, delivery: RowRequest, redeliver: Collection[str], run_id: str) -> None:
        """Decide about one row.

        :param redeliver: What may be sent of this very result though it is final or unchanged.
        """
        key, link = delivery.key, _link_of(delivery)
        before = self._known.standing(key)
        first = self._won.get(key.result_id)
        if first and first.delivery.key != key:
            self._moved.append(MovedRow(delivery, None))
        elif not first and _has_moved(before, key) and not may_follow(before, redeliver):
            self._moved.append(MovedRow(delivery, before))
        elif first or not (_has_moved(before, key) or may_be_sent(before, delivery, redeliver)):
            self._skipped.append(delivery)
        elif owner := self._links.get(link) or self._known.owner_of(link, key.result_id):
            self._duplicates.append((delivery, owner))
        else:
            self._links[link] = key.result_id
            attempt = 1 + max((row.attempts for row in self._known.of(key.result_id)), default=0)
            self._won[key.result_id] = Claim(delivery, run_id, attempt, before)


def _has_moved(before: LedgerRow | None, key: LinkKey) -> bool:
    return before is not None and LinkKey(*before[:4]) != key


def _link_of(delivery: RowRequest) -> tuple[str, ...]:
    """Return what one target may have once; of a write that may repeat, it is the row's own."""
    key, url_hash = delivery.key, delivery.url_hash
    return (key.integration_id, key.target_type, key.target_id, url_hash or f"of {key.result_id}")
