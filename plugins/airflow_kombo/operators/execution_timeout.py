"""Stop of a run at the end of Airflow's `execution_timeout`, as at a SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def execution_timeout(stop: Callable[[str], None]) -> Iterator[None]:
    """Call `stop` at Airflow's alarm, and leave calls in flight the time to end.

    Airflow's own handler (`airflow.sdk.execution_time.timeout`, 3.3) raises an exception at any
    place of the main thread. Inside the event loop, the calls in flight would become `unknown`.

    :param stop: The function that stops the run; it takes the reason.
    """
    if threading.current_thread() is not threading.main_thread():  # no alarm can be set there
        yield
        return
    loop = asyncio.get_running_loop()
    airflows_handler = signal.getsignal(signal.SIGALRM)
    loop.add_signal_handler(signal.SIGALRM, stop, "The task's execution_timeout is over.")
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGALRM)
        signal.signal(signal.SIGALRM, airflows_handler)
