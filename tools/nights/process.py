"""Process of a simulated night: event loop, threads, and death.

A process runs the shipped code. It can die whenever it waits, and at its points of danger: before a
transaction, at its commit, and when a request has left.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from contextvars import Context
from itertools import count
from typing import Any

from greenlet import GreenletExit

from tools.nights.world import Fiber, Point, World, is_running, running

Callback = Callable[..., object]


class Process:
    """A process of the machine.

    :param main: The function whose coroutine the process runs.
    :param on_end: Called when the process ends, with the error if there is one: `GreenletExit` if
        it was killed.
    """

    def __init__(
        self,
        world: World,
        name: str,
        main: Callable[[], Coroutine[Any, Any, None]],
        on_end: Callable[[BaseException | None], None],
    ) -> None:
        self.world = world
        self.name = name
        self.is_dead = False
        self.has_ended = False
        self.stands_still_until = 0.0
        self.passed = Counter[Point]()
        self.slept = 0.0
        """Seconds of a suspended machine, which the monotonic clock leaves out."""
        self.threads: list[Fiber] = []
        self._end = on_end
        self._main = main
        self.loop = SimulatedLoop(self)
        self.fiber = self.start_thread(self._run)
        world.processes.append(self)

    def start_thread(self, work: Callable[[], object]) -> Fiber:
        """Start a thread."""
        thread = Fiber(self, work)
        self.threads.append(thread)
        thread.wake()
        return thread

    def monotonic(self) -> float:
        """Return the monotonic seconds; a suspended machine stops this clock."""
        return self.world.now - self.slept

    def assert_alive(self) -> None:
        """End the thread that runs if the process is dead."""
        if self.is_dead:
            raise GreenletExit

    def pass_by(self, point: Point) -> None:
        """Pass a point at which the process may die."""
        self.assert_alive()
        self.passed[point] += 1
        self.world.fate.strike(self, point)
        self.assert_alive()

    def stand_still(self, seconds: float, *, suspended: bool) -> None:
        """Stop the process for some time, alone or with its machine."""
        self.stands_still_until = max(self.stands_still_until, self.world.now + seconds)
        self.slept += seconds if suspended else 0.0

    def kill(self) -> None:
        """End the process as SIGKILL does: no code runs any more."""
        if self.is_dead or self.has_ended:
            return
        self.world.record(f"{self.name} is killed")
        self.is_dead = True
        for thread in self.threads:
            if not is_running(thread):
                thread.end()
        self._end(GreenletExit())

    def unwind(self) -> None:
        """Unwind unfinished work after the night."""
        self.is_dead = True
        for thread in self.threads:
            thread.end()
        Fiber.running = self.fiber
        for task in self.loop.tasks:
            task.unwind()
        Fiber.running = None

    def _run(self) -> None:
        error = self.loop.run(self._main)
        self.assert_alive()
        self.has_ended = True
        self._end(error)


class SimulatedTask(asyncio.Task):  # type: ignore[type-arg]
    """Task with a number for a hash, for one order of sets in every process."""

    numbers = count()

    def __init__(self, *args: Any, **options: Any) -> None:
        self._number = next(self.numbers)
        super().__init__(*args, **options)

    def __hash__(self) -> int:
        return hash(self._number)

    def unwind(self) -> None:
        """Unwind an unfinished task after the night."""
        if not self.done():
            self._log_destroy_pending = False
            with contextlib.suppress(RuntimeError, GreenletExit):  # it cannot wait any more
                self.get_coro().close()


# To the checker the base is anything: the night needs a tenth of what the base declares.
_Base: Any = asyncio.AbstractEventLoop


class SimulatedLoop(_Base):  # type: ignore[misc]
    """Event loop of a process, in virtual time.

    It has what the delivery and asyncio itself use; the base raises for everything else.
    """

    def __init__(self, process: Process) -> None:
        self._process = process
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._tie = count()
        self._threads: ThreadPool | None = None
        self.tasks: list[SimulatedTask] = []
        self.errors: list[dict[str, Any]] = []

    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> BaseException | None:
        """Run a coroutine to the end, and return the error."""
        asyncio._set_running_loop(self)  # noqa: SLF001 - for event loops
        task = self.create_task(main())
        while not task.done():
            if not self._ready:
                self._wait()
            for _ in range(len(self._ready)):
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()  # noqa: SLF001 - for event loops
                self._process.assert_alive()
        asyncio._set_running_loop(None)  # noqa: SLF001 - for event loops
        return task.exception()

    def _wait(self) -> None:
        now, slept = self.time(), self._process.slept
        until = self._timers[0][0] + slept if self._timers else None
        if until is None or self._timers[0][0] > now:
            self._process.fiber.wait(until)
        while self._timers and self._timers[0][0] <= self.time():
            self._ready.append(heapq.heappop(self._timers)[2])

    def time(self) -> float:
        """Return the process's monotonic seconds."""
        return self._process.monotonic()

    def call_soon(
        self, callback: Callback, *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Call a function in the loop's next turn."""
        handle = asyncio.Handle(callback, args, self, context)
        if not self._ready and not is_running(self._process.fiber):
            self._process.fiber.wake()
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Callback, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call a function after some seconds."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callback, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call a function at a time."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._tie), timer))
        return timer

    def create_future(self) -> asyncio.Future[Any]:
        """Build a future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine[Any, Any, Any], **options: Any) -> SimulatedTask:
        """Start a task."""
        task = SimulatedTask(coro, loop=self, **options)
        self.tasks.append(task)
        return task

    def run_in_executor(
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Call a function in a thread."""
        if executor is None:
            executor = self._threads = self._threads or ThreadPool()
        return asyncio.wrap_future(executor.submit(func, *args), loop=self)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep an error without a handler."""
        self.errors.append(context)

    def get_debug(self) -> bool:
        """Return False."""
        return False

    def is_running(self) -> bool:
        """Return True."""
        return True

    def is_closed(self) -> bool:
        """Return True if the process is dead."""
        return self._process.is_dead

    def _timer_handle_cancelled(self, _handle: asyncio.TimerHandle) -> None:
        """Leave a cancelled timer for the turn of the loop."""


class ThreadPool(Executor):
    """Threads of a process, in place of `concurrent.futures.ThreadPoolExecutor`."""

    def __init__(self, max_workers: int = 8, thread_name_prefix: str = "") -> None:  # noqa: ARG002
        self._process = running().process
        self._workers = max_workers
        self._busy = 0
        self._queue: deque[tuple[Future[Any], Callable[[], Any]]] = deque()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a function in a thread as soon as one is free."""
        self._process.assert_alive()
        future: Future[Any] = Future()
        self._queue.append((future, lambda: fn(*args, **kwargs)))
        if self._busy < self._workers:
            self._busy += 1
            self._process.start_thread(self._work)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - the base's
        """Wait until all functions have returned; the process does nothing else meanwhile."""
        while self._busy:
            self._process.fiber.wait()

    def _work(self) -> None:
        while self._queue:
            future, work = self._queue.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = work()
            except GreenletExit:
                raise
            except BaseException as error:  # noqa: BLE001 - as the real one does
                future.set_exception(error)
            else:
                future.set_result(result)
        self._busy -= 1
        self._process.fiber.wake()
