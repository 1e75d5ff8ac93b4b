"""The account of a day that several runs delivered: its shards."""

from __future__ import annotations

from collections.abc import Collection

from airflow_kombo.delivery.dead_runs import DeadRuns
from airflow_kombo.delivery.run_report import RunReport
from airflow_kombo.delivery.stop_signal import StopSignal
from airflow_kombo.delivery.threads import Threads
from airflow_kombo.exceptions import RunStoppedError
from airflow_kombo.ledger.dag_run_rows import DagRunRows
from airflow_kombo.ledger.day_rows import DayRows, rows_of_days
from airflow_kombo.ledger.run_scope import Days
from airflow_kombo.ledger.runs import Run, Runs


class DayAccount:
    """The account of a day, after its shards have ended.

    The rows are counted in the ledger, each once, by its status now. So a shard that died, that was
    cleared or that ran again is in the account as it left its rows.

    :param run: The task of the shards, in their dag run.
    :param days: The days of the shards; the last one is their own.
    :param shards: Number of the shards of the newest plan; None for any number.
    :param read_again: Statuses of rows that a later run of the dag run reads again.
    """

    def __init__(
        self,
        run: Run,
        runs: Runs,
        days: Days,
        shards: int | None = None,
        read_again: Collection[str] = (),
    ) -> None:
        self._run = run
        self._runs = runs
        self._days = days
        self._rows = DagRunRows(runs.engine, runs.tables, run, days, shards, read_again)
        self._stop = StopSignal()
        self._threads = Threads()

    def stop(self, reason: str) -> None:
        """Stop the wait for dead runs, from any thread."""
        self._stop.set_from_any_thread(RunStoppedError(reason))

    async def report(self, host: str) -> RunReport:
        """Settle the dead runs of the days, and return the account.

        :param host: Host of Kombo's API, for messages.
        :raises LedgerError: if the ledger failed.
        :raises RunStoppedError: if the account was stopped.
        """
        self._stop.begin()
        with self._threads:
            dead_runs = DeadRuns(
                self._run, self._runs, self._days.first, stop=self._stop, threads=self._threads
            )
            await dead_runs.settle_all()
            await dead_runs.settle_own()
            if self._stop.error:
                raise self._stop.error
            report = RunReport(host=host)
            report.senders = await self._threads.run(self._rows.counts)
            report.planned = report.counts.total()
            await report.count_days(self._days, self._rows_of, left=())
        return report

    async def _rows_of(self, days: Days) -> DayRows:
        engine, tables = self._runs.engine, self._runs.tables
        is_own = self._rows.condition
        return await self._threads.run(rows_of_days, engine, tables, days, self._run, is_own)
