"""A clock that goes on while the machine is suspended."""

from __future__ import annotations

import sys
import time

if sys.platform == "linux":

    def clock() -> float:
        """Return seconds that never go back, with those in which the machine was suspended.

        Others declare a run dead by their own clock, so its own must not have stood still.
        """
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:

    def clock() -> float:
        """Return seconds that never go back."""
        return time.monotonic()
