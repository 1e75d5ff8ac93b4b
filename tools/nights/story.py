"""The story of a night: the plan and the events."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from greenlet import GreenletExit

from airflow_kombo.delivery.day_account import DayAccount
from airflow_kombo.delivery.run import DeliveryRun
from airflow_kombo.planning.shards import PlannedShard
from tools.nights.ats import Ats
from tools.nights.kombo import Sent
from tools.nights.plan import Plan, PlannedRun
from tools.nights.planned_evidence import PlannedLook
from tools.nights.process import Process


@dataclass
class Try:
    """A try of a task: a process.

    :param number: Number of the try, from 1.
    :param started_at: Time of the start, in seconds.
    :param shard: The shard that it delivers; None for a task without shards.
    :param map_index: Place of the shard.
    :param planned_at: Time at which the division of the day began, in seconds.
    """

    planned: PlannedRun
    process: Process
    number: int
    started_at: float
    shard: PlannedShard | None = None
    map_index: int = -1
    planned_at: float = 0.0
    shards: Sequence[PlannedShard] = ()
    """The shards of a day that it has divided."""
    most_rows: int | None = None
    """Rows that these shards may send together; None for no limit."""
    run: DeliveryRun | None = None
    account: DayAccount | None = None
    error: BaseException | None = None
    has_ended: bool = False
    is_replaced: bool = False
    """Airflow took it for dead, and has started another try beside it."""

    @property
    def stoppable(self) -> DeliveryRun | DayAccount | None:
        """Return the part stopped by a SIGTERM."""
        return self.run or self.account

    @property
    def was_killed(self) -> bool:
        """Return True after a SIGKILL."""
        return isinstance(self.error, GreenletExit)


@dataclass
class Decided:
    """Written decision about one row."""

    at: float
    result_id: str
    word: str
    is_careless: bool


@dataclass(frozen=True)
class Account:
    """Account of a day in shards.

    :param one: The try that made it.
    :param shards: The last try of each shard.
    :param counts: The rows by integration and status.
    :param in_doubt: The rows of the day that are `unknown`.
    :param is_alone: Whether no other process ran meanwhile.
    """

    one: Try
    shards: Sequence[Try]
    counts: Mapping[str, Counter[str]]
    in_doubt: int
    is_alone: bool


@dataclass
class Look:
    """Look for the links of rows in doubt: a process.

    :param counts: The rows by what became of them.
    """

    planned: PlannedLook
    process: Process
    started_at: float
    counts: Counter[str] = field(default_factory=Counter)
    error: BaseException | None = None
    has_ended: bool = False


@dataclass
class Story:
    """Story of one night."""

    plan: Plan
    sent: list[Sent]
    ats: Ats
    jumps: list[tuple[float, float]]
    """Times since which the database's clock is ahead, with these seconds."""
    tries: dict[str, Try] = field(default_factory=dict)
    accounts: list[Account] = field(default_factory=list)
    decided: list[Decided] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    evidence: list[sqlite3.Row] = field(default_factory=list)
    """Evidence about attempts, as it was written."""
    resolutions: list[sqlite3.Row] = field(default_factory=list)
    """Decisions about attempts, of people and by evidence, as they were written."""
    attempts: list[sqlite3.Row] = field(default_factory=list)
    claims: list[sqlite3.Row] = field(default_factory=list)
    """Claims of rows with a status, and this status."""
    runs: list[sqlite3.Row] = field(default_factory=list)
    bugs: list[str] = field(default_factory=list)
    """Events that must never happen, such as an error of the program."""
    log: list[tuple[float, str]] = field(default_factory=list)
    """Lines of the history, with the times in seconds."""
