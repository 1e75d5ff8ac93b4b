"""Parts of a run: the settings, the inputs, and the context of all senders."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_kombo.delivery.claimer import Claimer
from airflow_kombo.delivery.held_outcomes import HeldOutcomes
from airflow_kombo.delivery.liveness import Liveness
from airflow_kombo.delivery.outcome_writer import OutcomeWriter
from airflow_kombo.delivery.stop_signal import StopSignal
from airflow_kombo.delivery.threads import Threads
from airflow_kombo.delivery.wrong_server import WrongServerDetector
from airflow_kombo.hooks.kombo import KomboHook
from airflow_kombo.kombo_api.client import KomboClient
from airflow_kombo.kombo_api.in_flight_cap import MaxInFlight, cap_of
from airflow_kombo.ledger.claims import Ledger
from airflow_kombo.ledger.held_rows import LockTolerantLedger
from airflow_kombo.ledger.runs import Run, Runs
from airflow_kombo.ledger.time_limits import HEARTBEAT_SECONDS
from airflow_kombo.observability.warning_log import WarningLog
from airflow_kombo.planning.row_limit import RowLimit
from airflow_kombo.rows.mapped_rows import MappedRows
from airflow_kombo.rows.source import Selection
from airflow_kombo.throttle.circuit_breaker import COOL_DOWN_SECONDS


@dataclass(frozen=True)
class Settings:
    """Settings of a run; times in seconds.

    :param max_in_flight: Most calls of one integration in flight, below Kombo's limit: one number,
        or a number by tool.
    :param max_tries: Tries of a row in one run, while responses prove that nothing was created.
    :param first_retry: Longest wait before the second try; doubles with each further try.
    :param longest_retry: Longest wait before any try.
    :param held_pause: Wait before another try of a row that another open transaction holds.
    :param held_patience: Time after which a held row is left to the next run.
    :param heartbeat: Time between two heartbeats of the run.
    :param cool_down: Time without calls after an integration kept failing. One probe follows; if
        the probe fails, the integration is given up for this run.
    :param drain: Most time for the calls in flight after a SIGTERM. The sender of the SIGTERM
        limits this time further: a worker that shuts down to its own grace period, a task that a
        person stops to 5 s.
    """

    max_in_flight: MaxInFlight = None
    max_tries: int = 4
    first_retry: float = 2.0
    longest_retry: float = 60.0
    held_pause: float = 3.0
    held_patience: float = 30.0
    cool_down: float = COOL_DOWN_SECONDS
    heartbeat: float = HEARTBEAT_SECONDS
    drain: float = 45.0

    def cap_of(self, integration_id: str) -> int | None:
        """Return the most calls of an integration at once, or None where no cap is set."""
        return cap_of(self.max_in_flight, integration_id)


@dataclass(frozen=True)
class RunParts:
    """Inputs of a run, built once.

    :param run: Row of the run in the runs table.
    :param mapped: Requests of the rows to deliver.
    :param selection: Choice of the rows that the run wants.
    :param hook: Kombo's API.
    :param ledger: Claims and outcomes of the rows; in the same database as `runs`.
    :param guard: Most rows that the run may send; None for no limit.
    :param is_shard: True for a part of a day that has its account elsewhere.
    """

    run: Run
    mapped: MappedRows
    selection: Selection
    hook: KomboHook
    ledger: Ledger
    runs: Runs
    settings: Settings
    guard: RowLimit | None = None
    is_shard: bool = False


@dataclass(frozen=True)
class RunContext:
    """Context of all senders of a run, built once.

    :param senders: Number of the run's senders.
    :param stop: Signal to send nothing more.
    :param liveness: Heartbeat of the run, which decides whether the run may still send.
    :param threads: Threads for calls to the ledger and the source.
    """

    parts: RunParts
    senders: int
    client: KomboClient
    ledger: LockTolerantLedger
    claimer: Claimer
    writer: OutcomeWriter
    held_outcomes: HeldOutcomes
    stop: StopSignal
    liveness: Liveness
    threads: Threads
    warnings: WarningLog
    wrong_server: WrongServerDetector


def context_of(
    parts: RunParts, senders: int, client: KomboClient, liveness: Liveness, threads: Threads
) -> RunContext:
    """Build the context of all senders of a run.

    :param senders: Number of the run's senders.
    """
    ledger, settings, stop = LockTolerantLedger(parts.ledger), parts.settings, liveness.stop
    writer = OutcomeWriter(lambda group: threads.run(ledger.record, group), stop.set)
    claimer = Claimer(
        parts.run.run_id, parts.selection.redeliver, ledger, writer, threads=threads, stop=stop
    )
    held_outcomes = HeldOutcomes(
        lambda group: threads.run(ledger.record_again, group),
        pause=settings.held_pause,
        patience=settings.held_patience,
        hurried=stop.hurried,
    )
    return RunContext(
        parts=parts,
        senders=senders,
        client=client,
        ledger=ledger,
        claimer=claimer,
        writer=writer,
        held_outcomes=held_outcomes,
        stop=stop,
        liveness=liveness,
        threads=threads,
        warnings=WarningLog(),
        wrong_server=WrongServerDetector(client.host),
    )
