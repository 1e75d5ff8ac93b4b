"""A run: plan the rows, drive a lane for each integration, settle what dead runs left, account."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from airflow_kombo.delivery.group_commit import GroupCommit
from airflow_kombo.delivery.held_outcomes import HeldOutcomes
from airflow_kombo.delivery.integration_sender import IntegrationSender
from airflow_kombo.delivery.liveness import clock
from airflow_kombo.delivery.outcome_writer import OutcomeWriter
from airflow_kombo.delivery.run_context import RunContext, Settings, StopSignal
from airflow_kombo.delivery.waiting import happened
from airflow_kombo.delivery.wrong_server import WrongServerDetector
from airflow_kombo.exceptions import (
    ConfigurationError,
    DeclaredDeadError,
    KomboError,
    LedgerError,
    RunStoppedError,
)
from airflow_kombo.hooks.kombo import KomboHook
from airflow_kombo.kombo_api import request
from airflow_kombo.kombo_api.api_check import check_api
from airflow_kombo.kombo_api.client import KomboClient
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.held_rows import LockTolerantLedger
from airflow_kombo.ledger.outcomes import Claims, RowOutcome, UnconfirmedClaimError
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.observability.metrics import Metrics
from airflow_kombo.observability.warning_log import WarningLog
from airflow_kombo.planning.planner import Planner
from airflow_kombo.planning.row_limit import RowLimit
from airflow_kombo.rows.row_mapping import RowMapping
from airflow_kombo.rows.source import Selection, Source
from airflow_kombo.statuses import COUNTED, Status

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_PROGRESS_SECONDS: Final = 10.0
_THREADS: Final = 4
"""For the database: more only wait for each other."""
_SILENT: Final = 0.75
"""Of the time after which others declare a run dead: from then on it sends nothing."""


@dataclass
class RunReport:
    """What became of a run's rows."""

    planned: int = 0
    senders: dict[str, Counter[str]] = field(default_factory=dict)
    """By integration and status."""
    settled: int = 0
    """Rows of dead runs that became `unknown`: not this run's, so in none of the counts."""

    @property
    def counts(self) -> Counter[str]:
        """By status, over all integrations."""
        return sum(self.senders.values(), Counter[str]())

    @property
    def numbers(self) -> dict[str, int]:
        """The columns of the run's row."""
        counts = self.counts
        return {"planned": self.planned} | {name: counts[name] for name in COUNTED}


