"""Keep account of the rows of one integration that somebody else's open transaction holds."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from airflow_kombo.delivery.retry_queue import Retries
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.kombo_api.request import RowRequest

log = logging.getLogger(__name__)

MOST_WAITING: Final = 200
"""Held rows that wait to be tried again; more of them are left to the next run at once."""
_MOST_NAMED: Final = 30

UNSENT: Final = "They are as they were, and the next run sends them"
ANSWERED: Final = "Their attempts have their outcome, and the next run writes it to their rows"
UNRELEASED: Final = "They were claimed and not sent; the next run gives them back"


class HeldRows:
    """The held rows that are tried again, and those that are left to the next run.

    :param pause: Seconds until a row is tried again.
    :param patience: Seconds after which a row is left to the next run.
    """

    def __init__(self, integration_id: str, pause: float, patience: float) -> None:
        self._integration_id = integration_id
        self._pause = pause
        self._patience = patience
        self._since: dict[LinkKey, float] = {}
        """When each row that waits was met first."""
        self._waiting = Retries()
        self._left = Counter[str]()
        self._named: defaultdict[str, list[str]] = defaultdict(list)

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def next_due(self) -> float:
        """Return when the first row may be tried again; infinity if none waits."""
        return self._waiting.next_due

    def take_due(self, now: float, most: int) -> list[RowRequest]:
        """Remove and return rows that may be tried again now."""
        return self._waiting.take_due(now, most)

    def were_held(self, batch: Sequence[RowRequest]) -> bool:
        """Return whether the rows of a batch were held when they were tried last."""
        return batch[0].key in self._since

    def update(self, batch: Iterable[RowRequest], held: Sequence[RowRequest], now: float) -> int:
        """Keep those rows of a batch that are held; return how many are left to the next run."""
        given_up = []
        for one in held:
            since = self._since.setdefault(one.key, now)
            if now - since >= self._patience or len(self._waiting) >= MOST_WAITING:
                given_up.append(one.key)
            else:
                self._waiting.put(one, now + self._pause)
        if self._since:
            still = {one.key for one in held} - set(given_up)
            for one in batch:
                if one.key not in still:
                    self._since.pop(one.key, None)
        return self.leave(UNSENT, given_up)

    def leave(self, why: str, keys: Sequence[LinkKey]) -> int:
        """Leave rows to the next run; return their number.

        :param why: What the log says of them.
        """
        if keys:
            self._left[why] += len(keys)
            room = _MOST_NAMED - len(self._named[why])
            self._named[why] += [key.result_id for key in keys[:room]]
        return len(keys)

    def give_up(self) -> int:
        """Leave what still waits to the next run; return its number."""
        waiting = self._waiting.take_due(float("inf"), len(self._waiting))
        return self.leave(UNSENT, [one.key for one in waiting])

    def tell(self) -> None:
        """Name in the log what was left to the next run."""
        for why, rows in self._left.items():
            named = self._named[why]
            more = f", and {rows - len(named)} more" if rows > len(named) else ""
            log.warning(
                "%s: %d rows are left, another transaction holds them. %s: %s%s",
                self._integration_id,
                rows,
                why,
                ", ".join(map(repr, named)),
                more,
            )
