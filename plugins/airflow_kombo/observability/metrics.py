"""What the lanes of a run measure, told to Airflow's metrics: StatsD, Datadog or OpenTelemetry.

Nothing is told per row: a lane keeps its measures, and tells them together every few seconds.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from airflow_kombo.airflow_compat import stats
from airflow_kombo.exceptions import TransportError
from airflow_kombo.kombo_api.response import KomboResponse

_NAME: Final = "kombo.result_links"
_TOO_MANY_REQUESTS: Final = 429
_TIMINGS: Final = 20
"""Calls of one lane whose times are told at once; of more, an even sample over all times."""

BLOCKED: Final = "blocked"
GIVEN_UP: Final = "given_up"
"""What may end a lane before its rows do."""

_AN_INTEGRATION: Final = re.compile(r"[A-Za-z0-9_-]{1,40}:[A-Za-z0-9_-]{1,60}", re.ASCII)
_OTHER: Final = "other"
"""The tag of what is no integration's id: a bad row may hold anything there, a person's too."""


class SenderMetrics:
    """What one lane has measured since it was told.

    :param counts: The lane's rows by status, which the lane goes on to count in.
    """

    def __init__(self, integration_id: str, counts: Mapping[str, int]) -> None:
        self.tag = _tag(integration_id)
        self.counts = counts
        self.ended_by: str | None = None
        """`BLOCKED` or `GIVEN_UP`."""
        self.milliseconds: list[float] = []
        """How long each call took."""
        self.limited = 0
        """Calls that were answered with a 429."""

    def observe(self, outcome: KomboResponse | TransportError, seconds: float) -> None:
        """Note how a call ended, and how long it took."""
        self.milliseconds.append(seconds * 1000)
        if isinstance(outcome, KomboResponse) and outcome.http_status == _TOO_MANY_REQUESTS:
            self.limited += 1


class Metrics:
    """Tells what the lanes of a run have measured.

    :param tags: Tags of all of it, beside each lane's `integration`.
    """

    def __init__(self, meters: Iterable[SenderMetrics], tags: Mapping[str, str]) -> None:
        self._meters = [(metrics, Counter[str]()) for metrics in meters]
        self._tags = tags

    async def tell_on_the_way(self) -> None:
        """Tell what is new, and let the calls go on between two lanes."""
        for metrics, told in self._meters:
            self._tell(metrics, told)
            await asyncio.sleep(0)

    def tell(self) -> None:
        """Tell what is new."""
        for metrics, told in self._meters:
            self._tell(metrics, told)

    def _tell(self, metrics: SenderMetrics, told: Counter[str]) -> None:
        tags = {**self._tags, "integration": metrics.tag}
        now = Counter({f"rows.{status}": rows for status, rows in metrics.counts.items()})
        now["posts"] = told["posts"] + len(metrics.milliseconds)
        now["http_429"] = metrics.limited
        if metrics.ended_by:
            now[f"lanes.{metrics.ended_by}"] = 1
        for name, more in (now - told).items():
            stats.incr(f"{_NAME}.{name}", more, tags=tags)
        told.update(now - told)
        for milliseconds in _sample(metrics.milliseconds):
            stats.timing(f"{_NAME}.post", milliseconds, tags=tags)
        metrics.milliseconds.clear()


def _sample(times: Sequence[float]) -> list[float]:
    """Give some of the times, evenly over their order, the longest among them."""
    step = -(-len(times) // _TIMINGS) or 1
    return sorted(times, reverse=True)[::step]


def _tag(integration_id: str) -> str:
    """Write an integration's id as every backend takes it: `workday:one` as `workday_one`."""
    if not _AN_INTEGRATION.fullmatch(integration_id):
        return _OTHER
    return stats.normalize_name_for_stats(integration_id, log_warning=False)
