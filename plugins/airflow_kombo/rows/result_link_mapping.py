"""Mappings of rows to result links and to other writes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field

from airflow_kombo.exceptions import RowError
from airflow_kombo.kombo_api.result_link import RESULT_LINKS
from airflow_kombo.kombo_api.writes import Text, Write
from airflow_kombo.rows.declared_body import Source
from airflow_kombo.rows.formats import is_missing
from airflow_kombo.rows.frames import cells
from airflow_kombo.rows.row_mapping import EMPTY, RowMapping, TextsOfRow, text_in
from airflow_kombo.rows.templates import Column
from airflow_kombo.statuses import ErrorCode

if TYPE_CHECKING:
    from pandas import DataFrame

_REMOTE_FIELDS: Final = "remote_fields"


class ResultLinkMapping(RowMapping):
    """The columns and templates of a result link."""

    write = RESULT_LINKS

    label: Source
    url: Source
    custom_field_name_prefix: Source = ""
    attributes: dict[Text, Source] = Field(default_factory=dict)
    remote_fields: Source | None = None

    def sources(self, place: str = "") -> Iterator[tuple[str, str | Column]]:
        """Yield each part of the link and its source; each attribute is a part."""
        yield place + "label", self.label
        yield place + "url", self.url
        yield place + "custom_field_name_prefix", self.custom_field_name_prefix
        if self.remote_fields:
            yield place + _REMOTE_FIELDS, self.remote_fields
        for key, source in self.attributes.items():
            yield f"{place}attributes.{key}", source

    def _column(self, field: str, frame: DataFrame) -> Sequence[object]:
        texts = super()._column(field, frame)
        if field != _REMOTE_FIELDS or not isinstance(self.remote_fields, Column):
            return texts
        given = cells(frame, self.remote_fields.column)  # a driver may have read the JSON already
        return [
            value if isinstance(value, (dict, list)) else text
            for value, text in zip(given, texts, strict=True)
        ]

    def _content(self, texts: TextsOfRow) -> dict[str, object]:
        content: dict[str, object] = {}
        for field in ("label", "url"):
            content[field] = text_in(texts, field)
            if is_missing(content[field]):
                raise RowError(ErrorCode.MISSING_FIELD, field, EMPTY)
        if attributes := self._attributes(texts):
            prefix = text_in(texts, "custom_field_name_prefix") or ""
            content["details"] = {"custom_field_name_prefix": prefix, "attributes": attributes}
        if self.remote_fields and (remote_fields := _remote_fields(texts)) is not None:
            content[_REMOTE_FIELDS] = remote_fields
        return content

    def _attributes(self, texts: TextsOfRow) -> list[dict[str, str]]:
        values = {key: text_in(texts, f"attributes.{key}") for key in self.attributes}
        return [{"key": key, "value": one} for key, one in values.items() if one and one.strip()]


def _remote_fields(texts: TextsOfRow) -> dict[str, Any] | None:
    value = text_in(texts, _REMOTE_FIELDS)
    if value is None:
        return None
    try:
        parsed = json.loads(value) if isinstance(value, str) else value
        # A value that has no JSON, or no bytes, fails here.
        json.dumps(parsed, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, TypeError, RecursionError):
        raise RowError(ErrorCode.INVALID_FIELD, _REMOTE_FIELDS, "must be valid JSON") from None
    if parsed is not None and not isinstance(parsed, dict):
        raise RowError(ErrorCode.INVALID_FIELD, _REMOTE_FIELDS, "must be a JSON object")
    return parsed


def mapping_of(write: Write) -> type[RowMapping]:
    """Return the class of a write's mappings.

    A mapping of another write than result links declares the members of the write's request.

    :raises ConfigurationError: if a nested body of the request cannot be declared.
    """
    if write is RESULT_LINKS:
        return ResultLinkMapping
    made = RowMapping.of(write.request)
    made.write = write
    return made
