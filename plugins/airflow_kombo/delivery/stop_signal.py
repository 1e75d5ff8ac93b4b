"""Stop signal of a run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from airflow_kombo.exceptions import KomboError

log = logging.getLogger(__name__)


class StopSignal:
    """Signal to send nothing more in a run; checked before every request."""

    def __init__(self) -> None:
        self.error: KomboError | None = None
        """Error that the run ends with; None while the run may go on."""
        self.hurried = asyncio.Event()
        """Set when the process will be killed soon."""
        self._listeners: list[Callable[[], None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_set(self) -> bool:
        """Return True if the run must send nothing more."""
        return self.error is not None

    def on_stop(self, listener: Callable[[], None]) -> None:
        """Call a function whenever the run is stopped."""
        self._listeners.append(listener)

    def begin(self) -> None:
        """Remember the running loop, for `set_from_any_thread`."""
        self._loop = asyncio.get_running_loop()

    def set_from_any_thread(self, error: KomboError) -> None:
        """Stop the run in a hurry, from any thread and at any time."""
        if self._loop is None:
            self.set(error, hurried=True)
            return
        with suppress(RuntimeError):  # the loop is closed, so nothing is left to stop
            self._loop.call_soon_threadsafe(lambda: self.set(error, hurried=True))

    def set(self, error: KomboError, *, hurried: bool = False) -> None:
        """Stop the run.

        :param error: Error that the run ends with; the first one counts.
        :param hurried: Whether the process will be killed soon.
        """
        if self.error is None:
            log.warning("Nothing more is sent: %s", error)
            self.error = error
        if hurried:
            self.hurried.set()
        for listener in self._listeners:
            listener()
