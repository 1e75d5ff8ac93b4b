"""Map rows to requests as the deployment's YAML declares it."""

from __future__ import annotations

import json
import sys
from typing import Any

from pydantic import Field, create_model

from airflow_kombo.exceptions import RowError
from airflow_kombo.kombo_api.result_link import RESULT_LINKS
from airflow_kombo.kombo_api.writes import Text, Write
from airflow_kombo.rows.formats import is_missing
from airflow_kombo.rows.row_keys import Row
from airflow_kombo.rows.templates import Column

if sys.version_info >= (3, 11):
    pass
else:
    pass

from airflow_kombo.rows.row_mapping import EMPTY, RowMapping


class ResultLinkMapping(RowMapping):
    """Which column or template feeds which part of a result link."""

    write = RESULT_LINKS

    label: str | Column
    url: str | Column
    custom_field_name_prefix: str | Column = ""
    attributes: dict[Text, str | Column] = Field(default_factory=dict)
    remote_fields: str | Column | None = None

    def _declared(self) -> dict[str, str | Column]:
        return {
            "label": self.label,
            "url": self.url,
            "custom_field_name_prefix": self.custom_field_name_prefix,
            **({"remote_fields": self.remote_fields} if self.remote_fields else {}),
            **{f"attributes.{key}": source for key, source in self.attributes.items()},
        }

    def _content(self, row: Row) -> dict[str, object]:
        content: dict[str, object] = {}
        for field in ("label", "url"):
            content[field] = self._text(field, row)
            if is_missing(content[field]):
                raise RowError("missing_field", field, EMPTY)
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
            json.dumps(parsed, allow_nan=False, ensure_ascii=False).encode()  # has bytes to be sent
        except (ValueError, TypeError, RecursionError):
            raise RowError("invalid_field", "remote_fields", "must be valid JSON") from None
        if parsed is not None and not isinstance(parsed, dict):
            raise RowError("invalid_field", "remote_fields", "must be a JSON object")
        return parsed


def mapping_of(write: Write) -> type[RowMapping]:
    """Give the kind of mapping that a write takes: of another than ours, its request's members."""
    if write is RESULT_LINKS:
        return ResultLinkMapping
    source: Any = str | Column
    members: dict[str, Any] = {
        field.alias or name: (source, ...) if field.is_required() else (source | None, None)
        for name, field in write.request.model_fields.items()
    }
    made = create_model(f"{write.request.__name__}Mapping", __base__=RowMapping, **members)
    made.write = write
    return made
