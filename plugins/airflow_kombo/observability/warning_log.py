"""Kombo's warnings in the log: each text once in a run, without anything about a person."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from airflow_kombo.kombo_api.request import RowRequest

log = logging.getLogger(__name__)

MOST_TEXTS: Final = 100
"""Different texts of which a run tells; the status table has every row's."""
LONGEST_TEXT: Final = 200
_SHORTEST_VALUE: Final = 3
"""Characters; of shorter values a text would lose words that mean something."""
_EMAIL: Final = re.compile(r"[^\s@<>\"'(),;:]+@[^\s@<>\"'(),;:]+")


@dataclass
class _Heard:
    result_id: str
    times: int = 0


class WarningLog:
    """Collects the warnings of a run, which Kombo recommends to log."""

    def __init__(self) -> None:
        self._heard: dict[str, _Heard] = {}
        self._others = 0

    def observe(self, text: str, delivery: RowRequest) -> None:
        """Count a row's warning; texts that differ in what is the row's own are one."""
        text = _masked(text, delivery)
        observe = self._heard.get(text)
        if observe is None and len(self._heard) >= MOST_TEXTS:
            self._others += 1
            return
        if observe is None:
            observe = self._heard[text] = _Heard(delivery.key.result_id)
        observe.times += 1

    def write(self) -> None:
        """Log each text with its count and one result that it is about."""
        for text, observe in sorted(self._heard.items(), key=lambda one: -one[1].times):
            log.warning(
                "Kombo warns %d times, first of %s: %s", observe.times, observe.result_id, text
            )
        if self._others:
            log.warning("Kombo warns %d times with other texts: see the table", self._others)


def _masked(text: str, delivery: RowRequest) -> str:
    """Return a text without addresses, and without what the request says of its row."""
    text = _EMAIL.sub("***", text)
    values = {delivery.key.target_id, *_values(json.loads(delivery.body))}
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= _SHORTEST_VALUE:
            text = re.sub(re.escape(value), "***", text, flags=re.IGNORECASE)
    return text[:LONGEST_TEXT]


def _values(content: Any) -> Iterator[str]:
    if isinstance(content, dict):
        for value in content.values():
            yield from _values(value)
    elif isinstance(content, list):
        for value in content:
            yield from _values(value)
    elif content is not None and not isinstance(content, bool):
        yield str(content)
