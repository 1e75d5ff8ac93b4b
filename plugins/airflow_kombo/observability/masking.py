"""Mask personal data in foreign text about a row."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from airflow_kombo.kombo_api.request import RowRequest

_SHORTEST_VALUE: Final = 3
"""Characters. Masking shorter values would also mask parts of ordinary words."""
_EMAIL: Final = re.compile(r"[^\s@<>\"'(),;:]+@[^\s@<>\"'(),;:]+")


def masked(text: str, request: RowRequest) -> str:
    """Return a text without addresses and without the values of the row's request."""
    text = _EMAIL.sub("***", text)
    values = {request.key.target_id, *_values(json.loads(request.body))}
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= _SHORTEST_VALUE:
            text = re.sub(re.escape(value), "***", text, flags=re.IGNORECASE)
    return text


def _values(content: Any) -> Iterator[str]:
    if isinstance(content, dict):
        for value in content.values():
            yield from _values(value)
    elif isinstance(content, list):
        for value in content:
            yield from _values(value)
    elif content is not None and not isinstance(content, bool):
        yield str(content)
