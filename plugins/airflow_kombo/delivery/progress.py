"""Report the progress of a run to the log and to Airflow's metrics."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Final

from airflow_kombo.delivery.integration_sender import IntegrationSender
from airflow_kombo.observability.metrics import Metrics

log = logging.getLogger(__name__)

_PROGRESS_SECONDS: Final = 10.0


async def report_progress(
    senders: Sequence[IntegrationSender], planned: int, metrics: Metrics
) -> None:
    """Report the counts of a run every few seconds, until cancelled."""
    while True:
        await asyncio.sleep(_PROGRESS_SECONDS)
        done = sum((sender.counts for sender in senders), Counter[str]())
        counts = ", ".join(f"{number} {name}" for name, number in sorted(done.items()) if number)
        log.info("%d of %d rows: %s", done.total(), planned, counts or "none yet")
        waiting = Counter(sender.waits_for for sender in senders if sender.waits_for)
        if waiting:
            causes = ", ".join(f"{cause} ({number})" for cause, number in waiting.most_common())
            log.info("Integrations wait for: %s", causes)
        await metrics.send_in_turns()
