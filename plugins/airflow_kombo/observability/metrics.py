"""Metrics of a run's senders, for Airflow's backend: StatsD, Datadog or OpenTelemetry.

No metric is sent per row: a sender collects its measures, and all are sent every few seconds.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from airflow_kombo.airflow_compat import count_metric, time_metric
from airflow_kombo.delivery_key import is_integration_id
from airflow_kombo.exceptions import TransportError
from airflow_kombo.kombo_api.response import KomboResponse
from airflow_kombo.kombo_api.writes import Write

_TOO_MANY_REQUESTS: Final = 429
_TIMINGS: Final = 20
"""Call times of one sender that are sent at once. Of more calls, an even sample is sent."""

BLOCKED: Final = "blocked"
GIVEN_UP: Final = "given_up"
"""Reasons for which a sender ends before its rows do."""

_OTHER: Final = "other"
"""The tag of all texts that are no integration's id. In a bad row they may be personal data."""


class SenderMetrics:
    """Measures of one sender since the last sending of metrics.

    :param counts: The sender's rows by status. The sender goes on counting in this object.
    """

    def __init__(self, integration_id: str, counts: Mapping[str, int]) -> None:
        self.tag = _tag(integration_id)
        self.counts = counts
        self.ended_by: str | None = None
        """`BLOCKED` or `GIVEN_UP`."""
        self.milliseconds: list[float] = []
        """Times of the calls."""
        self.limited = 0
        """Calls with a 429 as the response."""

    def observe(self, result: KomboResponse | TransportError, seconds: float) -> None:
        """Count a call.

        :param seconds: The time from the request to the result.
        """
        self.milliseconds.append(seconds * 1000)
        if isinstance(result, KomboResponse) and result.http_status == _TOO_MANY_REQUESTS:
            self.limited += 1


class Metrics:
    """Metrics of all senders of a run.

    :param write: The write of the rows. The metrics are named after it.
    :param tags: Tags of all metrics, beside each sender's `integration`.
    """

    def __init__(
        self, senders: Iterable[SenderMetrics], tags: Mapping[str, str], write: Write
    ) -> None:
        self._senders = [(sender, Counter[str]()) for sender in senders]
        self._tags = tags
        self._name = _accepted(f"kombo.{write.name}s")

    async def send_in_turns(self) -> None:
        """Send the new measures, and let the run's calls go on between two senders."""
        for sender, sent in self._senders:
            self._send(sender, sent)
            await asyncio.sleep(0)

    def send(self) -> None:
        """Send the new measures."""
        for sender, sent in self._senders:
            self._send(sender, sent)

    def _send(self, sender: SenderMetrics, sent: Counter[str]) -> None:
        tags = {**self._tags, "integration": sender.tag}
        now = Counter({f"rows.{status}": rows for status, rows in sender.counts.items()})
        now["posts"] = sent["posts"] + len(sender.milliseconds)
        now["http_429"] = sender.limited
        if sender.ended_by:
            now[f"integrations.{sender.ended_by}"] = 1
        for name, more in (now - sent).items():
            count_metric(f"{self._name}.{name}", more, tags)
        sent.update(now - sent)
        for milliseconds in _sample(sender.milliseconds):
            time_metric(f"{self._name}.post", milliseconds, tags)
        sender.milliseconds.clear()


def _sample(times: Sequence[float]) -> list[float]:
    """Return an even sample of the sorted times, with the longest."""
    step = -(-len(times) // _TIMINGS) or 1
    return sorted(times, reverse=True)[::step]


def _tag(integration_id: str) -> str:
    """Return an integration's id as all backends accept it: `workday:one` as `workday_one`."""
    if not is_integration_id(integration_id):
        return _OTHER
    return _accepted(integration_id)


def _accepted(name: str) -> str:
    """Return a name with the characters that Airflow's own metrics have, and no others."""
    return re.sub(r"[^a-zA-Z0-9_.-]", "_", name)
