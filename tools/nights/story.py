"""The story of a night: what was planned, and what happened."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

from greenlet import GreenletExit

from airflow_kombo.delivery.run import DeliveryRun
from tools.nights.kombo import Sent
from tools.nights.plan import Plan, PlannedRun
from tools.nights.process import Process


@dataclass
class Try:
    """A try of a dag run: a process."""

    planned: PlannedRun
    process: Process
    run: DeliveryRun | None = None
    error: BaseException | None = None
    has_ended: bool = False
    is_replaced: bool = False
    """Airflow took it for dead, and has started another try beside it."""

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


@dataclass
class Story:
    """Story of one night."""

    plan: Plan
    sent: list[Sent]
    tries: dict[str, Try] = field(default_factory=dict)
    decided: list[Decided] = field(default_factory=list)
    attempts: list[sqlite3.Row] = field(default_factory=list)
    bugs: list[str] = field(default_factory=list)
    """Events that must never happen, such as an error of the program."""
    log: list[tuple[float, str]] = field(default_factory=list)
    """Lines of the history, with the times in seconds."""
