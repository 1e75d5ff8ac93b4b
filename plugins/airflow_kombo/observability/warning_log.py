"""Kombo's warnings in the log: each text once in a run, without personal data."""

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
"""Different texts that a run logs. The status table has the warnings of every row."""
LONGEST_TEXT: Final = 200
_SHORTEST_VALUE: Final = 3
"""Characters. Masking shorter values would also mask parts of ordinary words."""
_EMAIL: Final = re.compile(r"[^\s@<>\"'(),;:]+@[^\s@<>\"'(),;:]+")


@dataclass
class _Warning:
    first_result_id: str
    times: int = 0


class WarningLog:
    """Collected warnings of a run. Kombo recommends logging them."""

    def __init__(self) -> None:
        self._warnings: dict[str, _Warning] = {}
        self._others = 0

    def observe(self, text: str, request: RowRequest) -> None:
        """Count a row's warning. Texts that differ only in the row's own values are one text."""
        text = _masked(text, request)
        warning = self._warnings.get(text)
        if warning is None and len(self._warnings) >= MOST_TEXTS:
            self._others += 1
            return
        if warning is None:
            warning = self._warnings[text] = _Warning(request.key.result_id)
        warning.times += 1

    def write(self) -> None:
        """Log each text with the count and the first result."""
        for text, warning in sorted(self._warnings.items(), key=lambda one: -one[1].times):
            log.warning(
                "Kombo warns %d times, first of %s: %s",
                warning.times,
                warning.first_result_id,
                text,
            )
        if self._others:
            log.warning("Kombo warns %d times with other texts: see the status table", self._others)


def _masked(text: str, request: RowRequest) -> str:
    """Return a text without addresses and without the values of the row's request."""
    text = _EMAIL.sub("***", text)
    values = {request.key.target_id, *_values(json.loads(request.body))}
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
