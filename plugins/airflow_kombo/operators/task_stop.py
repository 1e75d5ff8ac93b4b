"""Stop of a task on SIGTERM, at any moment of its run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from airflow_kombo.exceptions import RunStoppedError

_REASON: Final = "The task was stopped."
_TOO_EARLY: Final = "The task was stopped before it had sent anything."


class _InterruptedError(KeyboardInterrupt):
    """Interrupt of the main thread, at which database drivers cancel their query."""


class TaskStop:
    """Stop of one task: an interrupt until its delivery exists, an orderly stop from then on."""

    def __init__(self) -> None:
        self._stop_delivery: Callable[[str], None] | None = None
        self._is_running = False

    @contextmanager
    def covers(self) -> Iterator[None]:
        """Let `now` end the code inside.

        :raises RunStoppedError: if the code was interrupted before a delivery existed.
        """
        self._is_running = True
        try:
            yield
        except _InterruptedError as error:
            raise RunStoppedError(str(error)) from None
        finally:
            self._is_running = False

    def hand_over(self, stop_delivery: Callable[[str], None]) -> None:
        """Hand the stop over to the delivery.

        :param stop_delivery: The function, which takes the reason and may be called at any time.
        """
        self._stop_delivery = stop_delivery

    def now(self) -> None:
        """Stop the task; called in the main thread, by Airflow's handler of SIGTERM."""
        if self._stop_delivery:
            self._stop_delivery(_REASON)
        elif self._is_running:
            raise _InterruptedError(_TOO_EARLY)
