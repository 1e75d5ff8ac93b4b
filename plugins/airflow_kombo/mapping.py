"""A row becomes a request, by a mapping that the deployment declares in YAML.

A plain string is a Jinja template (`"{{ assessment_name }}"`); `{column: score}` is a column, with
a `format` where its text should look otherwise. A missing value (NULL, NaN, blank) drops its
attribute; in the label or the URL it makes the row `invalid`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, cast

import yaml
from jinja2 import (
    Environment,
    StrictUndefined,
    Template,
    TemplateError,
    UndefinedError,
    meta,
    nodes,
)
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticSerializationError

from airflow_kombo.errors import MappingError, RowError
from airflow_kombo.keys import KEY_COLUMNS, Row, assessment_date_of, key_of
from airflow_kombo.models import Delivery, LinkKey, ResultLink, Text
from airflow_kombo.values import FORMATS, UnwritableError, is_missing, plain, text_of

_ROW_FAULTS: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    TemplateError,
    TypeError,
    ValueError,
)
"""What a template of the deployment's may raise over a value that it did not expect."""

_JINJA: Final = Environment(
    autoescape=False,  # noqa: S701 - the text goes into JSON; an ATS escapes what it shows
    undefined=StrictUndefined,
    finalize=lambda value: value if isinstance(value, StrictUndefined) else text_of(value),
)


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Declared):
    """A column, and how its values look."""

    column: str
    format: Literal["text", "percent", "duration", "date"] = "text"
    of: str | None = None
    """For `percent`: the column that is the whole; without it the value is a percentage already."""

    @property
    def columns(self) -> set[str]:
        """The columns it reads."""
        return {self.column} | ({self.of} if self.of else set())

    def text(self, row: Row) -> str | None:
        """Give the text, or None where a value is missing."""
        value, of = row.get(self.column), row.get(self.of) if self.of else None
        if is_missing(value) or (self.of and is_missing(of)):
            return None
        return FORMATS[self.format](value, of)


class _TemplateText:
    def __init__(self, source: str) -> None:
        tree = _JINJA.parse(source)
        self.columns = meta.find_undeclared_variables(tree)
        self._template: Template = _JINJA.from_string(source)
        self._pieces = _pieces_of(tree)

    def text(self, row: Row) -> str | None:
        if self._pieces is None:
            return self._render(row)
        texts = []
        for piece in self._pieces:
            if isinstance(piece, nodes.TemplateData):
                texts.append(piece.data)
            elif is_missing(value := row.get(piece.name)):
                return None
            else:
                texts.append(text_of(value))
        return "".join(texts)

    def _render(self, row: Row) -> str | None:
        # A missing value stays undefined, so that `default` and `is defined` work in a template.
        known = {name: plain(row[name]) for name in self.columns if not is_missing(row.get(name))}
        try:
            return self._template.render(known)
        except UndefinedError:
            return None


def _pieces_of(tree: nodes.Template) -> list[nodes.TemplateData | nodes.Name] | None:
    """Give text and names where a template is nothing else: Jinja's engine takes 10 µs a row."""
    pieces = [piece for output in tree.body for piece in output.iter_child_nodes()]
    plain_ones = all(isinstance(output, nodes.Output) for output in tree.body) and all(
        isinstance(piece, (nodes.TemplateData, nodes.Name)) for piece in pieces
    )
    return cast("list[nodes.TemplateData | nodes.Name]", pieces) if plain_ones else None


@dataclass(frozen=True)
class InvalidRow:
    """A row that cannot become a request, and why."""

    key: LinkKey
    assessment_date: date | None
    error: RowError


