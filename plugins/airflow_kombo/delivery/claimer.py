"""Claim requests for all senders of a run."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

from airflow_kombo.delivery.group_commit import GroupCommit
from airflow_kombo.delivery.outcome_writer import OutcomeWriter
from airflow_kombo.delivery.stop_signal import StopSignal
from airflow_kombo.delivery.threads import Threads
from airflow_kombo.exceptions import LedgerError
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.ledger.held_rows import LockTolerantLedger
from airflow_kombo.ledger.outcomes import Claims, RowOutcome, UnconfirmedClaimError
from airflow_kombo.statuses import ErrorCode, Status


class Claimer:
    """Claims of a run: the requests of all senders share transactions.

    Requests of rows that were held have transactions of their own, so that no other request waits
    with them.

    :param redeliver: Statuses whose rows are sent again on purpose.
    """

    def __init__(
        self,
        run_id: str,
        redeliver: Collection[str],
        ledger: LockTolerantLedger,
        writer: OutcomeWriter,
        *,
        threads: Threads,
        stop: StopSignal,
    ) -> None:
        self._run_id = run_id
        self._redeliver = redeliver
        self._ledger = ledger
        self._writer = writer
        self._threads = threads
        self._stop = stop
        self._group = GroupCommit(partial(self._claim, are_held=False))
        self._group_of_held = GroupCommit(partial(self._claim, are_held=True))

    async def claim(self, requests: Sequence[RowRequest], *, were_held: bool) -> Claims:
        """Claim requests of one sender.

        :param were_held: Whether other transactions held the rows at their last try.
        :raises LedgerError: if the ledger failed; then none of the requests may be sent.
        """
        group = self._group_of_held if were_held else self._group
        claims, place = await group.join(requests)
        return claims.part(place, len(requests))

    async def _claim(self, requests: list[RowRequest], *, are_held: bool) -> Claims:
        """Claim a group of requests, or give back all of the group if the ledger fails.

        The ledger may have committed a claim whose confirmation was lost. Nothing of it was sent,
        so the claim is given back.
        """
        claim = self._ledger.claim
        try:
            return await self._threads.run(
                claim, self._run_id, requests, self._redeliver, are_held=are_held
            )
        except UnconfirmedClaimError as error:
            failed, unconfirmed = LedgerError(str(error)), error.claims
            self._stop.set(failed)
            message = f"Not sent, the run ended before it: {failed}"
            outcome = RowOutcome(
                Status.RETRYABLE, ErrorCode.RUN_STOPPED.value, error_message=message
            )
            await self._writer.write_durably(
                lambda: self._threads.run(self._ledger.release, unconfirmed, outcome)
            )
            raise failed from None
