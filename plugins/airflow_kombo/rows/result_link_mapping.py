"""Mappings of rows to result links and to other writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import Field

from airflow_kombo.exceptions import RowError
from airflow_kombo.kombo_api.result_link import RESULT_LINKS
from airflow_kombo.kombo_api.writes import Text, Write
from airflow_kombo.rows.declared_body import Source
from airflow_kombo.rows.formats import is_missing
from airflow_kombo.rows.row_keys import Row
from airflow_kombo.rows.row_mapping import EMPTY, RowMapping
from airflow_kombo.rows.templates import Column
from airflow_kombo.statuses import ErrorCode


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
            yield place + "remote_fields", self.remote_fields
        for key, source in self.attributes.items():
            yield f"{place}attributes.{key}", source

    def _content(self, row: Row) -> dict[str, object]:
        content: dict[str, object] = {}
        for field in ("label", "url"):
            content[field] = self._text(field, row)
            if is_missing(content[field]):
                raise RowError(ErrorCode.MISSING_FIELD, field, EMPTY)
        if attributes := self._attributes(row):
            prefix = self._text("custom_field_name_prefix", row) or ""
            content["details"] = {"custom_field_name_prefix": prefix, "attributes": attributes}
        if self.remote_fields and (remote_fields := self._remote_fields(row)) is not None:
            content["remote_fields"] = remote_fields
        return content

    def _attributes(self, row: Row) -> list[dict[str, str]]:
        texts = {key: self._text(f"attributes.{key}", row) for key in self.attributes}
        return [{"key": key, "value": text} for key, text in texts.items() if text and text.strip()]

    def _remote_fields(self, row: Row) -> dict[str, Any] | None:
        source = self.remote_fields
        value = row.get(source.column) if isinstance(source, Column) else None
        text = None if isinstance(value, (dict, list)) else self._text("remote_fields", row)
        if text is None and is_missing(value):
            return None
        try:
            parsed = value if text is None else json.loads(text)
            # A value that has no JSON, or no bytes, fails here.
            json.dumps(parsed, allow_nan=False, ensure_ascii=False).encode()
        except (ValueError, TypeError, RecursionError):
            raise RowError(ErrorCode.INVALID_FIELD, "remote_fields", "must be valid JSON") from None
        if parsed is not None and not isinstance(parsed, dict):
            raise RowError(ErrorCode.INVALID_FIELD, "remote_fields", "must be a JSON object")
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
