"""Write and count the unsent rows of one integration."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from airflow_kombo.delivery.held_rows import NOT_CLAIMED, NOT_RELEASED, HeldRows
from airflow_kombo.delivery.row_counts import RowCounts
from airflow_kombo.delivery.run_context import RunContext
from airflow_kombo.exceptions import LedgerError
from airflow_kombo.ledger.outcomes import Claim, RowOutcome, UnsentRow
from airflow_kombo.statuses import HELD, LEFT_OUT, SKIPPED, Status

log = logging.getLogger(__name__)


class UnsentRows:
    """Writer of outcomes of one integration's unsent rows.

    :param counts: Counts of the integration's rows, to which the written rows are added.
    """

    def __init__(self, context: RunContext, counts: RowCounts, held: HeldRows) -> None:
        self._context = context
        self._counts = counts
        self._held = held

    async def record(self, rows: Sequence[UnsentRow]) -> None:
        """Write the outcomes of rows with one status.

        :raises LedgerError: if not all of them were written.
        """
        if not rows:
            return
        context = self._context
        recorded = await context.threads.run(
            context.ledger.record_unsent, context.parts.run.run_id, rows
        )
        others = {*recorded.left, *recorded.left_out, *recorded.held}
        self._counts.add_outcomes(row.outcome for row in rows if row.key not in others)
        self._counts.add(SKIPPED, len(recorded.left))
        self._counts.add(LEFT_OUT, len(recorded.left_out))
        self._counts.add(HELD, self._held.leave(NOT_CLAIMED, recorded.held))

    async def release(self, claims: Sequence[Claim], reason: RowOutcome) -> None:
        """Release unsent claims.

        :param reason: Outcome of the rows that had no status before.
        """
        if not claims:
            return
        context = self._context
        integration_id = claims[0].request.key.integration_id
        log.info("%s: %d claimed rows go back unsent", integration_id, len(claims))
        try:
            held = await context.writer.write_durably(
                lambda: context.threads.run(context.ledger.release, claims, reason)
            )
        except LedgerError as error:
            context.stop.set(error)
            self._counts.add(Status.UNKNOWN, len(claims))  # as the next run will settle them
            return
        keys = {claim.request.key for claim in held}
        self._counts.add(HELD, self._held.leave(NOT_RELEASED, sorted(keys)))
        for claim in claims:  # a row that had a status has this status again
            if claim.request.key in keys:
                continue
            if claim.was_to_be_sent:
                self._counts.add_outcomes([reason])
            else:
                self._counts.add(SKIPPED)
