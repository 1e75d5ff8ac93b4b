"""Send the claimed requests of one integration, and decide how many more to claim."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from math import inf
from time import monotonic
from typing import Final

from airflow_kombo.delivery.claim_window import ClaimWindow
from airflow_kombo.delivery.recording import FinishedCall, Recording
from airflow_kombo.delivery.run_context import RunContext
from airflow_kombo.delivery.sending_end import SendingEnd
from airflow_kombo.exceptions import LedgerError, ResponseLostError, TransportError
from airflow_kombo.kombo_api.response import KomboResponse
from airflow_kombo.kombo_api.verdicts import verdict_of
from airflow_kombo.ledger.outcomes import AttemptOutcome, Claim, outcome_of
from airflow_kombo.observability.metrics import SenderMetrics
from airflow_kombo.throttle.throttle import Throttle

log = logging.getLogger(__name__)

_SHORTEST_PAUSE_SECONDS: Final = 0.001


class Calls:
    """Waiting claims and calls in flight of one integration.

    :param on_change: Called whenever a call has ended, or a pause of the throttle is over.
    """

    def __init__(
        self,
        context: RunContext,
        throttle: Throttle,
        recording: Recording,
        *,
        end: SendingEnd,
        metrics: SenderMetrics,
        on_change: Callable[[], None],
    ) -> None:
        self.waiting: deque[Claim] = deque()
        self.in_flight: set[asyncio.Task[None]] = set()
        self.window = ClaimWindow()
        """The rows that one and a half commits use up. So many claims wait at most beside those
        with a free slot, and so many finished calls wait to be recorded."""
        self._context = context
        self._throttle = throttle
        self._recording = recording
        self._end = end
        self._metrics = metrics
        self._on_change = on_change
        self._timer: asyncio.TimerHandle | None = None

    def room(self, now: float) -> int:
        """Return the number of rows to claim now: as many as leave at once, and the window."""
        ahead = self._free + self.window.rows(self._throttle.slots)
        allowed = self._throttle.allowance(now, self.window.commit.seconds)
        return int(max(0, min(ahead, allowed) - len(self.waiting)))

    def opens_at(self, now: float) -> float:
        """Return the time at which a pause of the throttle leaves room to claim.

        It is infinite without such a pause: then only a call or a recording that ends makes room.
        """
        pause = self._throttle.pause(now) - self.window.commit.seconds
        return now + max(pause, _SHORTEST_PAUSE_SECONDS) if pause > 0 else inf

    def add(self, claims: Iterable[Claim]) -> None:
        """Add claims, and send as many as the throttle allows."""
        self.waiting.extend(claims)
        self.pump()

    def pump(self) -> None:
        """Send as many claims as the throttle allows; set a timer for the others."""
        while self.waiting and self._may_send() and (number := self._throttle.take(monotonic())):
            call = asyncio.create_task(self._send(self.waiting.popleft(), number))
            self.in_flight.add(call)
            call.add_done_callback(self._ended)
        if self.waiting and self._timer is None and not self._end.has_come:
            pause = self._throttle.pause(monotonic())
            # The throttle may have opened meanwhile: then no call that ends would pump again.
            if pause or not (self.in_flight or self._recording.unrecorded):
                wait = max(pause, _SHORTEST_PAUSE_SECONDS)
                self._timer = asyncio.get_running_loop().call_later(wait, self._on_time)

    async def drain(self, seconds: float) -> None:
        """Wait for the calls in flight, and for the recording of the finished ones.

        Without a hurry, both get all the time that they need.

        :param seconds: Most seconds for each of the two, once the process will be killed soon.
        """
        hurried = asyncio.create_task(self._context.stop.hurried.wait())
        while (pending := {*self.in_flight, *self._recording.groups}) and not hurried.done():
            await asyncio.wait({*pending, hurried}, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if self.in_flight:
            log.info(
                "%s: %d requests have %.0f s to end",
                self._end.integration_id,
                len(self.in_flight),
                seconds,
            )
            await asyncio.wait(self.in_flight, timeout=seconds)
        for call in self.in_flight:
            call.cancel()
        if self.in_flight:
            await asyncio.wait(self.in_flight)
        until = monotonic() + seconds
        while self._recording.groups and (left := until - monotonic()) > 0:
            await asyncio.wait(self._recording.groups, timeout=left)

    def _on_time(self) -> None:
        self._timer = None
        self._on_change()

    @property
    def _free(self) -> int:
        """Return the slots to use; a finished call that waits too long to be recorded keeps one."""
        window = self.window.rows(self._throttle.slots)
        return self._throttle.free - max(0, self._recording.unrecorded - window)

    def _may_send(self) -> bool:
        if not self._context.liveness.is_certain:
            self._context.stop.set(LedgerError("The run's heartbeat could not be renewed."))
        return not self._end.has_come and self._free > 0

    async def _send(self, claim: Claim, number: int) -> None:
        """Send a claimed request once, and hand the result to throttle, metrics and recording.

        :param number: Number of the request, from the throttle.
        """
        context, request = self._context, claim.request
        began = monotonic()
        result: KomboResponse | TransportError
        try:
            result = await context.client.send(request, context.liveness.may_leave)
        except asyncio.CancelledError:  # the drain is over, so the row is in doubt
            result = ResponseLostError("the run was stopped before the response came")
        now, response = monotonic(), result if isinstance(result, KomboResponse) else None
        verdict = response.verdict if response else verdict_of(result)
        outcome = outcome_of(verdict, result)
        self._metrics.observe(result, now - began)
        self.window.response.observe(now - began)
        self._throttle.record_result(number, now, began, response, verdict)
        if response:
            self._end.by_response(request, response, outcome)
        if self._throttle.given_up:
            self._end.by_failures(outcome)
        attempt = AttemptOutcome(claim, outcome, round((now - began) * 1000), response)
        self._recording.record(FinishedCall(attempt, verdict))
        for warning in outcome.warnings:
            context.warnings.observe(warning, request)

    def _ended(self, call: asyncio.Task[None]) -> None:
        self.in_flight.discard(call)
        if not call.cancelled() and (error := call.exception()):
            self._end.by_error(error)
        self._on_change()