class DeliveryRun:
    """One run over one source.

    :param source: The rows.
    :param hook: Kombo's API.
    :param ledger: Where each row's fate is written; `runs` is in the same database.
    :param guard: How many rows it may send; by default as many as there are.
    """

    def __init__(
        self,
        run: Run,
        *,
        source: Source,
        mapping: RowMapping,
        selection: Selection,
        hook: KomboHook,
        ledger: Ledger,
        runs: Runs,
        settings: Settings,
        guard: RowLimit | None = None,
    ) -> None:
        self._run = run
        self._source = source
        self._mapping = mapping
        self._selection = selection
        self._hook = hook
        self._ledger = ledger
        self._runs = runs
        self._settings = settings
        self._guard = guard
        self.report = RunReport()
        self._stop = StopSignal()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="ledger")
        self._last_beat = clock()

    def stop(self, reason: str) -> None:
        """Claim nothing more, let what is on the wire end, give the rest back; from any thread."""
        error = RunStoppedError(reason)
        if self._loop is None:
            self._stop.now(error, hurried=True)
            return
        with suppress(RuntimeError):  # the loop is closed: there is nothing to stop any more
            self._loop.call_soon_threadsafe(lambda: self._stop.now(error, hurried=True))

    async def deliver(self) -> RunReport:
        """Deliver every row of the source that is to be delivered.

        :raises ConfigurationError: if something is not as it must be, or somebody else answers in
            Kombo's stead; before the first row is claimed, if it shows there.
        :raises UnreachableError: if Kombo cannot be asked before the first row is claimed.
        :raises LedgerError: if the ledger failed; then what could be recorded was recorded.
        :raises RunStoppedError: if it was told to stop.
        """
        self._loop = asyncio.get_running_loop()
        with self._pool, _fewer_to_search():
            await self._in_thread(self._runs.start, self._run)
            self._last_beat = clock()
            heart = asyncio.create_task(self._beat())
            ended_by: str | None = "an error in this program: the task's log has it"
            try:
                await self._deliver(self.report)
                ended_by = None
            except KomboError as error:
                ended_by = str(error)
                raise
            finally:
                heart.cancel()
                ended_by = str(self._stop.error) if self._stop else ended_by
                with suppress(LedgerError):  # what made it fail is raised already
                    numbers = self.report.numbers
                    await self._in_thread(self._runs.finish, self._run.run_id, numbers, ended_by)
        return self.report

    async def _deliver(self, report: RunReport) -> None:
        planner = Planner(
            self._source,
            self._mapping,
            self._ledger,
            self._selection,
            self._hook.default_integration,
            self._run.run_id,
        )
        planned = await self._unless_stopped(self._in_thread(planner.plan))
        await self._unless_stopped(self._ask_the_guard(sum(planned.values()), planner))
        report.planned = sum(planned.values())
        log.info("%d rows to deliver for %d integrations", report.planned, len(planned))
        async with self._hook.client() as client:
            if planned and await self._unless_stopped(self._in_thread(planner.sends_any)):
                await self._unless_stopped(check_api(client))
            shared = self._shared(client, len(planned))
            senders = [IntegrationSender(shared, name, rows) for name, rows in planned.items()]
            report.senders = {sender.integration_id: sender.counts for sender in senders}
            metrics = Metrics([s.metrics for s in senders], self._run.tags, self._mapping.write)
            progress = asyncio.create_task(_tell(senders, report.planned, metrics))
            # A lane that meets a bug of ours ends alone; the others deliver what they can.
            ends = await asyncio.gather(
                *(sender.deliver() for sender in senders), return_exceptions=True
            )
            progress.cancel()
            metrics.send()
            shared.warnings.write()
        for error in (*ends, self._stop.error):
            if error is not None:
                raise error
        if report.planned != report.counts.total():
            raise RuntimeError(f"The account does not add up: {report.numbers}")
        report.settled = await self._settle()

    async def _unless_stopped(self, work: Awaitable[Result]) -> Result:
        """Return what comes of some work, or end it when the run is told to stop."""
        working = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._stop.hurried.wait())
        try:
            await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if self._stop.error is None:
                return await working
            await asyncio.to_thread(self._source.cancel)
            raise self._stop.error
        finally:
            working.cancel()
            stopped.cancel()

    async def _ask_the_guard(self, planned: int, planner: Planner) -> None:
        """Stop a run that would send too much; only where many are planned are they looked at."""
        if self._guard is None or not self._guard.refuses(planned):
            return
        if reason := self._guard.refuses(await self._in_thread(planner.sent)):
            raise ConfigurationError(reason)

    def _shared(self, client: KomboClient, senders: int) -> RunContext:
        ledger, settings = LockTolerantLedger(self._ledger), self._settings
        recorder = OutcomeWriter(
            lambda batch: self._in_thread(ledger.record, batch), self._stop.now
        )
        claim = partial(self._claim, recorder, ledger)
        return RunContext(
            run_id=self._run.run_id,
            senders=senders,
            source=self._source,
            mapping=self._mapping,
            selection=self._selection,
            default_integration=self._hook.default_integration,
            ledger=ledger,
            client=client,
            claimer=GroupCommit(claim),
            claimer_of_held=GroupCommit(partial(claim, are_held=True)),
            recorder=recorder,
            held_outcomes=HeldOutcomes(
                lambda rows: self._in_thread(ledger.record_again, rows),
                pause=settings.held_pause,
                patience=settings.held_patience,
                hurried=self._stop.hurried,
            ),
            settings=settings,
            stop=self._stop,
            in_thread=self._in_thread,
            is_alive=self._is_alive,
            warnings=WarningLog(),
            wrong_server=WrongServerDetector(client.host),
        )

    async def _claim(
        self,
        recorder: OutcomeWriter,
        ledger: LockTolerantLedger,
        deliveries: list[request.RowRequest],
        *,
        are_held: bool = False,
    ) -> Claims:
        """Claim rows; if the ledger fails, nothing was sent, so nothing may stay claimed.

        Its COMMIT may have been done and only its answer lost.
        """
        claim = partial(ledger.claim, are_held=are_held)
        try:
            claims: Claims = await self._in_thread(
                claim, self._run.run_id, deliveries, self._selection.redeliver
            )
        except UnconfirmedClaimError as error:
            failed, unheard = LedgerError(str(error)), error.claims
            self._stop.now(failed)
            message = f"Not sent, the run ended before it: {failed}"
            outcome = RowOutcome(Status.RETRYABLE, "run_stopped", error_message=message)
            await recorder.write_durably(lambda: self._in_thread(ledger.release, unheard, outcome))
            raise failed from None
        return claims

    async def _in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *args)

    # The heartbeat ------------------------------------------------------------------------------

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._settings.heartbeat)
            began = clock()
            try:
                told = self.report.numbers if self.report.planned else None
                await self._in_thread(self._runs.beat, self._run.run_id, told)
            except DeclaredDeadError as error:
                self._stop.now(error)
                return
            except LedgerError as error:
                log.warning("%s", error)
            else:
                self._last_beat = began

    def _is_alive(self) -> bool:
        return clock() - self._last_beat < self._runs.dead_after * _SILENT

    # What dead runs left ------------------------------------------------------------------------

    async def _settle(self) -> int:
        """Make the rows `unknown` that dead runs left `sending`, and give their number.

        A run that may be dead is watched until it speaks or its time is over, so that no row is
        left in doubt when we end.
        """
        settled, before, living = 0, dict[str, float](), set[str]()
        while not self._stop:
            silent = await self._in_thread(self._runs.silent, self._run.run_id)
            living |= {
                run_id for run_id, seconds in silent.items() if seconds < before.get(run_id, 0)
            }
            dead = {
                run_id for run_id, seconds in silent.items() if seconds >= self._runs.dead_after
            }
            settled += await self._in_thread(self._runs.settle, dead)
            waiting = {run_id: silent[run_id] for run_id in silent.keys() - dead - living}
            if not waiting:
                break
            left = self._runs.dead_after - min(waiting.values())
            log.info("Waiting up to %.0f s for %d runs to speak, or be dead", left, len(waiting))
            before = silent
            await happened(self._stop.hurried, min(left, self._settings.heartbeat / 5))
        if settled:
            log.warning("%d rows of runs that died are unknown now", settled)
        return settled


@contextmanager
def _fewer_to_search() -> Iterator[None]:
    """Keep the garbage collector from searching all of Airflow again for every few rows.

    What is there before the run stays until its end: that is a fifth of the time a row takes.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def _tell(senders: Sequence[IntegrationSender], planned: int, metrics: Metrics) -> None:
    while True:
        await asyncio.sleep(_PROGRESS_SECONDS)
        done = sum((sender.counts for sender in senders), Counter[str]())
        told = ", ".join(f"{number} {name}" for name, number in sorted(done.items()) if number)
        log.info("%d of %d rows: %s", done.total(), planned, told or "none yet")
        waiting = Counter(sender.waits_for for sender in senders if sender.waits_for)
        if waiting:
            causes = ", ".join(f"{cause} ({number})" for cause, number in waiting.most_common())
            log.info("Integrations wait for: %s", causes)
        await metrics.send_in_turns()
