"""Time of a simulated night, and all threads.

Each thread of each process is a greenlet. One of them runs at a time, until it waits for time or
for another one. So a number gives the same night again.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from datetime import datetime, timezone
from enum import Enum, auto
from itertools import count
from random import Random
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

from greenlet import getcurrent, greenlet

if TYPE_CHECKING:
    from tools.nights.process import Process
    from tools.nights.replaced import Server

EVENING: Final = datetime(2026, 11, 4, 2, tzinfo=timezone.utc).timestamp()
"""Time at which a night begins, in seconds."""
_HANDOVER_SECONDS: Final = 0.0002
"""Longest time from an event to the thread that waits for it."""


class Point(Enum):
    """Point of danger for a process."""

    BEGIN = auto()
    """Before a transaction begins."""
    COMMIT = auto()
    """Before a transaction is committed."""
    COMMITTED = auto()
    """After a transaction was committed."""
    SENT = auto()
    """After the body of a request has left."""


class CommitFate(Enum):
    """The end of a commit."""

    DONE = auto()
    LOST = auto()
    """Rolled back, with an error."""
    UNCONFIRMED = auto()
    """Committed, with an error."""


class Fate(Protocol):
    """Accidents of a night, for the world."""

    def strike(self, process: Process, point: Point) -> None:
        """Let an accident come to a process at a point, such as its death."""

    def begins(self) -> tuple[float, bool]:
        """Return the seconds until a transaction begins, and whether the database can begin it."""

    def commits(self) -> tuple[float, CommitFate]:
        """Return the seconds that a commit takes, and its end."""


class World:
    """World of a night: time, events, and processes."""

    server: Server

    def __init__(self, seed: int, fate: Fate) -> None:
        self.now = EVENING
        self.database_is_ahead = 0.0
        """Seconds by which the database's clock is ahead."""
        self.jumps: list[tuple[float, float]] = [(EVENING, 0.0)]
        """Times since which the database's clock is ahead, with these seconds."""
        self.fate = fate
        self.processes: list[Process] = []
        self.log: list[tuple[float, str]] = []
        self._chance = Random(f"{seed}/world")
        self._events: list[tuple[float, float, int, Callable[[], None]]] = []
        self._tie = count()

    def at(self, when: float, do: Callable[[], None]) -> None:
        """Call a function at a time; the seed decides about the order at one time."""
        order = self._chance.random()
        heapq.heappush(self._events, (max(when, self.now), order, next(self._tie), do))

    def soon(self, do: Callable[[], None]) -> None:
        """Call a function within a moment."""
        self.at(self.now + self._chance.random() * _HANDOVER_SECONDS, do)

    def record(self, text: str) -> None:
        """Add a line to the night's history."""
        self.log.append((self.now, text))

    def run(self) -> None:
        """Let time pass until nothing happens any more."""
        while self._events:
            self.now, _, _, do = heapq.heappop(self._events)
            do()

    def jump(self, seconds: float) -> None:
        """Let the database's clock jump."""
        self.record(f"the database's clock jumps by {seconds:.0f} s")
        self.database_is_ahead += seconds
        self.jumps.append((self.now, self.database_is_ahead))

    def database_time(self) -> str:
        """Return the database's time as SQLite writes it."""
        moment = datetime.fromtimestamp(self.now + self.database_is_ahead, timezone.utc)
        return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}000"


class Fiber:
    """A thread of a process."""

    running: ClassVar[Fiber | None] = None

    def __init__(self, process: Process, work: Callable[[], object]) -> None:
        self.process = process
        self._greenlet = greenlet(work, _hub)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn = 0

    def resume(self, turn: int | None = None) -> None:
        """Let the thread go on, unless it has gone on since or stands still."""
        process, world = self.process, self.process.world
        if (turn is not None and turn != self._turn) or process.is_dead or self._greenlet.dead:
            return
        if process.stands_still_until > world.now:
            world.at(process.stands_still_until, lambda: self.resume(turn))
            return
        self._turn += 1
        self._switch(self._greenlet.switch)

    def wake(self) -> None:
        """Let a waiting thread go on within a moment."""
        if self.process.is_dead:
            return
        turn = self._turn
        self.process.world.soon(lambda: self.resume(turn))

    def wait(self, until: float | None = None) -> None:
        """Wait until somebody wakes this thread, or until a time."""
        if until is not None:
            turn = self._turn
            self.process.world.at(until, lambda: self.resume(turn))
        _hub.switch()
        self.process.assert_alive()

    def end(self) -> None:
        """Unwind a waiting thread whose process is dead."""
        if self._greenlet and not self._greenlet.dead:
            self._greenlet.parent = getcurrent()
            self._switch(self._greenlet.throw)

    def _switch(self, switch: Callable[[], object]) -> None:
        before, Fiber.running = Fiber.running, self
        loop = asyncio._get_running_loop()  # noqa: SLF001 - for event loops
        asyncio._set_running_loop(self._loop)  # noqa: SLF001 - for event loops
        try:
            switch()
        finally:
            self._loop = asyncio._get_running_loop()  # noqa: SLF001 - for event loops
            asyncio._set_running_loop(loop)  # noqa: SLF001 - for event loops
            Fiber.running = before


_hub: greenlet = getcurrent()


def running() -> Fiber:
    """Return the running thread."""
    if Fiber.running is None:
        raise RuntimeError("No process runs.")
    return Fiber.running


def is_running(thread: Fiber | None = None) -> bool:
    """Return True if any thread of a process runs, or a given one."""
    return Fiber.running is not None and thread in {None, Fiber.running}


def sleep(seconds: float) -> None:
    """Let the running thread wait."""
    thread = running()
    until = thread.process.world.now + seconds
    while thread.process.world.now < until:
        thread.wait(until)
