"""Limit of CPU time for a process, as Kubernetes sets it: a cgroup with a quota."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

_CGROUPS: Final = Path("/sys/fs/cgroup")
_PERIOD: Final = 100_000
"""Microseconds, as Kubernetes has it. Who has used up the quota waits for the next period."""
_NUMBERS: Final = count()


@dataclass(frozen=True)
class Quota:
    """Part of one core for each process, by a cgroup of version 2 or 1.

    :param share: The part of one core.
    :param root: The folder of the machine's cgroups.
    """

    share: float
    root: Path = _CGROUPS

    @property
    def is_possible(self) -> bool:
        """Return True if this user can make a cgroup with a quota."""
        return os.access(self._parent, os.W_OK)

    @contextmanager
    def holding(self, pid: int | None) -> Iterator[None]:
        """Hold a process with all of its threads to the quota.

        :raises OSError: if no cgroup can be made.
        """
        group = self._parent / f"kombo-bench-{os.getpid()}-{next(_NUMBERS)}"
        group.mkdir()
        try:
            for name, value in self._settings.items():
                (group / name).write_text(value, encoding="ascii")
            (group / "cgroup.procs").write_text(str(pid), encoding="ascii")
            yield
        finally:
            with suppress(OSError):  # a process that has not quite ended keeps its cgroup
                group.rmdir()

    @property
    def _is_new(self) -> bool:
        """Return True if processes of version 2 can have a quota."""
        shared = self.root / "cgroup.subtree_control"
        return shared.exists() and "cpu" in shared.read_text(encoding="ascii").split()

    @property
    def _parent(self) -> Path:
        return self.root if self._is_new else self.root / "cpu"

    @property
    def _settings(self) -> dict[str, str]:
        quota = int(self.share * _PERIOD)
        if self._is_new:
            return {"cpu.max": f"{quota} {_PERIOD}"}
        return {"cpu.cfs_period_us": str(_PERIOD), "cpu.cfs_quota_us": str(quota)}
