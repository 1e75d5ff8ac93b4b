"""Wait for an event for a limited time."""

from __future__ import annotations

import asyncio


async def happened(event: asyncio.Event, within: float) -> bool:
    """Wait for an event, and return whether it came.

    :param within: Seconds to wait at most.
    """
    try:
        await asyncio.wait_for(event.wait(), within)
    except asyncio.TimeoutError:
        return False
    return True
