"""Send the rows of one integration: claim what can leave, send, record, repeat.

Beside the rows for which a slot is free, only those are claimed that one commit and a half use up.
So if the process is killed, few rows are in doubt that were not in flight.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from math import inf
from time import monotonic

from airflow_kombo.delivery.calls import Calls
from airflow_kombo.delivery.held_rows import NOT_RECORDED, HeldRows
from airflow_kombo.delivery.recording import FinishedCall, Recording, RecordingEnds
from airflow_kombo.delivery.request_queue import RequestQueue
from airflow_kombo.delivery.request_reader import RequestReader
from airflow_kombo.delivery.retry_queue import SENT_AGAIN, RetryQueue
from airflow_kombo.delivery.row_counts import RowCounts
from airflow_kombo.delivery.run_context import RunContext
from airflow_kombo.delivery.sending_end import SendingEnd
from airflow_kombo.delivery.unsent_rows import UnsentRows
from airflow_kombo.exceptions import LedgerError, RunStoppedError
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.ledger.outcomes import duplicate
from airflow_kombo.observability.metrics import SenderMetrics
from airflow_kombo.statuses import HELD, LEFT_OUT, SKIPPED, Status
from airflow_kombo.throttle.throttle import Throttle


class IntegrationSender:
    """Sender of one integration's rows in one run.

    :param planned: Number of the integration's rows; at the end, the counts add up to this number.
    """

    def __init__(self, context: RunContext, integration_id: str, planned: int) -> None:
        settings = context.parts.settings
        self.integration_id = integration_id
        self.planned = planned
        self.counts = RowCounts()
        self.metrics = SenderMetrics(integration_id, self.counts)
        self._context = context
        self._end = SendingEnd(integration_id, context.stop, context.wrong_server, self.metrics)
        held = HeldRows(integration_id, settings.held_pause, settings.held_patience)
        self._unsent = UnsentRows(context, self.counts, held)
        self._queue = RequestQueue(
            RequestReader(context, integration_id, planned),
            RetryQueue(settings),
            held,
            unsent=self._unsent,
            end=self._end,
        )
        ends = RecordingEnds(self._settle, self._leave, self._fail, self._go_on)
        self._recording = Recording(context.writer, context.held_outcomes, ends)
        cap = settings.cap_of(integration_id)
        self._throttle = Throttle(cap, context.senders, settings.cool_down)
        self._calls = Calls(
            context,
            self._throttle,
            self._recording,
            end=self._end,
            metrics=self.metrics,
            on_change=self._go_on,
        )
        self._changed = asyncio.Event()
        context.stop.on_stop(self._changed.set)

    async def deliver(self) -> None:
        """Try to send every row, and record why a row was not sent.

        :raises Exception: an error of this program, once everything else is recorded.
        """
        try:
            async for batch in self._batches():
                await self._claim(batch)
        except LedgerError as error:
            self._context.stop.set(error)
        except asyncio.CancelledError:
            self._context.stop.set(RunStoppedError("The run was cancelled."), hurried=True)
        await self._finish()
        if self._end.bug:
            raise self._end.bug

    @property
    def waits_for(self) -> str | None:
        """Return the present reason to wait, for the log; None if the sender does not wait."""
        now = monotonic()
        if self._throttle.is_cooling_down(now):
            return "a pause after failures"
        unsent = self.planned - self.counts.total() - len(self._calls.in_flight)
        if unsent and self._throttle.is_limited(now):
            return "Kombo's limits"
        if self._calls.in_flight:
            return "responses"
        if self._queue.held:
            return "rows that other transactions hold"
        return "the time to send rows again" if self._queue.retries else None

    # Claim and record ---------------------------------------------------------------------------

    @property
    def _is_busy(self) -> bool:
        return bool(self._calls.in_flight or self._calls.waiting or self._recording.groups)

    async def _batches(self) -> AsyncIterator[list[RowRequest]]:
        """Return batches of requests to claim, as soon as there is room for each."""
        while not self._end.has_come:
            self._changed.clear()
            now = monotonic()
            room, opens_at = self._calls.room(now), self._calls.opens_at(now)
            if room and (batch := await self._queue.take(room)):
                yield batch
            elif self._is_busy or await self._queue.has_more():
                await self._change(self._queue.next_due if room else opens_at)
            else:
                return

    async def _change(self, until: float) -> None:
        """Wait until a call, a recording or a pause ends, the run stops, or a time has come."""
        timer = None
        if until < inf:
            wait = max(0.0, until - monotonic())
            timer = asyncio.get_running_loop().call_later(wait, self._changed.set)
        await self._changed.wait()
        if timer:
            timer.cancel()

    async def _claim(self, batch: Sequence[RowRequest]) -> None:
        held, asked = self._queue.held, monotonic()
        claims = await self._context.claimer.claim(batch, were_held=held.were_held(batch))
        self._calls.window.commit.observe(monotonic() - asked)
        self.counts.add(HELD, held.update(batch, claims.held, monotonic()))
        self.counts.add(SKIPPED, len(claims.skipped) + len(claims.moved))
        self.counts.add(LEFT_OUT, len(claims.left_out))
        self._calls.add(claims.won)
        await self._unsent.record(
            [duplicate(request, owner) for request, owner in claims.duplicates]
        )

    def _settle(self, call: FinishedCall) -> None:
        """Send a request again if its outcome allows another try; else count the row."""
        retries = self._queue.retries
        if call.verdict in SENT_AGAIN and not self._end.has_come:
            now = monotonic()
            if retries.retry(call.request, call.verdict, now, self._throttle.limit_pause(now)):
                return
        retries.forget(call.key)
        self.counts.add_outcomes([call.attempt.outcome])

    def _leave(self, calls: Sequence[FinishedCall]) -> None:
        """Count calls with held rows: the next run writes their outcome."""
        self.counts.add(HELD, self._queue.held.leave(NOT_RECORDED, [call.key for call in calls]))

    def _fail(self, calls: Sequence[FinishedCall], error: BaseException) -> None:
        """Count unrecorded calls: the next run finds their rows `sending`."""
        self.counts.add(Status.UNKNOWN, len(calls))
        self._end.by_error(error)

    def _go_on(self) -> None:
        """Send further claims, and look for room to claim more."""
        self._calls.pump()
        self._changed.set()

    # The end ------------------------------------------------------------------------------------

    async def _finish(self) -> None:
        """Release unsent claims, wait for the calls in flight, and record the unsent rows."""
        await self._release()
        await self._drain()
        await self._release()  # a call that ended meanwhile has sent nothing: sending has ended
        queue = self._queue
        self.counts.add(Status.RETRYABLE, len(queue.retries))
        self.counts.add(HELD, queue.held.give_up())
        if self._end.has_come and self._end.can_record_rest:
            await self._record_rest()
        rest = self.planned - self.counts.total()
        # A row that was counted and does not exist any more has nothing to be sent.
        self.counts.add(Status.RETRYABLE if self._end.has_come else SKIPPED, rest)
        queue.held.log_left()

    async def _release(self) -> None:
        claims = list(self._calls.waiting)
        self._calls.waiting.clear()
        await self._unsent.release(claims, self._end.reason)

    async def _drain(self) -> None:
        await self._calls.drain(self._context.parts.settings.drain)
        self.counts.add(Status.UNKNOWN, self._recording.abandon())

    async def _record_rest(self) -> None:
        """Write the outcomes of the rows not reached."""
        try:
            async for rows in self._queue.reader.rest(self._end.reason):
                await self._unsent.record(rows)
        except LedgerError as error:
            self._context.stop.set(error)
