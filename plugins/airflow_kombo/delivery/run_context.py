"""What the lanes of a run have in common: the settings, the parts, and whether to stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from airflow_kombo.delivery.circuit_breaker import COOL_DOWN_SECONDS
from airflow_kombo.delivery.group_commit import GroupCommit
from airflow_kombo.delivery.held_outcomes import HeldOutcomes
from airflow_kombo.delivery.outcome_writer import OutcomeWriter
from airflow_kombo.delivery.wrong_server import WrongServerDetector
from airflow_kombo.exceptions import KomboError
from airflow_kombo.kombo_api.client import KomboClient
from airflow_kombo.kombo_api.in_flight_cap import MaxInFlight, cap_of
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.ledger.held_rows import LockTolerantLedger
from airflow_kombo.ledger.outcomes import Claims
from airflow_kombo.ledger.runs import HEARTBEAT_SECONDS
from airflow_kombo.observability.warning_log import WarningLog
from airflow_kombo.rows.row_mapping import RowMapping
from airflow_kombo.rows.source import Selection, Source

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What a deployment may set of the loop; times in seconds.

    :param max_in_flight: Calls of one integration at once at most, below Kombo's own limit; one
        number, or a number by tool.
    :param max_tries: How often a row is sent in one run while answers prove that nothing was made.
    :param first_retry: The longest wait before the second try; it doubles with each.
    :param longest_retry: The longest wait before any try.
    :param held_pause: How long a row that somebody's open transaction holds is left alone.
    :param held_patience: How long it is tried again before it is left to the next run.
    :param heartbeat: How often a run says that it lives.
    :param cool_down: How long an integration that keeps failing is left alone before it is asked
        once more; if it fails again, it is given up for this run.
    :param drain: After a SIGTERM, how long what is on the wire may take. Its sender decides how
        much of that we get: a worker's shutdown its own grace, a task that a person stops 5 s.
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


class StopSignal:
    """Whether a run must send nothing more, and why; asked before every request."""

    def __init__(self) -> None:
        self.error: KomboError | None = None
        """What the run ends with."""
        self.hurried = asyncio.Event()
        """Set when the process will be killed soon."""
        self._listeners: list[Callable[[], None]] = []

    def __bool__(self) -> bool:
        return self.error is not None

    def on_stop(self, listener: Callable[[], None]) -> None:
        """Have a function called when the run stops."""
        self._listeners.append(listener)

    def now(self, error: KomboError, *, hurried: bool = False) -> None:
        """Stop the run; the first error is the one that counts."""
        if self.error is None:
            log.warning("Nothing more is sent: %s", error)
            self.error = error
        if hurried:
            self.hurried.set()
        for listener in self._listeners:
            listener()


class Threads(Protocol):
    """Runs what blocks in a thread."""

    def __call__(self, function: Callable[..., Any], *args: Any) -> Awaitable[Any]:
        """Call a function in a thread."""


@dataclass(frozen=True)
class RunContext:
    """What the lanes of a run have in common."""

    run_id: str
    senders: int
    """How many there are."""
    source: Source
    mapping: RowMapping
    selection: Selection
    default_integration: str | None
    ledger: LockTolerantLedger
    client: KomboClient
    claimer: GroupCommit[RowRequest, Claims]
    """Claims rows for all lanes at once."""
    claimer_of_held: GroupCommit[RowRequest, Claims]
    """Claims rows that were held: nobody else waits for them."""
    recorder: OutcomeWriter
    held_outcomes: HeldOutcomes
    settings: Settings
    stop: StopSignal
    in_thread: Threads
    is_alive: Callable[[], bool]
    """Whether others may not yet take us for dead."""
    warnings: WarningLog
    wrong_server: WrongServerDetector
    """Notices who answers in Kombo's stead."""

    def may_leave(self) -> bool:
        """Return whether a request may still leave: asked when its connection is there."""
        return not self.stop and self.is_alive()
