"""Run a delivery: settle dead runs, plan rows, send them by integration, write counts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

from airflow_kombo.delivery.dead_runs import DeadRuns
from airflow_kombo.delivery.integration_sender import IntegrationSender
from airflow_kombo.delivery.liveness import Liveness
from airflow_kombo.delivery.progress import report_progress
from airflow_kombo.delivery.run_context import RunParts, context_of
from airflow_kombo.delivery.run_report import RunReport
from airflow_kombo.delivery.stop_signal import StopSignal
from airflow_kombo.delivery.threads import Threads
from airflow_kombo.exceptions import (
    ConfigurationError,
    KomboError,
    LedgerError,
    RunStoppedError,
)
from airflow_kombo.kombo_api.api_check import check_api
from airflow_kombo.kombo_api.client import KomboClient
from airflow_kombo.ledger.day_rows import DayRows, rows_of_days
from airflow_kombo.ledger.run_scope import Days
from airflow_kombo.observability.metrics import Metrics, SenderMetrics
from airflow_kombo.planning.planner import Planner

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class DeliveryRun:
    """One run over one source."""

    def __init__(self, parts: RunParts) -> None:
        self.report = RunReport()
        self._parts = parts
        self._stop = StopSignal()
        self._threads = Threads()
        heartbeat = parts.settings.heartbeat
        self._dead_runs = DeadRuns(
            parts.run,
            parts.runs,
            parts.mapped.first_day,
            stop=self._stop,
            threads=self._threads,
            read_again=parts.selection.open_statuses,
            heartbeat=heartbeat,
        )
        self._liveness = Liveness(parts.runs, self._stop, self._threads, heartbeat)

    def stop(self, reason: str) -> None:
        """Stop the run from any thread.

        Nothing more is claimed. Calls in flight may end. Claims that were not sent go back.
        """
        self._stop.set_from_any_thread(RunStoppedError(reason))

    async def deliver(self) -> RunReport:
        """Deliver the planned rows of the source.

        :raises ConfigurationError: if a setting is wrong, or another server responds in Kombo's
            place; raised before the first claim if it shows there.
        :raises UnreachableError: if Kombo cannot be reached before the first claim.
        :raises LedgerError: if the ledger failed; all that could be recorded was recorded.
        :raises RunStoppedError: if the run was stopped.
        """
        self._stop.begin()
        run, runs = self._parts.run, self._parts.runs
        with self._threads:
            await self._liveness.start(run)
            heart = asyncio.create_task(self._liveness.beat(run.run_id, self._counts))
            ended_by: str | None = "an error in this program: the task's log has it"
            try:
                await self._deliver()
                ended_by = None
            except KomboError as error:
                ended_by = str(error)
                raise
            finally:
                heart.cancel()
                ended_by = str(self._stop.error) if self._stop.is_set else ended_by
                with suppress(LedgerError):  # the error that made it fail is raised already
                    numbers = self.report.numbers
                    await self._threads.run(runs.finish, run.run_id, numbers, ended_by)
        return self.report

    async def _deliver(self) -> None:
        parts, report = self._parts, self.report
        await self._dead_runs.settle_all()
        planner = self._planner()
        planned = await self._unless_stopped(self._threads.run(planner.plan))
        await self._unless_stopped(self._check_limit(sum(planned.values()), planner))
        report.planned = sum(planned.values())
        log.info("%d rows to deliver for %d integrations", report.planned, len(planned))
        async with parts.hook.client() as client:
            report.host = client.host
            if planned:
                await self._unless_stopped(self._check_api(client, planner))
            try:
                await self._send(client, planned)
            except KomboError:
                await self._account_in_spite()
                raise
        if report.planned != report.counts.total():
            raise RuntimeError(f"The account does not add up: {report.numbers}")
        await self._account()

    async def _account_in_spite(self) -> None:
        """Complete the account of a stopped run, if its end does not forbid it."""
        stop = self._stop
        if not stop.hurried.is_set() and not isinstance(stop.error, LedgerError):
            with suppress(LedgerError):  # the error that stopped the run is raised
                await self._account()

    async def _account(self) -> None:
        """Add the rows of dead runs to the account, and count the day's rows in the ledger."""
        report, dead_runs = self.report, self._dead_runs
        if not self._parts.is_shard:  # the account of the day waits once for all shards
            await dead_runs.settle_own()
        left = await dead_runs.rows()
        report.add(left)
        self._metrics(
            [SenderMetrics(name, counts) for name, counts in report.settled.items()]
        ).send()
        if days := dead_runs.scope.days:
            await report.count_days(days, self._rows_of, left)

    async def _rows_of(self, days: Days) -> DayRows:
        parts = self._parts
        engine, tables = parts.runs.engine, parts.runs.tables
        return await self._threads.run(rows_of_days, engine, tables, days, parts.run)

    def _metrics(self, senders: Sequence[SenderMetrics]) -> Metrics:
        return Metrics(senders, self._parts.run.tags, self._parts.mapped.write)

    async def _send(self, client: KomboClient, planned: Mapping[str, int]) -> None:
        """Send the rows of all integrations at the same time.

        :param planned: Number of rows by integration.
        """
        context = context_of(self._parts, len(planned), client, self._liveness, self._threads)
        senders = [IntegrationSender(context, name, rows) for name, rows in planned.items()]
        self.report.senders = {sender.integration_id: sender.counts for sender in senders}
        metrics = self._metrics([one.metrics for one in senders])
        progress = asyncio.create_task(report_progress(senders, self.report.planned, metrics))
        # A sender that meets a bug of ours ends alone; the others deliver what they can.
        ends = await asyncio.gather(
            *(sender.deliver() for sender in senders), return_exceptions=True
        )
        progress.cancel()
        metrics.send()
        context.warnings.write()
        for error in (*ends, self._stop.error):
            if error is not None:
                raise error

    def _planner(self) -> Planner:
        parts = self._parts
        return Planner(parts.mapped, parts.ledger, parts.selection, parts.run.run_id)

    def _counts(self) -> dict[str, int] | None:
        return self.report.numbers if self.report.planned else None

    async def _unless_stopped(self, work: Awaitable[Result]) -> Result:
        """Return the result of some work, or cancel the work when the run is stopped."""
        working = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._stop.hurried.wait())
        try:
            await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if self._stop.error is None:
                return await working
            await asyncio.to_thread(self._parts.mapped.cancel)
            raise self._stop.error
        finally:
            working.cancel()
            stopped.cancel()

    async def _check_limit(self, planned: int, planner: Planner) -> None:
        """Refuse a run with too many rows to send.

        The rows are looked up in the ledger only if more are planned than may be sent.

        :raises ConfigurationError: if more rows would be sent than the run may send.
        """
        guard = self._parts.guard
        if guard is None or not guard.refuses(planned):
            return
        sent = await self._threads.run(planner.sent)
        if reason := guard.refuses(sum(sent.values())):
            raise ConfigurationError(reason)

    async def _check_api(self, client: KomboClient, planner: Planner) -> None:
        """Check the API key with Kombo, unless no row would be sent."""
        sends_any = await self._threads.run(planner.sends_any)
        if sends_any:
            await check_api(client)