class ResultLinkMapping(_Declared):
    """Which column or template feeds which part of the request: what the YAML file holds."""

    label: str | Column
    url: str | Column
    custom_field_name_prefix: str | Column = ""
    attributes: dict[Text, str | Column] = Field(default_factory=dict)
    remote_fields: str | Column | None = None

    @classmethod
    def load(cls, path: str | Path) -> ResultLinkMapping:
        """Read a mapping from a YAML file.

        :raises MappingError: naming the file, the place in it and what is wrong there.
        """
        try:
            declared = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise MappingError(f"The mapping {path} cannot be read: {error}") from error
        return cls.parse(declared, name=str(path))

    @classmethod
    def parse(cls, declared: object, name: str = "mapping") -> ResultLinkMapping:
        """Check a mapping that is already a dictionary.

        :raises MappingError: as `load` does.
        """
        try:
            mapping = cls.model_validate(declared)
        except ValidationError as error:
            known = {*cls.model_fields, *Column.model_fields}
            wrong = "; ".join(_explain(one, known) for one in error.errors())
            raise MappingError(f"The mapping {name} cannot be used: {wrong}") from None
        except TemplateError as error:
            raise MappingError(f"The mapping {name} has a broken template: {error}") from error
        return mapping

    def model_post_init(self, _context: object) -> None:
        """Compile the templates now: a broken one is the mapping's fault, not a row's."""
        _ = self._sources

    @cached_property
    def _sources(self) -> dict[str, Column | _TemplateText]:
        declared = {
            "label": self.label,
            "url": self.url,
            "custom_field_name_prefix": self.custom_field_name_prefix,
            **({"remote_fields": self.remote_fields} if self.remote_fields else {}),
            **{f"attributes.{key}": source for key, source in self.attributes.items()},
        }
        return {
            field: _TemplateText(source) if isinstance(source, str) else source
            for field, source in declared.items()
        }

    def check(self, columns: Collection[str]) -> None:
        """See that every column that the mapping reads is there, before any row is read.

        :raises MappingError: naming each column that is not, and the one that was probably meant.
        """
        read = {(f"'{name}'", name) for name in KEY_COLUMNS}
        for field, source in self._sources.items():
            read |= {(f"'{name}' (for {field})", name) for name in source.columns}
        lost = [
            shown + did_you_mean(name, columns)
            for shown, name in sorted(read)
            if name not in columns
        ]
        if lost:
            have = ", ".join(sorted(columns)) or "none"
            raise MappingError(f"The rows have no column {'; '.join(lost)}. They have: {have}.")

    def delivery(self, row: Row, key: LinkKey) -> Delivery:
        """Make the request of a row.

        :raises RowError: where the row cannot become one.
        """
        link = self._link(row)
        try:
            body = link.body()
        except PydanticSerializationError:
            raise RowError("invalid_field", "remote_fields", "is nested too deep") from None
        return Delivery(key, assessment_date_of(row), link.url, body)

    def deliveries(
        self, rows: Iterable[Row], default_integration: str | None
    ) -> tuple[list[Delivery], list[InvalidRow]]:
        """Make the requests of rows, and say of each other row why it cannot become one."""
        deliveries, invalid = [], []
        for row in rows:
            key, wrong = key_of(row, default_integration)
            try:
                if wrong:
                    raise wrong
                deliveries.append(self.delivery(row, key))
            except RowError as error:
                invalid.append(InvalidRow(key, assessment_date_of(row), error))
        return deliveries, invalid

    def _link(self, row: Row) -> ResultLink:
        content: dict[str, object] = {}
        for field in ("label", "url"):
            content[field] = self._text(field, row)
            if is_missing(content[field]):
                raise RowError(
                    "missing_field", field, "is empty: fill the column or change the mapping"
                )
        if attributes := self._attributes(row):
            prefix = self._text("custom_field_name_prefix", row) or ""
            content["details"] = {"custom_field_name_prefix": prefix, "attributes": attributes}
        if self.remote_fields and (remote_fields := self._remote_fields(row)) is not None:
            content["remote_fields"] = remote_fields
        try:
            return ResultLink.model_validate(content)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            reason = first["msg"].removeprefix("Value error, ")
            raise RowError("invalid_field", field, reason) from None

    def _attributes(self, row: Row) -> list[dict[str, str]]:
        texts = {key: self._text(f"attributes.{key}", row) for key in self.attributes}
        return [{"key": key, "value": text} for key, text in texts.items() if text and text.strip()]

    def _text(self, field: str, row: Row) -> str | None:
        try:
            text = self._sources[field].text(row)
            if text and not text.isascii():
                text.encode()  # half a surrogate pair has no bytes to be sent as
        except _ROW_FAULTS as error:
            own = isinstance(error, UnwritableError)  # any other's text may quote the value
            reason = str(error) if own else f"{type(error).__name__} in it"
            raise RowError("invalid_field", field, reason) from None
        return text

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


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Give the nearest known name as a question, or nothing."""
    near = get_close_matches(name, list(known), n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def _explain(error: Any, fields: Collection[str]) -> str:
    place = ".".join(str(part) for part in error["loc"]) or "the whole"
    if error["type"] == "extra_forbidden":
        return f"{place} is not known" + did_you_mean(str(error["loc"][-1]), fields)
    return f"{place}: {error['msg']}"
