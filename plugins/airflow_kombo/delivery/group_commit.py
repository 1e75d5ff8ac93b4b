"""Group commit: what is asked for while one transaction is written shares the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Generic, TypeVar

_LARGEST_GROUP: Final = 500

Item = TypeVar("Item")
Result = TypeVar("Result")


class GroupCommit(Generic[Item, Result]):
    """Does one after the other what many ask for at once, together.

    :param commit: Does it for a group, and gives what all of the group get.
    """

    def __init__(self, commit: Callable[[list[Item]], Awaitable[Result]]) -> None:
        self._commit = commit
        self._turn = asyncio.Lock()
        self._open: list[Item] = []
        self._committed: asyncio.Task[Result] | None = None

    def add(self, items: Iterable[Item]) -> asyncio.Task[Result]:
        """Put items into the next group, and give what ends when that group is committed."""
        if self._committed is None or len(self._open) >= _LARGEST_GROUP:
            self._open = []
            self._committed = asyncio.create_task(self._commit_in_turn(self._open))
        self._open.extend(items)
        return self._committed

    async def join(self, items: Sequence[Item]) -> tuple[Result, int]:
        """Return the result of these items' group, and the place of the first of them in it.

        It is committed even if the one who waits for it is cancelled.
        """
        committed = self.add(items)
        place = len(self._open) - len(items)
        return await asyncio.shield(committed), place

    async def _commit_in_turn(self, group: list[Item]) -> Result:
        async with self._turn:
            if self._open is group:
                self._committed = None  # what comes from now on goes into the next group
            return await self._commit(group)
