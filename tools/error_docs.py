"""Command of `make errors`: the tables in docs/errors.md, from the table in the code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from airflow_kombo.kombo_api.explained_codes import KOMBOS, OURS, STATUS_OF_CODE, Explanation
from airflow_kombo.kombo_api.explanations import explain
from airflow_kombo.statuses import Status

DOCUMENT: Final = Path(__file__).resolve().parents[1] / "docs" / "errors.md"

_WITHOUT_CODE: Final[tuple[tuple[Status, int | None, str], ...]] = (
    (Status.SUCCESS, None, "any"),
    (Status.SENDING, None, "any"),
    (Status.RETRYABLE, 429, "429"),
    (Status.RETRYABLE, 503, "5xx"),
    (Status.RETRYABLE, 404, "3xx, other 4xx"),
    (Status.RETRYABLE, None, "none"),
    (Status.BLOCKED, None, "any"),
    (Status.UNKNOWN, 200, "2xx"),
    (Status.UNKNOWN, 502, "5xx, 408, 499"),
    (Status.UNKNOWN, None, "none"),
    (Status.INVALID, None, "any"),
    (Status.FAILED, None, "any"),
)
"""Outcomes without a code: status, an HTTP status, and its name in the table."""


def tables() -> Mapping[str, str]:
    """Return each table in Markdown, by the heading above."""
    codes = ("code", "status")
    return {
        "Kombo's codes": _table(
            codes, (((f"`{code}`", _name_of(code)), one) for code, one in KOMBOS.items())
        ),
        "Our own codes": _table(
            codes, (((f"`{code}`", _name_of(code)), one) for code, (_, one) in OURS.items())
        ),
        "Without a code": _table(
            ("status", "HTTP status"),
            (
                ((f"`{status}`", name), explain(status, None, http_status))
                for status, http_status, name in _WITHOUT_CODE
            ),
        ),
    }


def _name_of(code: str) -> str:
    return f"`{STATUS_OF_CODE[code]}`"


def _table(columns: tuple[str, ...], lines: Iterable[tuple[tuple[str, ...], Explanation]]) -> str:
    head = [*columns, "turn", "meaning", "what to do"]
    cells = [[*names, one.turn, one.meaning, one.to_do] for names, one in lines]
    rows = [head, ["---"] * len(head), *cells]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def written(document: str) -> str:
    """Return a document with the tables in place of the tables below their headings."""
    for heading, table in tables().items():
        parts = re.split(rf"(?ms)(^## {heading}$.*?)^\|.*?\|$(?=\n\n)", document, maxsplit=1)
        if len(parts) == 1:
            raise ValueError(f"{DOCUMENT.name} has no table below the heading {heading}")
        before, above, after = parts
        document = f"{before}{above}{table}{after}"
    return document


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
