"""Wait for an event for a limited time."""

from __future__ import annotations

import asyncio


async def wait_for_event(event: asyncio.Event, within: float) -> bool:
    """Wait for an event; return True if the event came in time.

    :param within: Most seconds to wait.
    """
    try:
        await asyncio.wait_for(event.wait(), within)
    except asyncio.TimeoutError:
        return False
    return True
