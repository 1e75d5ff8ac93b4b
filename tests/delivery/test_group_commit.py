from __future__ import annotations

import asyncio

import pytest

from airflow_kombo.delivery.group_commit import GroupCommit
from airflow_kombo.exceptions import LedgerError


class Commits:
    """Commits with a controllable end; the result is the length of the group."""

    def __init__(self, error=None):
        self.groups = []
        self.error = error
        self.may_end = asyncio.Event()

    async def __call__(self, group):
        self.groups.append(list(group))
        await self.may_end.wait()
        if self.error:
            raise self.error
        return len(group)


async def turns(number=5):
    for _ in range(number):
        await asyncio.sleep(0)


def test_what_comes_during_a_commit_shares_the_next():
    """One commit runs at a time; callers get the group's result and their items' place."""

    async def run():
        commits = Commits()
        together = GroupCommit(commits)
        first = asyncio.create_task(together.join([1]))
        await turns()
        later = [asyncio.create_task(together.join(items)) for items in ([2], [3, 4], [5])]
        await turns()
        assert commits.groups == [[1]]
        commits.may_end.set()
        assert await asyncio.gather(first, *later) == [(1, 0), (4, 0), (4, 1), (4, 3)]
        assert commits.groups == [[1], [2, 3, 4, 5]]

    asyncio.run(run())


def test_those_who_ask_again_at_once_share_the_next_group():
    """Callers of the last group and those who waited meanwhile do not take turns from then on."""

    async def run():
        groups = []

        async def commit(group):
            groups.append(list(group))
            await turns(20)

        together = GroupCommit(commit)

        async def sender(number):
            for _ in range(4):
                await together.join([number])
                await turns(2)  # what a sender does with its claims before it asks again

        first = asyncio.create_task(sender(1))
        await turns()
        await asyncio.gather(first, *(sender(number) for number in (2, 3)))
        return [sorted(group) for group in groups]

    assert asyncio.run(run()) == [[1], [1, 2, 3], [1, 2, 3], [1, 2, 3], [2, 3]]


def test_groups_are_bounded():
    """A group has at most 500 items."""

    async def run():
        commits = Commits()
        commits.may_end.set()
        together = GroupCommit(commits)
        await asyncio.gather(*(together.join([number]) for number in range(1_200)))
        return commits.groups

    groups = asyncio.run(run())
    assert [item for group in groups for item in group] == list(range(1_200))
    assert max(map(len, groups)) == 500


def test_a_group_shares_its_error():
    """All callers of a failed group get the error, and the next group is committed."""

    async def run():
        commits = Commits(LedgerError("gone"))
        commits.may_end.set()
        together = GroupCommit(commits)
        both = await asyncio.gather(together.join([1]), together.join([2]), return_exceptions=True)
        commits.error = None
        return [str(error) for error in both], await together.join([3])

    assert asyncio.run(run()) == (["gone", "gone"], (1, 0))


def test_a_commit_outlives_who_waits_for_it():
    """A cancelled caller does not cancel the commit of the others."""

    async def run():
        commits = Commits()
        together = GroupCommit(commits)
        cancelled = asyncio.create_task(together.join([1]))
        stays = asyncio.create_task(together.join([2]))
        await turns()
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        commits.may_end.set()
        return await stays

    assert asyncio.run(run()) == (2, 1)
