"""Rules for claims, and for outcomes without a claim."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.ledger.known_rows import KnownRows
from airflow_kombo.ledger.ledger_rows import LedgerRow
from airflow_kombo.ledger.outcomes import (
    Claim,
    ClaimResult,
    Duplicate,
    LeftOut,
    MovedRow,
    RowOutcome,
    Skipped,
)
from airflow_kombo.statuses import BINDING, CHANGED, SENT_AGAIN, SENT_WHEN_CHANGED, Status


class ClaimRules:
    """Rules for the requests of one claim, decided one after the other.

    :param known: The rows that the ledger has of them.
    :param run_id: The run that claims.
    """

    def __init__(self, known: KnownRows, run_id: str) -> None:
        self._known = known
        self._run_id = run_id
        self._won: dict[str, LinkKey] = {}
        self._won_by_url: defaultdict[str, list[LinkKey]] = defaultdict(list)

    def decide(self, request: RowRequest, redeliver: Collection[str]) -> ClaimResult:
        """Decide about one request.

        :param redeliver: Statuses of this result that are sent again although they are final, or
            although the request is unchanged.
        """
        key = request.key
        if self._known.is_left_out(key.result_id):
            return LeftOut(request)
        before = self._known.standing(key)
        if won := self._won.get(key.result_id):
            return Skipped(request) if won == key else MovedRow(request, None)
        if _has_moved(before, key):
            if not may_follow(before, redeliver):
                return MovedRow(request, before)
        elif not may_be_sent(before, request, redeliver):
            return Skipped(request)
        if owner := self._owner_of(request):
            return Duplicate(request, owner)
        return self._claim(request, before)

    def _owner_of(self, request: RowRequest) -> str | None:
        """Return the result id of another row with the link, in this claim or before."""
        if request.url_hash is None:  # the write may be repeated
            return None
        for key in self._won_by_url.get(request.url_hash, ()):
            if key.target == request.key.target:
                return key.result_id
        return self._known.owner_of(request)

    def _claim(self, request: RowRequest, before: LedgerRow | None) -> Claim:
        key = request.key
        self._won[key.result_id] = key
        if request.url_hash is not None:
            self._won_by_url[request.url_hash].append(key)
        attempts = max((row.attempts for row in self._known.of(key.result_id)), default=0)
        return Claim(request, self._run_id, attempts + 1, before)


def may_be_sent(known: LedgerRow | None, request: RowRequest, redeliver: Collection[str]) -> bool:
    """Return True if a run may claim a row.

    :param known: The row's status row. None if it has none.
    :param redeliver: Statuses that are sent again although they are final.
    """
    if known is None or known.status in SENT_AGAIN or known.status in redeliver:
        return True
    if known.status == Status.INVALID:  # it had no request before, so it has changed
        return True
    waits_for_change = known.status in SENT_WHEN_CHANGED
    if waits_for_change or (known.status == Status.SUCCESS and CHANGED in redeliver):
        return known.request_hash != request.request_hash
    return False


def may_follow(bound: LedgerRow | None, redeliver: Collection[str]) -> bool:
    """Return True if a result may move away from the target of the status row.

    A delivered result may by the word `changed`, and one in doubt only by its own status.

    :param bound: The result's status row.
    """
    if bound is None or bound.status not in BINDING:
        return True
    words = {bound.status} - {Status.SENDING.value}
    if bound.status == Status.SUCCESS.value:
        words.add(CHANGED)
    return not words.isdisjoint(redeliver)


def may_be_recorded_unsent(known: LedgerRow | None, outcome: RowOutcome) -> bool:
    """Return True if an outcome without a request may replace a status row.

    :param known: The status row. None if there is none.
    """
    if known is None or known.status in SENT_AGAIN:
        return True
    if known.status in BINDING or outcome.status != Status.INVALID:
        return False
    if known.status == Status.INVALID:
        reason = (outcome.error_code, outcome.error_message)
        return (known.error_code, known.error_message) != reason
    return known.status in SENT_WHEN_CHANGED


def _has_moved(before: LedgerRow | None, key: LinkKey) -> bool:
    return before is not None and LinkKey.of(before) != key
