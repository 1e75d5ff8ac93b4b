"""Waiting requests, each with a due time."""

from __future__ import annotations

import heapq
from itertools import count

from airflow_kombo.kombo_api.request import RowRequest


class DueQueue:
    """Waiting requests in the order of their due times."""

    def __init__(self) -> None:
        self._requests: list[tuple[float, int, RowRequest]] = []
        self._tie = count()

    def __len__(self) -> int:
        return len(self._requests)

    def put(self, request: RowRequest, due: float) -> None:
        """Keep a request until a time."""
        heapq.heappush(self._requests, (due, next(self._tie), request))

    def take_due(self, now: float, most: int) -> list[RowRequest]:
        """Remove and return the due requests, the earliest first.

        :param most: Most requests to return.
        """
        due: list[RowRequest] = []
        while self._requests and self._requests[0][0] <= now and len(due) < most:
            due.append(heapq.heappop(self._requests)[2])
        return due

    @property
    def next_due(self) -> float:
        """Return the time of the earliest request; infinity if none waits."""
        return self._requests[0][0] if self._requests else float("inf")
