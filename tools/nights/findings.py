"""Findings of a night: promises that were broken."""

from __future__ import annotations

from typing import Final, NamedTuple

LOST: Final = "lost"
TWICE: Final = "twice"
LIE: Final = "lie"


class Finding(NamedTuple):
    """A broken promise.

    :param kind: `lost`, `twice` or `lie`.
    :param result_id: The result; None for a whole run.
    """

    kind: str
    result_id: str | None
    text: str
