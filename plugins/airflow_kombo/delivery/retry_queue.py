"""Keep the rows of one integration that wait to be tried again."""

from __future__ import annotations

import heapq
from itertools import count

from airflow_kombo.kombo_api.request import RowRequest


class Retries:
    """Rows with the time from which each may be tried again."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, int, RowRequest]] = []
        self._tie = count()

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, delivery: RowRequest, due: float) -> None:
        """Keep a row until its time has come."""
        heapq.heappush(self._rows, (due, next(self._tie), delivery))

    def take_due(self, now: float, most: int) -> list[RowRequest]:
        """Remove and return the rows whose time has come, the earliest first.

        :param most: How many of them at most.
        """
        due: list[RowRequest] = []
        while self._rows and self._rows[0][0] <= now and len(due) < most:
            due.append(heapq.heappop(self._rows)[2])
        return due

    @property
    def next_due(self) -> float:
        """Return when the first row may be tried again; infinity if none waits."""
        return self._rows[0][0] if self._rows else float("inf")
