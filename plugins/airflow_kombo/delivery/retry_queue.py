"""Retry queue: requests of one integration waiting for their next try."""

from __future__ import annotations

import random
from collections import Counter
from typing import Final

from airflow_kombo.delivery.due_queue import DueQueue
from airflow_kombo.delivery.run_context import Settings
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.kombo_api.verdicts import Verdict

SENT_AGAIN: Final = frozenset({Verdict.WAIT, Verdict.RETRY})
"""Verdicts after which a request is sent again in the same run."""
MOST_RETRIES: Final = 1_000
"""Requests that may wait to be sent again before new rows are read."""


class RetryQueue(DueQueue):
    """Requests waiting for their next try, with the number of used tries.

    A request is not in flight while it waits: its row is `retryable` in the ledger, and the request
    is claimed anew when it is due.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self._tries: Counter[LinkKey] = Counter()

    @property
    def is_full(self) -> bool:
        """Return True if no new rows should be read for now."""
        return len(self) >= MOST_RETRIES

    def retry(self, request: RowRequest, verdict: Verdict, now: float, pause: float) -> bool:
        """Keep a request for the next try; return False if all tries are used up.

        A limit uses up no try. Any other retry waits for a random part of an exponential backoff.

        :param pause: Seconds that the response asked to wait.
        """
        key = request.key
        self._tries[key] += verdict is Verdict.RETRY
        if self._tries[key] >= self._settings.max_tries:
            return False
        if verdict is Verdict.RETRY:
            longest = self._settings.first_retry * 2 ** (self._tries[key] - 1)
            pause += random.uniform(0, min(longest, self._settings.longest_retry))  # noqa: S311 - jitter
        self.put(request, now + pause)
        return True

    def forget(self, key: LinkKey) -> None:
        """Forget the tries of a finished row."""
        self._tries.pop(key, None)
