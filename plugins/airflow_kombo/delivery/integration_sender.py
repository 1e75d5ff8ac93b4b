"""One integration's rows: claim a few, send as many at once as its answers allow, record, go on.

A batch is claimed only while fewer rows than that wait, be it to be sent or to be recorded. So when
the process is killed, the rows in doubt are those on the wire and less than two batches more.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from time import monotonic
from typing import Final

from airflow_kombo.delivery.circuit_breaker import CircuitBreaker
from airflow_kombo.delivery.concurrency import ConcurrencyLimiter
from airflow_kombo.delivery.held_rows import ANSWERED, UNRELEASED, UNSENT, HeldRows
from airflow_kombo.delivery.rate_limit import RateLimiter
from airflow_kombo.delivery.recording import Answered, Ends, Recording
from airflow_kombo.delivery.retry_queue import Retries
from airflow_kombo.delivery.run_context import RunContext
from airflow_kombo.delivery.unsent_rows import reason_of, unreached
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.exceptions import (
    ConfigurationError,
    LedgerError,
    ResponseLostError,
    RunStoppedError,
    TransportError,
)
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.kombo_api.response import KomboResponse
from airflow_kombo.kombo_api.verdicts import Verdict, verdict_of
from airflow_kombo.ledger.outcomes import (
    AttemptOutcome,
    Claim,
    RowOutcome,
    UnsentRow,
    duplicate,
    invalid,
    outcome_of,
)
from airflow_kombo.observability.metrics import BLOCKED, GIVEN_UP, SenderMetrics
from airflow_kombo.rows.row_keys import Row
from airflow_kombo.rows.source import PAGE_ROWS
from airflow_kombo.statuses import HELD, SKIPPED, Status

log = logging.getLogger(__name__)

BATCH_ROWS: Final = 16
"""Rows that are claimed at once, and that may wait to be recorded."""
_SHORTEST_PAUSE_SECONDS: Final = 0.001
_TRIED_AGAIN: Final = frozenset({Verdict.WAIT, Verdict.RETRY})
MOST_RETRIES: Final = 1_000
"""Rows that may wait to be sent again before new ones are read."""


class IntegrationSender:
    """One integration's way through a run.

    :param planned: How many rows it has; it ends with as many in its counts.
    """

    def __init__(self, shared: RunContext, integration_id: str, planned: int) -> None:
        self.integration_id = integration_id
        self.planned = planned
        self.counts: Counter[str] = Counter()
        self.metrics = SenderMetrics(integration_id, self.counts)
        self._shared = shared
        self._concurrency = ConcurrencyLimiter(shared.settings.cap_of(integration_id))
        self._rate = RateLimiter(shared.senders)
        self._timer: asyncio.TimerHandle | None = None
        self._breaker = CircuitBreaker(cool_down=shared.settings.cool_down)
        self._mapped: deque[RowRequest] = deque()
        self._unsent: deque[Claim] = deque()
        self._calls: set[asyncio.Task[None]] = set()
        ends = Ends(self._settle, self._leave, self._fail, self._go_on)
        self._recording = Recording(shared.recorder, shared.held_outcomes, ends)
        self._tries: Counter[LinkKey] = Counter()
        self._retries = Retries()
        settings = shared.settings
        self._held = HeldRows(integration_id, settings.held_pause, settings.held_patience)
        self._held_first = False
        self._blocked: RowOutcome | None = None
        self._failing: str | None = None
        self._bug: BaseException | None = None
        self._changed = asyncio.Event()
        self._chunks = self._read()
        shared.stop.on_stop(self._changed.set)

    async def deliver(self) -> None:
        """Try every row, or say of each why it was not tried."""
        try:
            async for batch in self._batches():
                await self._claim(batch)
        except LedgerError as error:
            self._shared.stop.now(error)
        except asyncio.CancelledError:
            self._shared.stop.now(RunStoppedError("The run was cancelled."), hurried=True)
        await self._finish()
        if self._bug:
            raise self._bug

    @property
    def waits_for(self) -> str | None:
        """Return what the rows of this integration wait for now, or None if for nothing."""
        now = monotonic()
        if self._breaker.pause(now):
            return "a pause after failures"
        if self._unsent and (self._concurrency.pause(now) or self._rate.pause(now)):
            return "Kombo's limits"
        if self._calls:
            return "answers"
        if self._held:
            return "rows that other transactions hold"
        return "the time to try rows again" if self._retries else None

    # What is to be sent -------------------------------------------------------------------------

    @property
    def _is_over(self) -> bool:
        return bool(self._shared.stop or self._blocked or self._breaker.given_up or self._bug)

    @property
    def _has_room(self) -> bool:
        return len(self._unsent) + self._recording.unrecorded < BATCH_ROWS

    async def _batches(self) -> AsyncIterator[list[RowRequest]]:
        while not self._is_over:
            self._changed.clear()
            if not self._has_room:
                await self._changed.wait()  # also a retry that is due needs room
            elif batch := await self._next():
                yield batch
            elif any(
                (self._calls, self._recording.groups, self._unsent, self._retries, self._held)
            ):
                await self._change()
            else:
                return

    async def _change(self) -> None:
        """Return when something has ended, the run stops, or a retry is due."""
        due = None
        if self._retries or self._held:
            wait = min(self._retries.next_due, self._held.next_due) - monotonic()
            due = asyncio.get_running_loop().call_later(max(0.0, wait), self._changed.set)
        await self._changed.wait()
        if due:
            due.cancel()

    async def _next(self) -> list[RowRequest]:
        """Return rows to claim; held ones every other time, so that they hold up no others."""
        self._held_first = bool(self._held) and not self._held_first
        if self._held_first and (due := self._held.take_due(monotonic(), BATCH_ROWS)):
            return due
        due = self._retries.take_due(monotonic(), BATCH_ROWS)
        return due or await self._new() or self._held.take_due(monotonic(), BATCH_ROWS)

    async def _new(self) -> list[RowRequest]:
        """Give rows that were not tried yet; none if there are no more, or too many wait."""
        if len(self._retries) >= MOST_RETRIES:
            return []
        while not self._mapped and not self._is_over and (rows := await anext(self._chunks, None)):
            await self._map(rows)
        return [self._mapped.popleft() for _ in range(min(BATCH_ROWS, len(self._mapped)))]

    async def _read(self) -> AsyncIterator[Sequence[Row]]:
        pages = self._shared.source.pages(self.integration_id, self.planned)
        while page := await self._shared.in_thread(next, pages, None):
            for start in range(0, len(page), PAGE_ROWS):
                yield page[start : start + PAGE_ROWS]

    async def _map(self, rows: Sequence[Row]) -> None:
        deliveries, wrong = self._shared.mapping.deliveries(rows, self._shared.default_integration)
        self._mapped.extend(deliveries)
        await self._record_unsent([invalid(row) for row in wrong])

    async def _record_unsent(self, rows: Sequence[UnsentRow]) -> None:
        if rows:
            shared = self._shared
            noted = await shared.in_thread(shared.ledger.record_unsent, shared.run_id, rows)
            left, held = len(noted.left), self._held.leave(UNSENT, noted.held)
            self._count(rows[0].outcome.status, len(rows) - left - held)
            self._count(SKIPPED, left)
            self._count(HELD, held)

    def _count(self, status: str, rows: int) -> None:
        if rows:
            self.counts[str(status)] += rows

    # Claim, send, record ------------------------------------------------------------------------

    async def _claim(self, batch: Sequence[RowRequest]) -> None:
        were_held, shared = self._held.were_held(batch), self._shared
        claimer = shared.claimer_of_held if were_held else shared.claimer
        claims = (await claimer.join(batch)).of(batch)
        self._count(HELD, self._held.update(batch, claims.held, monotonic()))
        self._count(SKIPPED, len(claims.skipped) + len(claims.moved))
        self._unsent.extend(claims.won)
        self._pump()
        await self._record_unsent(
            [duplicate(delivery, owner) for delivery, owner in claims.duplicates]
        )

    def _pump(self) -> None:
        """Send what is claimed, as far as there are slots, and come back when there are more."""
        while self._unsent and self._may_send() and self._concurrency.take(monotonic()):
            number, probe = self._rate.sent(monotonic()), self._breaker.sent()
            call = asyncio.create_task(self._send(self._unsent.popleft(), number, probe=probe))
            self._calls.add(call)
            call.add_done_callback(self._called)
        if self._unsent and not self._is_over and self._timer is None:
            gates = (self._concurrency, self._breaker, self._rate)
            pause = max(gate.pause(monotonic()) for gate in gates)
            # A gate may have opened since it said no: then nobody else would wake us.
            if pause or not (self._calls or self._recording.groups):
                wait = max(pause, _SHORTEST_PAUSE_SECONDS)
                self._timer = asyncio.get_running_loop().call_later(wait, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._pump()

    def _may_send(self) -> bool:
        if not self._shared.is_alive():
            self._shared.stop.now(LedgerError("The run's heartbeat could not be renewed."))
        return (
            not self._is_over
            and self._recording.unrecorded < BATCH_ROWS
            and self._breaker.allows(monotonic())
            and not self._rate.pause(monotonic())
        )

    async def _send(self, claim: Claim, number: int, *, probe: bool) -> None:
        began = monotonic()
        outcome: KomboResponse | TransportError
        try:
            outcome = await self._shared.client.send(claim.delivery, self._shared.may_leave)
        except asyncio.CancelledError:  # the drain is over: what is still on the wire is in doubt
            outcome = ResponseLostError("the run was stopped before the answer came")
        now, answer = monotonic(), outcome if isinstance(outcome, KomboResponse) else None
        self.metrics.observe(outcome, now - began)
        self._concurrency.give_back(now, began, answer)
        if answer:
            self._rate.observe(now, number, answer.headers)
        verdict = answer.verdict if answer else verdict_of(outcome)
        fate = outcome_of(verdict, outcome)
        self._stop_where_hopeless(verdict, outcome)
        self._breaker.record_verdict(verdict, now, probe=probe)
        if self._breaker.given_up and not self._failing:
            log.warning("Integration %s is given up for this run", self.integration_id)
            self.metrics.ended_by = GIVEN_UP
            self._failing = fate.error_code or f"HTTP {fate.http_status}"
        recorded = AttemptOutcome(claim, fate, round((now - began) * 1000))
        self._recording.record(Answered(recorded, verdict))
        for warning in fate.warnings:
            self._shared.warnings.observe(warning, claim.delivery)

    def _leave(self, rows: Sequence[Answered]) -> None:
        """Count answered rows that others hold: the next run writes their outcome."""
        self._count(HELD, self._held.leave(ANSWERED, [row.key for row in rows]))

    def _fail(self, rows: Sequence[Answered], error: BaseException) -> None:
        self._count(Status.UNKNOWN, len(rows))  # what the next run finds: they are `sending`
        self._end_by(error)

    def _settle(self, row: Answered) -> None:
        claim = row.recorded.claim
        if row.verdict in _TRIED_AGAIN and self._tries_left(claim, row.verdict):
            self._retry(claim, row.verdict)
        else:
            self._tries.pop(row.key, None)
            self._count(row.recorded.outcome.status, 1)

    def _called(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        if not call.cancelled() and (error := call.exception()):
            self._end_by(error)
        self._go_on()

    def _end_by(self, error: BaseException) -> None:
        if isinstance(error, LedgerError):
            self._shared.stop.now(error)
        else:
            self._bug = self._bug or error

    def _go_on(self) -> None:
        self._pump()
        if self._has_room or self._is_over:
            self._changed.set()

    def _stop_where_hopeless(
        self, verdict: Verdict, outcome: KomboResponse | TransportError
    ) -> None:
        """Stop the lane, or the run, at once where an answer says that the rest would fail too."""
        if verdict is Verdict.BLOCKED and isinstance(outcome, KomboResponse) and not self._blocked:
            log.warning(
                "Integration %s takes nothing now: %s", self.integration_id, outcome.error_code
            )
            self._blocked = outcome_of(verdict, outcome)
            self.metrics.ended_by = BLOCKED
        elif verdict is Verdict.STOP and isinstance(outcome, KomboResponse):
            what = outcome.error_code or f"HTTP {outcome.http_status}"
            error = ConfigurationError(f"Kombo refuses this key or this address: {what}.")
            self._shared.stop.now(error)
        if isinstance(outcome, KomboResponse) and (
            wrong := self._shared.wrong_server.observe(outcome)
        ):
            self._shared.stop.now(wrong)

    def _tries_left(self, claim: Claim, verdict: Verdict) -> bool:
        key = claim.delivery.key
        self._tries[key] += verdict is Verdict.RETRY
        return not self._is_over and self._tries[key] < self._shared.settings.max_tries

    def _retry(self, claim: Claim, verdict: Verdict) -> None:
        """Put a row back: it is `retryable` in the ledger, and is claimed anew when it is due."""
        settings = self._shared.settings
        wait = self._concurrency.pause(monotonic())
        if verdict is Verdict.RETRY:
            longest = settings.first_retry * 2 ** (self._tries[claim.delivery.key] - 1)
            wait += random.uniform(0, min(longest, settings.longest_retry))  # noqa: S311 - jitter
        self._retries.put(claim.delivery, monotonic() + wait)

    # The end ------------------------------------------------------------------------------------

    async def _finish(self) -> None:
        """Give back what was not sent, wait for what was, and say of the rest why it was not."""
        await self._release()
        await self._drain()
        await self._release()  # a call that ended meanwhile has sent nothing: it is over
        self._count(Status.RETRYABLE, len(self._retries))
        self._count(HELD, self._held.give_up())
        if self._is_over and self._can_record_rest():
            await self._record_rest_unsent()
        rest = self.planned - sum(self.counts.values())
        # A row that was counted and is not there any more has nothing to be sent.
        self._count(Status.RETRYABLE if self._is_over else SKIPPED, rest)
        self._held.tell()

    def _can_record_rest(self) -> bool:
        """Whether there is a ledger, and time, to write why rows were not reached."""
        stop = self._shared.stop
        return not (isinstance(stop.error, LedgerError) or stop.hurried.is_set() or self._bug)

    async def _release(self) -> None:
        claims, self._unsent = list(self._unsent), deque()
        if not claims:
            return
        reason, shared = self._reason(), self._shared
        log.info("%s: %d claimed rows go back unsent", self.integration_id, len(claims))
        try:
            held = await shared.recorder.write_durably(
                lambda: shared.in_thread(shared.ledger.release, claims, reason)
            )
        except LedgerError as error:
            shared.stop.now(error)
            self._count(Status.UNKNOWN, len(claims))  # what the next run will make of them
            return
        keys = {claim.delivery.key for claim in held}
        self._count(HELD, self._held.leave(UNRELEASED, sorted(keys)))
        for claim in claims:  # a row that had a status has it again
            if claim.delivery.key not in keys:
                self._count(reason.status if claim.was_to_be_sent else SKIPPED, 1)

    async def _drain(self) -> None:
        """Wait for what is on the wire or being recorded, in a hurry for so long as there is."""
        hurried = asyncio.create_task(self._shared.stop.hurried.wait())
        while (pending := {*self._calls, *self._recording.groups}) and not hurried.done():
            await asyncio.wait({*pending, hurried}, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if self._calls:
            log.info("%s: %d requests get time to end", self.integration_id, len(self._calls))
            await asyncio.wait(self._calls, timeout=self._shared.settings.drain)
        for call in self._calls:
            call.cancel()
        if self._calls:
            await asyncio.wait(self._calls)
        until = monotonic() + self._shared.settings.drain
        while self._recording.groups and (left := until - monotonic()) > 0:
            await asyncio.wait(self._recording.groups, timeout=left)
        self._count(Status.UNKNOWN, self._recording.abandon())

    async def _record_rest_unsent(self) -> None:
        """Write why the rows that were not reached were not sent."""
        reason, shared = self._reason(), self._shared
        try:
            await self._record_unsent(
                [UnsentRow(one.key, one.assessment_date, reason) for one in self._mapped]
            )
            async for rows in self._chunks:
                for unsent in unreached(
                    rows, shared.default_integration, shared.mapping.write, reason
                ):
                    await self._record_unsent(unsent)
        except LedgerError as error:
            shared.stop.now(error)

    def _reason(self) -> RowOutcome:
        return reason_of(self._blocked, self._failing, self._shared.stop.error)
