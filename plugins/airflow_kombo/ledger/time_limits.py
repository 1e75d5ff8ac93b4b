"""Time limits of a run's life and of Kombo's logs, also for the page."""

from __future__ import annotations

from typing import Final

HEARTBEAT_SECONDS: Final = 10.0
"""Seconds between two heartbeats of a living run."""

DEAD_AFTER_SECONDS: Final = 60.0
"""Seconds without a heartbeat after which a run counts as dead. It has stopped sending by then."""

KOMBO_LOG_DAYS: Final = 30
"""Days for which Kombo keeps the log of a call."""
