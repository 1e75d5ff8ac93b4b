"""Style sheet of statuses, generated from their table."""

from __future__ import annotations

from airflow_kombo.statuses import MEANINGS


def status_styles() -> str:
    """Return CSS rules with the colour of each status, in the chart and beside the name."""
    rules = [
        f"rect.{status} {{ fill: {meaning.colour}; }}"
        f" .status.{status}::before {{ background: {meaning.colour}; }}"
        for status, meaning in MEANINGS.items()
    ]
    return "\n".join([*rules, ""])
