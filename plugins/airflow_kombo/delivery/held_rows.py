"""Held rows of one integration: another open transaction has locked them."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from airflow_kombo.delivery.due_queue import DueQueue
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.kombo_api.request import RowRequest

log = logging.getLogger(__name__)

MOST_WAITING: Final = 200
"""Most held rows that wait for another try; further ones are left to the next run at once."""
_MOST_NAMED: Final = 30

NOT_CLAIMED: Final = "They are as they were, and the next run sends them"
NOT_RECORDED: Final = "Their attempts have their outcome, and the next run writes it to their rows"
NOT_RELEASED: Final = "They were claimed and not sent; the next run gives them back"


class HeldRows:
    """Held rows of one integration: those tried again, and those left to the next run.

    :param pause: Seconds until a row is tried again.
    :param patience: Seconds after which a row is left to the next run.
    """

    def __init__(self, integration_id: str, pause: float, patience: float) -> None:
        self._integration_id = integration_id
        self._pause = pause
        self._patience = patience
        self._since: dict[LinkKey, float] = {}
        """Time at which each waiting row was held first."""
        self._waiting = DueQueue()
        self._left = Counter[str]()
        self._named: defaultdict[str, list[str]] = defaultdict(list)

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def next_due(self) -> float:
        """Return the time of the next try of a held row; infinity if none waits."""
        return self._waiting.next_due

    def take_due(self, now: float, most: int) -> list[RowRequest]:
        """Remove and return the rows due for another try."""
        return self._waiting.take_due(now, most)

    def were_held(self, batch: Sequence[RowRequest]) -> bool:
        """Return True if the rows of a batch were held at their last try."""
        return batch[0].key in self._since

    def update(self, batch: Iterable[RowRequest], held: Sequence[RowRequest], now: float) -> int:
        """Keep the held rows of a batch; return the number of rows left to the next run."""
        given_up = []
        for request in held:
            since = self._since.setdefault(request.key, now)
            if now - since >= self._patience or len(self._waiting) >= MOST_WAITING:
                given_up.append(request.key)
            else:
                self._waiting.put(request, now + self._pause)
        if self._since:
            still = {request.key for request in held} - set(given_up)
            for request in batch:
                if request.key not in still:
                    self._since.pop(request.key, None)
        return self.leave(NOT_CLAIMED, given_up)

    def leave(self, state: str, keys: Sequence[LinkKey]) -> int:
        """Leave rows to the next run; return their number.

        :param state: State of the rows, for the log.
        """
        if keys:
            self._left[state] += len(keys)
            room = _MOST_NAMED - len(self._named[state])
            self._named[state] += [key.result_id for key in keys[:room]]
        return len(keys)

    def give_up(self) -> int:
        """Leave all waiting rows to the next run; return their number."""
        waiting = self._waiting.take_due(float("inf"), len(self._waiting))
        return self.leave(NOT_CLAIMED, [request.key for request in waiting])

    def log_left(self) -> None:
        """Log the rows left to the next run."""
        for state, rows in self._left.items():
            named = self._named[state]
            more = f", and {rows - len(named)} more" if rows > len(named) else ""
            log.warning(
                "%s: %d rows are left, another transaction holds them. %s: %s%s",
                self._integration_id,
                rows,
                state,
                ", ".join(map(repr, named)),
                more,
            )
