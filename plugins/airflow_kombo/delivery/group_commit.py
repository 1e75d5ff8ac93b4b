"""Group commit: items added during one transaction share the next transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Generic, TypeVar

_LARGEST_GROUP: Final = 500
_GATHER_SECONDS: Final = 0.002
"""Pause between two groups, for those who waited for the first and have the next items at once.
Without it they would miss the second, and each item would wait for two commits instead of one."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class GroupCommit(Generic[Item, Result]):
    """Queue of items, committed in groups, one group after the other.

    :param commit: Commits a group; all items of the group share the result.
    """

    def __init__(self, commit: Callable[[list[Item]], Awaitable[Result]]) -> None:
        self._commit = commit
        self._turn = asyncio.Lock()
        self._open: list[Item] = []
        self._committed: asyncio.Task[Result] | None = None

    def add(self, items: Iterable[Item]) -> asyncio.Task[Result]:
        """Add items to the next group; return the commit task of this group."""
        if self._committed is None or len(self._open) >= _LARGEST_GROUP:
            self._open = []
            self._committed = asyncio.create_task(self._commit_in_turn(self._open))
        self._open.extend(items)
        return self._committed

    async def join(self, items: Sequence[Item]) -> tuple[Result, int]:
        """Add items to the next group and wait for the commit of this group.

        :returns: The group's result, and the place of the first of the items in the group.

        The group is committed even if the caller is cancelled.

        :raises Exception: any error of the commit.
        """
        committed = self.add(items)
        place = len(self._open) - len(items)
        return await asyncio.shield(committed), place

    async def _commit_in_turn(self, group: list[Item]) -> Result:
        has_to_wait = self._turn.locked()
        async with self._turn:
            if has_to_wait:
                await asyncio.sleep(_GATHER_SECONDS)
            if self._open is group:
                self._committed = None  # later items go into the next group
            return await self._commit(group)
