"""Kombo's warnings in the log: each text once in a run, without personal data."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.observability.masking import masked

log = logging.getLogger(__name__)

MOST_TEXTS: Final = 100
"""Different texts that a run logs. The status table has the warnings of every row."""
LONGEST_TEXT: Final = 200


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
        text = masked(text, request)[:LONGEST_TEXT]
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
