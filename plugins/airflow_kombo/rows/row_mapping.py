"""A row becomes a request, by a mapping that the deployment declares in YAML.

A plain string is a Jinja template (`"{{ assessment_name }}"`); `{column: score}` is a column, with
a `format` where its text should look otherwise. A missing value (NULL, NaN, blank) drops its
attribute; in the label or the URL it makes the row `invalid`. Under `tools` a section declares what
differs for the integrations of one ATS.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final

import yaml
from jinja2 import TemplateError
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from airflow_kombo.database.unreadable import Unreadable
from airflow_kombo.delivery_key import LinkKey
from airflow_kombo.exceptions import MappingError, RowError
from airflow_kombo.kombo_api.request import RowRequest
from airflow_kombo.kombo_api.writes import Request, Write
from airflow_kombo.rows.formats import UnwritableError, is_missing
from airflow_kombo.rows.row_keys import Row, assessment_date_of, key_of
from airflow_kombo.rows.templates import ROW_FAULTS, Column, Declared, TemplateText

if sys.version_info >= (3, 11):
    from typing import Self
else:
    from typing_extensions import Self

from airflow_kombo.exceptions import did_you_mean
from airflow_kombo.kombo_api.in_flight_cap import tool_of
from airflow_kombo.kombo_api.request import InvalidRow

EMPTY: Final = "is empty: fill the column or change the mapping"
_TOOLS: Final = "tools"
_TOOL: Final = re.compile(r"[^\s:A-Z]+")


class RowMapping(Declared):
    """Which column or template feeds which part of a write's request: what the YAML file holds."""

    write: ClassVar[Write]

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a mapping from a YAML file.

        :raises MappingError: naming the file, the place in it and what is wrong there.
        """
        try:
            declared = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise MappingError(f"The mapping {path} cannot be read: {error}") from error
        return cls.parse(declared, name=str(path))

    @classmethod
    def parse(cls, declared: object, name: str = "mapping") -> Self:
        """Check a mapping that is already a dictionary.

        :raises MappingError: as `load` does.
        """
        general, sections = _sections_of(declared, name)
        mapping = cls._checked(general, name)
        for tool, section in sections.items():
            whole = cls._checked({**general, **section}, name, f"tools.{tool}.")
            mapping._tools[tool] = whole  # noqa: SLF001 - it is its own
        return mapping

    @classmethod
    def _checked(cls, declared: object, name: str, place: str = "") -> Self:
        try:
            return cls.model_validate(declared)
        except ValidationError as error:
            known = {*cls.model_fields, *Column.model_fields, _TOOLS}
            wrong = "; ".join(place + _explain(one, known) for one in error.errors())
            raise MappingError(f"The mapping {name} cannot be used: {wrong}") from None
        except TemplateError as error:
            raise MappingError(
                f"The mapping {name} has a broken template: {place}{error}"
            ) from error

    @cached_property
    def _tools(self) -> dict[str, Self]:  # a private attribute of pydantic's costs 1 µs a look
        """What holds for the integrations of one tool, each whole: with the rest filled in."""
        return {}

    def model_post_init(self, context: object, /) -> None:
        """Compile the templates now: a broken one is the mapping's fault, not a row's."""
        super().model_post_init(context)
        _ = self._sources

    @cached_property
    def _sources(self) -> dict[str, Column | TemplateText]:
        return {
            field: _compiled(field, source) if isinstance(source, str) else source
            for field, source in self._declared().items()
        }

    def _declared(self) -> dict[str, str | Column]:
        """Give what is declared for each part of the request."""
        parts = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: source for name, source in parts.items() if source is not None}

    def check(self, columns: Collection[str]) -> None:
        """See that every column that the mapping reads is there, before any row is read.

        :raises MappingError: naming each column that is not, and the one that was probably meant.
        """
        general = self.reads()
        read = {f"'{name}'": name for name in self.write.key_columns}
        read |= {f"'{name}' (for {field})": name for field, name in general}
        for tool, section in self._tools.items():
            for field, name in section.reads() - general:
                read[f"'{name}' (for tools.{tool}.{field})"] = name
        lost = [
            shown + did_you_mean(name, columns)
            for shown, name in sorted(read.items())
            if name not in columns
        ]
        if lost:
            have = ", ".join(sorted(columns)) or "none"
            raise MappingError(f"The rows have no column {'; '.join(lost)}. They have: {have}.")

    def reads(self) -> set[tuple[str, str]]:
        """Give the columns that it reads, each with the field that it is for."""
        return {(field, name) for field, source in self._sources.items() for name in source.columns}

    def delivery(self, row: Row, key: LinkKey) -> RowRequest:
        """Make the request of a row.

        :raises RowError: where the row cannot become one.
        """
        day = assessment_date_of(row)
        if day is None and isinstance(value := row.get("assessment_date"), Unreadable):
            raise RowError("invalid_field", "assessment_date", str(value))
        tool = tool_of(key.integration_id)
        request = self._tools.get(tool, self).request(row)
        try:
            body = request.body()
        except PydanticSerializationError:
            raise RowError("invalid_field", "remote_fields", "is nested too deep") from None
        once = self.write.once and str(getattr(request, self.write.once))
        return RowRequest(key, day, once, body, self.write)

    def deliveries(
        self, rows: Iterable[Row], default_integration: str | None
    ) -> tuple[list[RowRequest], list[InvalidRow]]:
        """Make the requests of rows, and say of each other row why it cannot become one."""
        deliveries, invalid = [], []
        for row in rows:
            key, wrong = key_of(row, default_integration, self.write)
            try:
                if wrong:
                    raise wrong
                deliveries.append(self.delivery(row, key))
            except RowError as error:
                invalid.append(InvalidRow(key, assessment_date_of(row), error))
        return deliveries, invalid

    def request(self, row: Row) -> Request:
        """Make the body of a row's request.

        :raises RowError: where the row cannot become one.
        """
        try:
            return self.write.request.model_validate(self._content(row))
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            if first["type"] == "missing" and len(first["loc"]) == 1:
                raise RowError("missing_field", field, EMPTY) from None
            reason = first["msg"].removeprefix("Value error, ")
            raise RowError("invalid_field", field, reason) from None

    def _content(self, row: Row) -> dict[str, object]:
        """Give the request's members; what a row has no value for is left out."""
        texts = {field: self._text(field, row) for field in self._sources}
        return {field: text for field, text in texts.items() if not is_missing(text)}

    def _text(self, field: str, row: Row) -> str | None:
        try:
            text = self._sources[field].text(row)
            if text and not text.isascii():
                text.encode()  # half a surrogate pair has no bytes to be sent as
        except ROW_FAULTS as error:
            own = isinstance(error, UnwritableError)  # any other's text may quote the value
            reason = str(error) if own else f"{type(error).__name__} in it"
            raise RowError("invalid_field", field, reason) from None
        return text


def _sections_of(declared: object, name: str) -> tuple[Any, dict[str, dict[str, Any]]]:
    """Take a mapping apart: what holds for all integrations, and the sections of single tools."""
    if not isinstance(declared, dict) or _TOOLS not in declared:
        return declared, {}
    general, sections = dict(declared), declared[_TOOLS]
    del general[_TOOLS]
    sections = sections if isinstance(sections, dict) else {"": sections}
    for tool, section in sections.items():
        if not isinstance(tool, str) or not _TOOL.fullmatch(tool) or not isinstance(section, dict):
            raise MappingError(
                f"The mapping {name} cannot be used: tools.{tool}: must be a tool as integrations"
                " name it before their colon, such as workday, with the parts that differ for it."
            )
    return general, sections


def _compiled(field: str, source: str) -> TemplateText:
    try:
        return TemplateText(source)
    except TemplateError as error:
        raise TemplateError(f"{field}: {error}") from error


def _explain(error: Any, fields: Collection[str]) -> str:
    place = ".".join(str(part) for part in error["loc"]) or "the whole"
    if error["type"] == "extra_forbidden":
        return f"{place} is not known" + did_you_mean(str(error["loc"][-1]), fields)
    return f"{place}: {error['msg']}"
