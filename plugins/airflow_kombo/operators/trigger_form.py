"""Fields of Airflow's trigger form, for the params of a dag."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param


def field(kind: str, section: str, title: str, description: str, **schema: Any) -> Param:
    """Declare an optional field of the form.

    :param kind: The type of the value in JSON, such as `string`.
    :param section: The heading of the fields above which this one stands.
    :param schema: The default, None without one, and further conditions on the value.
    """
    return Param(
        schema.pop("default", None),
        type=["null", kind],
        section=section,
        title=title,
        description=description,
        **schema,
    )


def ids(section: str, title: str, description: str) -> Param:
    """Declare a list of ids, empty by default."""
    items = {"type": "string"}
    return field("array", section, title, description, default=[], items=items)


def flag(section: str, title: str, description: str) -> Param:
    """Declare a check box, not checked by default."""
    return field("boolean", section, title, description, default=False)


def text(section: str, title: str, description: str, **schema: Any) -> Param:
    """Declare a text, none by default."""
    return field("string", section, title, description, **schema)
