"""Airflow's `execution_timeout`, heeded as a SIGTERM is: what is on the wire gets time to end."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def execution_timeout(stop: Callable[[str], None]) -> Iterator[None]:
    """Have `stop` called with the reason when Airflow's alarm rings.

    Airflow's own handler raises an exception wherever the main thread happens to be, which would
    cut the event loop, and leave in doubt whatever is on the wire.
    """
    if threading.current_thread() is not threading.main_thread():  # nor could Airflow set an alarm
        yield
        return
    loop = asyncio.get_running_loop()
    airflows = signal.getsignal(signal.SIGALRM)
    loop.add_signal_handler(signal.SIGALRM, stop, "The task's execution_timeout is over.")
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGALRM)
        signal.signal(signal.SIGALRM, airflows)
