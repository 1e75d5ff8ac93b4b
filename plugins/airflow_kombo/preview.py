"""A dry run: what a run would do with each row, without a request and without a claim."""

from __future__ import annotations

import logging
from collections import Counter

from airflow_kombo.errors import Status
from airflow_kombo.lane import SKIPPED
from airflow_kombo.ledger import Ledger
from airflow_kombo.mapping import RowMapping
from airflow_kombo.source import Selection, Source, allot

log = logging.getLogger(__name__)

WOULD_SEND = "would_send"


def preview(
    source: Source,
    mapping: RowMapping,
    ledger: Ledger,
    selection: Selection,
    default_integration: str | None,
) -> dict[str, Counter[str]]:
    """Count by integration what would become of the rows: sent, `invalid` or `skipped`.

    Reads only: no row is written, and Kombo is not asked.
    """
    counts: dict[str, Counter[str]] = {}
    reasons: Counter[str] = Counter()
    for integration_id, planned in allot(source.plan(), selection.limit).items():
        lane = counts.setdefault(integration_id, Counter())
        for page in source.pages(integration_id, planned):
            deliveries, invalid = mapping.deliveries(page, default_integration)
            claims = ledger.foresee(deliveries, selection.redeliver)
            lane[WOULD_SEND] += len(claims.won)
            lane[SKIPPED] += len(claims.skipped)
            lane[Status.INVALID.value] += len(invalid) + len(claims.duplicates)
            reasons.update(str(row.error) for row in invalid)
    for reason, rows in reasons.most_common():
        log.info("%d rows would be invalid: %s", rows, reason)
    return counts
